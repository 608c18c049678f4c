"""The protocol `eyes`: how well EyeNet, as it ships, reads eyes of people it never saw."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.eyes.measures import aperture, iris_offset
from models.eyes.fit import EyeReading
from models.eyes.reader import SHIPPED_EYE_NET, EyeReader
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.clips.faces import FaceClips
from training.eyes.real import real_eyes
from training.eyes.samples import EyeSample
from training.eyes.scores import eye_score, plain
from training.eyes.simulated import made_up_nothing, simulated_eyes

EYES = "eyes"
AIMS = {"pupil_error": 0.02, "pupil_iou": 0.80, "open_auc": 0.98, "lid_error": 0.04}
HIGHER_IS_BETTER = ("pupil_iou", "open_auc")
EVERY = 8  # of the simulated frames
MADE_UP = 200  # pictures of nothing
SEED = 0

Advance = Callable[[int, int], None]


def eyes_document(
    data: Path,
    split: str,
    network: Path | None,
    faces: Path | None,
    strips: Path | None,
    advance: Advance,
) -> dict[str, Any]:
    """Score a network (the shipped one if None) on near-eye images, and draw what it read.

    With `faces`, a folder of face clips, the simulated headset's eyes are scored too, and how
    often an eye is reported where there is none.

    Raises:
        UserError: a folder or the network cannot be used.
    """
    reader = _reader(network)
    samples = list(real_eyes(data, split))
    readings, read_ms = read_all(reader, samples, advance)
    document: dict[str, Any] = {
        "protocol": EYES,
        "split": split,
        "network": str(network or SHIPPED_EYE_NET),
        "eyes": {name: plain(eye_score(samples, readings))[name] for name in AIMS},
        "aims": AIMS,
        "read_ms": {"p50": _at(read_ms, 50), "p99": _at(read_ms, 99)},
        "per_source": scores_by(samples, readings, lambda sample: sample.source),
        "per_subject": scores_by(samples, readings, lambda sample: sample.subject),
    }
    if strips is not None:
        from training.eyes.strips import write_strips  # late: drawing is not always wanted

        write_strips(strips, samples, readings)
    if faces is not None:
        document["simulated"] = _simulated(reader, FaceClips(faces), split, strips, advance)
    return document


def read_all(
    reader: EyeReader, samples: Sequence[EyeSample], advance: Advance
) -> tuple[list[EyeReading], list[float]]:
    """Every image's reading, and how long each took in ms."""
    readings, took_ms = [], []
    for index, sample in enumerate(samples):
        started_ns = time.perf_counter_ns()
        readings.append(reader.read(sample.image))
        took_ms.append((time.perf_counter_ns() - started_ns) / 1e6)
        advance(index + 1, len(samples))
    return readings, took_ms


def scores_by(
    samples: Sequence[EyeSample],
    readings: Sequence[EyeReading],
    key: Callable[[EyeSample], str],
) -> dict[str, dict[str, Any]]:
    """Scores of each group of images."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        groups[key(sample)].append(index)
    return {
        name: plain(eye_score([samples[i] for i in found], [readings[i] for i in found]))
        for name, found in sorted(groups.items())
    }


def _simulated(
    reader: EyeReader, clips: FaceClips, split: str, strips: Path | None, advance: Advance
) -> dict[str, Any]:
    """The simulated headset's eyes, and pictures without any."""
    seen = list(simulated_eyes(clips, split, EVERY, SEED))
    samples = [sample for sample in seen if sample.lids is not None]
    readings, _ = read_all(reader, samples, advance)
    nothing = [sample for sample in seen if sample.confidence == 0]
    nothing += made_up_nothing(MADE_UP, SEED, split)
    unsure, _ = read_all(reader, nothing, advance)
    if strips is not None:
        from training.eyes.strips import write_strips

        write_strips(strips, [*samples, *nothing], [*readings, *unsure])
    truths = np.array([_measures(s.lids, s.iris) for s in samples])
    found = np.array([_measures(r.lids, r.pupil) for r in readings])
    blinks = np.array([[s.blink, r.blink] for s, r in zip(samples, readings, strict=True)])
    return {
        **plain(eye_score(samples, readings)),
        "false_confidence": plain(eye_score(nothing, unsure))["false_confidence"],
        "eyeless_images": len(nothing),
        "aperture_r": _correlation(truths[:, 0], found[:, 0]),
        "sideways_r": _correlation(truths[:, 1], found[:, 1]),
        "upwards_r": _correlation(truths[:, 2], found[:, 2]),
        "blink_r": _correlation(blinks[:, 0], blinks[:, 1]),
    }


def _measures(lids: Any, ellipse: Any) -> tuple[float, float, float]:
    """What the fusion makes of an observation: aperture, and where the eye looks."""
    sideways, down = iris_offset(lids, ellipse[:2])
    return aperture(lids), float(sideways), float(down)


def _reader(network: Path | None) -> EyeReader:
    try:
        return EyeReader(network or SHIPPED_EYE_NET)
    except WeightsError as error:
        raise UserError(str(error)) from error


def _correlation(first: Any, second: Any) -> float | None:
    varies = len(first) > 1 and np.std(first) > 0 and np.std(second) > 0
    return float(np.corrcoef(first, second)[0, 1]) if varies else None


def _at(values: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 3)
