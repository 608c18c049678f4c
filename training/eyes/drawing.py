"""Drawing labelled eyes at random, rare ones more often; and keeping them decoded on disk."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.clips.faces import FaceClips
from training.eyes.real import real_eyes
from training.eyes.samples import EyeSample
from training.eyes.simulated import made_up_nothing, simulated_eyes
from training.eyes.targets import EyeTargets, placed, stacked

log = logging.getLogger(__name__)

# How often a crowd of images is drawn, by how its group's name begins. A crowd of several groups
# (people with the eye open and closed) shares it out by the root of their sizes.
CROWD_SHARES = {
    "meye": 0.36,
    "mmu2": 0.13,
    "pcore": 0.07,
    "casia1": 0.02,
    "openeds": 0.03,
    "simulated": 0.30,
    "nothing": 0.09,
}
OTHER_SHARE = 0.05
CLOSED_EXTRA = 2.0  # closed eyes are rare and half of what matters


class EyeDraw:
    """Endless batches; the same seed gives the same ones."""

    def __init__(self, samples: Sequence[EyeSample], batch: int, seed: int) -> None:
        """Keep the samples and how often each is drawn."""
        self._samples, self._batch = samples, batch
        self._random = np.random.default_rng(seed)
        self._chances = np.cumsum(chances(samples))

    def batch(self) -> EyeTargets:
        """One more batch, moved and lit at random."""
        places = np.searchsorted(self._chances, self._random.random(self._batch))
        last = len(self._samples) - 1
        items = [placed(self._samples[min(int(p), last)], self._random) for p in places]
        return stacked(items)


def chances(samples: Sequence[EyeSample]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(N,) the chance of each sample, summing to 1."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        groups[sample.group].append(index)
    shares = np.zeros(len(samples))
    crowds: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        crowds[next((name for name in CROWD_SHARES if group.startswith(name)), "")].append(group)
    for crowd, members in crowds.items():
        weights = np.array([_weight(group, len(groups[group])) for group in members])
        weights *= CROWD_SHARES.get(crowd, OTHER_SHARE) / weights.sum()
        for group, weight in zip(members, weights, strict=True):
            shares[groups[group]] = weight / len(groups[group])
    return np.asarray(shares / shares.sum())


def _weight(group: str, size: int) -> float:
    extra = CLOSED_EXTRA if group.endswith(("closed", "closing")) else 1.0
    return float(np.sqrt(size)) * extra * (0.1 if group.endswith("unsure") else 1.0)


def training_eyes(
    data: Path, clips: FaceClips, split: str, every: int, seed: int, limit: int = 0
) -> list[EyeSample]:
    """All labelled images of a split: real, simulated and none.

    Raises:
        EyeDataError: the eye folder cannot be used.
        FaceDataError: the face folder cannot be used.
    """
    samples = list(real_eyes(data, split))
    counts = {"real": len(samples)}
    samples += simulated_eyes(clips, split, every, seed, limit)
    counts["from clips"] = len(samples) - counts["real"]
    samples += made_up_nothing(len(samples) // 40 + 10, seed, split)
    log.info("%s: %s, %d images in all", split, counts, len(samples))
    return samples
