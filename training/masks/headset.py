"""Headset-shaped holes, locked to the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.masks.coverings import headset_mask, random_shape
from training.masks.source import Float32Array, MaskU8

JITTERED_SHARE = 0.4


@dataclass(frozen=True)
class HeadsetHole:
    """One headset per clip, moving with the head; `training.masks.coverings` defines its shape."""

    jittered_share: float = JITTERED_SHARE  # of clips whose headset has other proportions

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """See `MaskSource.masks`."""
        shape = random_shape(random, self.jittered_share)
        return np.stack([headset_mask(mesh, size_px, shape) for mesh in meshes])


PROTOCOL_HEADSET = HeadsetHole(jittered_share=0.0)  # of the `hmd` protocols
