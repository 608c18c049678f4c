"""The session profile as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.profile.eyes import EyeCalibration
from edge.profile.parts import Part
from edge.profile.sealing import Lock
from models.filling import Reference

if TYPE_CHECKING:  # parts' classes import this package
    from edge.identity.face_print import IdentityPrint
    from edge.lens.lens import CalibratedLens
    from edge.light.part import ProfileLight
    from edge.plate.part import HeadPlate
    from edge.profile.own_network import OwnNetwork
    from edge.setup.part import CaptureSetup

STORED_PX = 256  # usual side of stored reference crops; the network takes 128 or 256
MAX_STORED_PX = 512  # a face that is larger in the camera's picture is scaled down to it
MIN_STORED_PX = 32
MAX_REFERENCES = 64


@dataclass(frozen=True)
class SessionProfile:
    """Reference views of the bare face, the wearer's eye calibration, and optional parts."""

    # Best frontal view first. Squares framed by models.face.alignment, MIN_STORED_PX to
    # MAX_STORED_PX, each of its own size: what the camera resolved.
    references: tuple[Reference, ...]
    eyes: tuple[EyeCalibration, EyeCalibration] = (
        EyeCalibration(),
        EyeCalibration(),
    )  # right, left
    quality: Mapping[str, float] = field(default_factory=dict)
    made: str = ""  # when it was first saved, ISO 8601 in UTC; empty = not yet saved
    # Parts that may be missing; see edge.profile.parts.
    identity: IdentityPrint | None = None
    camera: CalibratedLens | None = None
    network: OwnNetwork | None = None
    plate: HeadPlate | None = None
    light: ProfileLight | None = None
    setup: CaptureSetup | None = None
    report: Part | None = None
    # Parts that a newer version of unvisor wrote; saved again as they are.
    others: Mapping[str, Part] = field(default_factory=dict)
    # Encrypted on disk with it; None = in the clear. Load, change, save keeps it.
    lock: Lock | None = field(default=None, repr=False, compare=False)

    @property
    def views(self) -> tuple[Reference, ...]:
        """The references with what the plate knows of them: what fillers are made of."""
        return self.references if self.plate is None else self.plate.matted(self.references)

    def reference(self, size_px: int, index: int = 0) -> Reference:
        """One view, the best by default, as a crop of (size_px,size_px)."""
        return self.references[index].resized(size_px)
