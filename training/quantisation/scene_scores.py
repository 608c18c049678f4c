"""How far two HeadsetNets are from each other and from the truth, on made-up scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.headset.contract import SIZE_PX
from models.headset.reader import HeadsetReader, HeadsetReading
from training.headset.losses import OUTER_CORNERS, coarse
from training.scenes.worn_scenes import Scene

LEAST_MASK = 50  # pixels of a headset that its outline is scored on


@dataclass(frozen=True)
class SceneScores:
    """Means over scenes; the network itself, and how far it is from the original."""

    scenes: int
    mask_iou: float
    mesh_nme: float  # share of the outer-eye-corner distance
    face_moved: float  # mean change of the probability of a face
    moved_px: float  # mean way of a mesh point from where the original sees it, px of the crop


def read_scenes(path: Path, scenes: Sequence[Scene]) -> list[HeadsetReading]:
    """What the network in a file says of each scene."""
    reader = HeadsetReader(path)
    return [reader.read(scene.image) for scene in scenes]


def score_scenes(
    said: Sequence[HeadsetReading], original: Sequence[HeadsetReading], scenes: Sequence[Scene]
) -> SceneScores:
    """Compare readings with the truth and with the original's."""
    ious, errors, moves, doubts = [], [], [], []
    for reading, before, scene in zip(said, original, scenes, strict=True):
        wanted = coarse(scene.mask) > 0.5
        if wanted.sum() > LEAST_MASK:
            found = reading.mask > 0.5
            ious.append((wanted & found).sum() / (wanted | found).sum())
        doubts.append(abs(reading.face - before.face))
        if scene.mesh is None:
            continue
        right, left = (scene.mesh[point, :2] for point in OUTER_CORNERS)
        off = np.linalg.norm(reading.mesh[:, :2] - scene.mesh[:, :2], axis=1).mean()
        errors.append(off / np.linalg.norm(right - left))
        moves.append(np.linalg.norm(reading.mesh[:, :2] - before.mesh[:, :2], axis=1).mean())
    means = [float(np.mean(values)) for values in (ious, errors, doubts, moves)]
    return SceneScores(len(scenes), means[0], means[1], means[2], means[3] * SIZE_PX)
