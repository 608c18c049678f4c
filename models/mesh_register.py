"""Moving the tracker's mesh to where the wearer's own picture shows that the face is.

HeadsetNet knows faces in general; the reference shows this one. Warped by the tracker's mesh it
should look like the frame wherever the face is seen: the shift that is left (`models.registration`)
tells how far the mesh is off. How much of that is the mesh's error, and how the error goes on
between the points, is learnt (ridge regression of the error on the shift's coordinates). Looking
costs as much as the network, and the error lasts: only some frames are looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import registration
from models.face.alignment import crop_from_mesh, cut_crop, mesh_to_crop
from models.face.mesh import POINT_COUNT
from models.preparation import warp_reference
from models.reference import Reference
from models.statistics import read_arrays

ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Bools = NDArray[np.bool_]

ERRORS_FILE = Path(__file__).parent / "weights" / "mesh_errors.npz"
SIZE_PX = 128  # side of the crops that are compared, the one that the shifts' prior was fitted at
# Chosen on the val clips.
LOOK_NS = 60_000_000  # between two looks; twice as many bring it nearer by a fiftieth
EASE_SECONDS = 0.05  # time constant of what they tell
HIDDEN_SHARE = 0.5  # of the correction for points that nobody sees: restored faces are best so


@dataclass(frozen=True)
class MeshErrors:
    """How the tracker's mesh errs, given what is seen; in spans, along and across the eyes."""

    usual: Float32Array  # (478,2) what is added whatever is seen
    by_shift: Float32Array  # (K,956) and per unit of each of the shift's coordinates

    def correction(self, coordinates: Float32Array) -> Float32Array:
        """What to add to the mesh, (478,2), for shift coordinates (K,)."""
        told = (coordinates @ self.by_shift).reshape(POINT_COUNT, 2)
        return np.asarray(self.usual + told, np.float32)


@lru_cache(maxsize=2)
def load_errors(path: Path = ERRORS_FILE) -> MeshErrors:
    """Read what `unvisor fit-tracker` wrote; WeightsError when it is unusable."""
    stored = read_arrays(path, usual=(POINT_COUNT, 2), by_shift=(None, 2 * POINT_COUNT))
    return MeshErrors(stored["usual"], stored["by_shift"])


class OwnView:
    """A view of the wearer's bare face, to compare frames with."""

    def __init__(self, reference: Reference) -> None:
        """Keep the head of the reference."""
        crop = crop_from_mesh(reference.mesh, SIZE_PX)
        image = cut_crop(reference.image, crop, SIZE_PX)
        self._reference = Reference(image, mesh_to_crop(reference.mesh, crop))

    def shift(self, image: ImageU8, mask: MaskU8, mesh: Float32Array) -> Float32Array | None:
        """Coordinates (K,) of the shift that `mesh` (478,3) px of `image` leaves; None: unseen.

        `mask` (H,W) is 1 where the face is hidden.
        """
        crop = crop_from_mesh(mesh, SIZE_PX)
        here = mesh_to_crop(mesh, crop)
        hidden = np.asarray(cut_crop(mask * np.uint8(255), crop, SIZE_PX) > 0, np.uint8)
        seen = registration.visible_points(here, hidden)
        if not seen.any():
            return None
        warped = warp_reference(self._reference, here)
        frame = cut_crop(image, crop, SIZE_PX)
        observed = registration.observed_shift(frame, warped, hidden, here)
        prior = registration.load_prior().shift
        # A mesh that is wrong says little of the pose: nothing is expected of it.
        pose = np.zeros(len(prior.by_pose), np.float32)
        field = prior.infer(observed, seen, pose)
        return np.asarray(prior.basis @ field.reshape(-1), np.float32)


class MeshRegister:
    """Keeps one wearer's mesh in register with the wearer's picture, frame by frame."""

    def __init__(self, reference: Reference) -> None:
        """Know the wearer by a view of the bare face.

        Raises:
            WeightsError: the shipped statistics are missing or damaged.
        """
        self._view, self._errors = OwnView(reference), load_errors()
        self._looked_ns = self._time_ns = 0
        self._told: Float32Array | None = None
        self._used = np.zeros((POINT_COUNT, 2), np.float32)

    def reset(self) -> None:
        """Forget: the next frame is looked at and believed as it is."""
        self._told = None

    def registered(
        self, mesh: Float32Array, visible: Bools, image: ImageU8, mask: MaskU8, time_ns: int
    ) -> Float32Array:
        """The mesh (478,3) px of `image` corrected; hidden points by a part."""
        starts = self._told is None
        if starts or not 0 <= time_ns - self._looked_ns < LOOK_NS:
            self._look(mesh, image, mask, time_ns)
        if self._told is None:
            return mesh
        seconds = max(0.0, (time_ns - self._time_ns) / 1e9)
        self._time_ns = time_ns
        share = 1.0 if starts else 1.0 - math.exp(-seconds / EASE_SECONDS)
        self._used += np.float32(share) * (self._told - self._used)
        moved = mesh.copy()
        weight = np.where(visible, 1.0, HIDDEN_SHARE)[:, None]
        moved[:, :2] += weight * registration.shift_px(self._used, mesh)
        return np.asarray(moved, np.float32)

    def _look(self, mesh: Float32Array, image: ImageU8, mask: MaskU8, time_ns: int) -> None:
        self._looked_ns = time_ns
        shift = self._view.shift(image, mask, mesh)
        if shift is not None:
            self._told = self._errors.correction(shift)
