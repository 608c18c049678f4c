"""Sequences to learn from: the wearer's frames under headsets, prepared as a session does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models import preparation
from models.bank.references import ReferenceBank
from models.preparer import Preparer
from models.reference import Reference
from training.finetuning.clip import Float32Array, ImageU8, WearerClip, views_of
from training.masks.coverings import headset_mask, random_shape

SEQUENCE_FRAMES = 16
FAR_FRAMES = 12  # a view lies at least so far from the frames that are restored from it
JITTERED_MASK_SHARE = 0.6
ONE_VIEW_SHARE = 0.5  # of the sequences: any frame is the only view, as when poses are missing
TINTED_SHARE, LARGEST_TINT = 0.3, 0.05  # per channel: light that changed since the capture


@dataclass(frozen=True)
class Sequence:
    """Consecutive frames under one headset."""

    inputs: Float32Array  # (T,8,S,S), half precision
    truth: Float32Array  # (T,3,S,S) RGB 0..1, half precision


class Drawing:
    """Draws sequences from a clip; the same seed gives the same ones."""

    def __init__(self, clip: WearerClip, seed: int = 0) -> None:
        """Choose the views once."""
        self._clip, self._random = clip, np.random.default_rng(seed)
        self._views = views_of(clip)
        beginnings = [
            index
            for index in range(len(clip) - SEQUENCE_FRAMES + 1)
            if not clip.starts[index + 1 : index + SEQUENCE_FRAMES].any()
        ]
        # A folder of photos has no consecutive frames: then any row of frames will do.
        self._beginnings = beginnings or list(range(max(1, len(clip) - SEQUENCE_FRAMES + 1)))

    def draw(self) -> Sequence:
        """Another sequence."""
        begin = int(self._random.choice(self._beginnings))
        end = min(begin + SEQUENCE_FRAMES, len(self._clip))
        shape = random_shape(self._random, JITTERED_MASK_SHARE)
        size_px = self._clip.images.shape[1]
        preparer = Preparer(ReferenceBank(self._references(begin, end), size_px))
        inputs, truth = [], []
        for image, mesh in zip(
            self._clip.images[begin:end], self._clip.meshes[begin:end], strict=True
        ):
            hidden = headset_mask(mesh, size_px, shape)
            inputs.append(network_input_of(image, hidden, mesh, preparer))
            truth.append(preparation.planes(image))
        return Sequence(np.stack(inputs).astype(np.float16), np.stack(truth).astype(np.float16))

    def _references(self, begin: int, end: int) -> list[Reference]:
        """Views that are no neighbours of the frames, in somewhat other light."""
        away = np.r_[0 : max(0, begin - FAR_FRAMES), end + FAR_FRAMES : len(self._clip)].astype(int)
        chosen = [view for view in self._views if view in away]
        if not chosen or self._random.random() < ONE_VIEW_SHARE:
            chosen = [int(self._random.choice(away))] if away.size else [self._views[0]]
        tint = np.ones(3)
        if self._random.random() < TINTED_SHARE:
            tint = 1 + self._random.uniform(-LARGEST_TINT, LARGEST_TINT, 3)
        views = [self._clip.reference(index) for index in chosen]
        return [Reference(np.clip(v.image * tint, 0, 255).astype(np.uint8), v.mesh) for v in views]


def network_input_of(
    image: ImageU8, hidden: ImageU8, mesh: Float32Array, preparer: Preparer
) -> Float32Array:
    """(8,S,S) what a session gives the network for a bare frame under the mask `hidden`."""
    crop = preparation.without(image, hidden)
    return preparation.network_input(preparer.step(crop, hidden, mesh))
