"""Holes of face masks and scarves, worn for a whole clip and moving with the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hmd_capture.face_masks.drawing import FaceMask
from training.masks.source import Float32Array, MaskU8

SEEDS = 1_000_000


@dataclass(frozen=True)
class FaceMaskHole:
    """One mask per clip, of a kind of `hmd_capture.face_masks`, or of a random one if None."""

    kind: str | None = None

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """See `MaskSource.masks`; meshes without depth count as flat."""
        worn = FaceMask(self.kind, int(random.integers(SEEDS)))
        depth = meshes[..., 2:3] if meshes.shape[2] > 2 else np.zeros_like(meshes[..., :1])
        deep = np.concatenate([meshes[..., :2], depth], axis=2).astype(np.float32)
        return np.stack([worn.hole(mesh, (size_px, size_px)) for mesh in deep])
