"""Scores of eye readings against what is known of the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.eyes.fit import EyeReading
from training.eyes.samples import PUPIL, EyeSample, Float32Array, ImageU8


@dataclass(frozen=True)
class EyeScore:
    """Means over the images of which the respective thing is truly known; NaN where none is."""

    images: int
    pupil_error: float  # median distance of the pupil's centre over the image's width
    pupil_iou: float  # mean overlap of the ellipse with the true mask, where there is one
    open_auc: float  # of the blink score, closed against open
    lid_error: float  # mean distance of the lids' contours, over the eye's width
    confidence: float  # mean, of images that show an eye
    false_confidence: float  # share of images without an eye in which one was reported

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by; higher is better."""
        worth = [
            -4 * self.pupil_error,
            self.pupil_iou,
            self.open_auc,
            -4 * self.lid_error,
            -self.false_confidence,
        ]
        return sum(value for value in worth if not math.isnan(value))


REPORTED = 0.5  # confidence from which an eye counts as reported


def eye_score(samples: Sequence[EyeSample], readings: Sequence[EyeReading]) -> EyeScore:
    """Score readings, one per sample and in px of its image."""
    pairs = list(zip(samples, readings, strict=True))
    centres = [centre_error(s, r) for s, r in pairs if s.pupil is not None and s.pupil_is_true]
    overlaps = [pupil_overlap(s, r) for s, r in pairs if has_true_mask(s)]
    blinks = [(s.blink, r.blink) for s, r in pairs if s.blink is not None and s.blink_is_true]
    lids = [lid_error(s, r) for s, r in pairs if has_whole_lids(s)]
    sure = [r.confidence for s, r in pairs if s.confidence >= REPORTED]
    unsure = [r.confidence >= REPORTED for s, r in pairs if s.confidence == 0]
    return EyeScore(
        images=len(pairs),
        pupil_error=float(np.median(centres)) if centres else math.nan,
        pupil_iou=_mean(overlaps),
        open_auc=area_under_curve(
            [read for truth, read in blinks if truth >= 0.5],
            [read for truth, read in blinks if truth < 0.5],
        ),
        lid_error=_mean(lids),
        confidence=_mean(sure),
        false_confidence=_mean(unsure),
    )


def plain(score: EyeScore) -> dict[str, float | int | None]:
    """For JSON, which knows no NaN."""
    values: dict[str, float | int] = asdict(score)
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def has_true_mask(sample: EyeSample) -> bool:
    """Whether a visible pupil's own mask is known."""
    if sample.labels is None or not sample.known_masks[0] or not sample.pupil_is_true:
        return False
    return sample.pupil is not None and bool((sample.labels == PUPIL).any())


def has_whole_lids(sample: EyeSample) -> bool:
    """Whether both lids are known from corner to corner."""
    return sample.lids is not None and bool((sample.lid_weights > 0).all())


def centre_error(sample: EyeSample, reading: EyeReading) -> float:
    """Distance of the pupil's centre from the true one, over the image's width."""
    assert sample.pupil is not None
    off = reading.pupil[:2] - sample.pupil[:2]
    return float(math.hypot(*off.tolist())) / sample.image.shape[1]


def pupil_overlap(sample: EyeSample, reading: EyeReading) -> float:
    """Intersection over union of the ellipse that was read and the true mask."""
    assert sample.labels is not None
    truth = sample.labels == PUPIL
    found = ellipse_mask(reading.pupil, sample.labels.shape) > 0
    either = int((found | truth).sum())
    return int((found & truth).sum()) / either if either else 1.0


def ellipse_mask(ellipse: Float32Array, shape: tuple[int, ...]) -> ImageU8:
    """(H,W) 1 at the pixels whose middle an OpenCV ellipse holds."""
    x, y, first, second, angle = (float(value) for value in ellipse)
    turn = math.radians(angle)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    right, down = columns - x, rows - y
    along = right * math.cos(turn) + down * math.sin(turn)
    across = down * math.cos(turn) - right * math.sin(turn)
    reach = (2 * along / max(first, 1e-6)) ** 2 + (2 * across / max(second, 1e-6)) ** 2
    return np.asarray(reach <= 1, np.uint8)


def lid_error(sample: EyeSample, reading: EyeReading) -> float:
    """Mean distance between the read and the true contour, both ways, over the eye's width."""
    assert sample.lids is not None
    width = float(np.linalg.norm(sample.lids[0, 8] - sample.lids[0, 0]))
    distances = [
        _from_line(points[lid], line[lid])
        for lid in (0, 1)
        for points, line in ((reading.lids, sample.lids), (sample.lids, reading.lids))
    ]
    return float(np.concatenate(distances).mean()) / max(width, 1e-6)


def area_under_curve(closed: Sequence[float], opened: Sequence[float]) -> float:
    """Chance that a closed eye's score is above an open one's; ties count half. NaN if no pair."""
    if not closed or not opened:
        return math.nan
    values = np.concatenate([closed, opened])
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[places]
    above = float(ranks[: len(closed)].sum()) - len(closed) * (len(closed) + 1) / 2
    return above / (len(closed) * len(opened))


def _from_line(points: Float32Array, line: Float32Array) -> NDArray[np.float64]:
    """(N,) distance of each point from a polyline (M,2)."""
    starts, ends = line[:-1].astype(np.float64), line[1:].astype(np.float64)
    along = ends - starts
    off = points[:, None].astype(np.float64) - starts
    share = (off * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
    nearest = starts + np.clip(share, 0, 1)[..., None] * along
    distance = np.linalg.norm(points[:, None] - nearest, axis=-1)
    return np.asarray(distance.min(axis=1))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
