"""Runs HeadsetNet on crops and says what it sees in plain units. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.engine.onnx import cpu_name, open_session
from models.headset.contract import (
    CROP,
    FACE,
    HEADS,
    HEADSET,
    HEADSET_NET,
    MAP_PX,
    MASK,
    MESH,
    PRESENCE,
    SIZE_PX,
    SPREAD,
    headset_net_contract,
)
from models.shipped import WEIGHTS_FOLDER, Precision, check_manifest, shipped_network

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

SHIPPED_HEADSET_NET = WEIGHTS_FOLDER / "headset_net.onnx"
LEAST_HEAD = 0.3  # probability from which a peak of the map counts as a head
OUTPUTS = tuple(output.name for output in headset_net_contract().outputs)


@dataclass(frozen=True)
class FoundHead:
    """A head somewhere in a crop."""

    centre: Float32Array  # (2,) shares of the crop's side
    side: float  # of its head box (`models.face.alignment`), share of the crop's side
    face: float  # probabilities
    headset: float


@dataclass(frozen=True)
class HeadsetReading:
    """What one crop shows."""

    mask: Float32Array  # (M,M) probability of headset
    mesh: Float32Array  # (478,3) shares of the crop's side
    spread: Float32Array  # (478,) expected error of each point, same unit
    face: float  # probability that the crop is about a face
    headset: float  # and that it wears a headset
    heads: tuple[FoundHead, ...]  # most probable first


class HeadsetReader:
    """A loaded HeadsetNet."""

    def __init__(
        self, path: Path | None = None, threads: int = 1, precision: Precision = "auto"
    ) -> None:
        """Load and verify a network; raises WeightsError if it cannot be used.

        Without `path` it is the shipped one at `precision`; `auto` takes INT8 where it is quicker.
        """
        path = shipped_network(precision, original=SHIPPED_HEADSET_NET) if path is None else path
        self.manifest = check_manifest(path, HEADSET_NET)
        self._session = open_session(path, threads)

    @property
    def engine_name(self) -> str:
        """What runs it, such as `onnxruntime CPU INT8`."""
        return cpu_name(str(self.manifest.get("precision", "fp32")))

    def read(self, crop: ImageU8) -> HeadsetReading:
        """Look at one crop (S,S,3) uint8 BGR; S is `headset_contract.SIZE_PX`."""
        if crop.shape != (SIZE_PX, SIZE_PX, 3) or crop.dtype != np.uint8:
            raise ValueError(
                f"expected a ({SIZE_PX},{SIZE_PX},3) uint8 crop, got {crop.shape} {crop.dtype}"
            )
        planes = cv2.dnn.blobFromImage(crop, 1 / 255, swapRB=True)
        said = dict(zip(OUTPUTS, self._session.run(OUTPUTS, {CROP: planes}), strict=True))
        face, headset = said[PRESENCE][0]
        return HeadsetReading(
            mask=said[MASK][0, 0],
            mesh=said[MESH][0],
            spread=said[SPREAD][0],
            face=float(face),
            headset=float(headset),
            heads=_peaks(said[HEADS][0]),
        )


def _peaks(maps: Float32Array) -> tuple[FoundHead, ...]:
    """Cells that are more probably a head's centre than their neighbours."""
    chance = maps[FACE]
    highest = cv2.dilate(chance, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((chance >= LEAST_HEAD) & (chance >= highest))
    heads = [
        FoundHead(
            centre=((np.array([x, y]) + 0.5 + maps[2:4, y, x]) / MAP_PX).astype(np.float32),
            side=float(np.exp(np.clip(maps[4, y, x], -4, 1))),
            face=float(chance[y, x]),
            headset=float(maps[HEADSET, y, x]),
        )
        for y, x in zip(rows, columns, strict=True)
    ]
    return tuple(sorted(heads, key=lambda head: -head.face))
