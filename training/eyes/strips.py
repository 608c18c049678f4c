"""Pictures of what was read: one sheet per source, evenly spaced images and the worst ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.eyes.fit import EyeReading
from streaming.errors import UserError
from training.eyes.samples import EyeSample, Float32Array, ImageU8
from training.eyes.scores import centre_error, has_true_mask, has_whole_lids, lid_error
from training.eyes.scores import pupil_overlap as overlap

TILE_PX = 224
COLUMNS, ROWS, WORST_ROWS = 8, 3, 2
READ, TRUE = ((80, 255, 80), (255, 200, 0), (60, 60, 255)), (255, 255, 255)


def write_strips(
    folder: Path, samples: Sequence[EyeSample], readings: Sequence[EyeReading]
) -> None:
    """Write SOURCE.jpg and SOURCE-worst.jpg: read contours in colours, true ones in white.

    Raises:
        UserError: the folder cannot be written.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        groups[sample.subject if sample.source == "meye" else sample.source].append(index)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, found in groups.items():
            spaced = found[:: max(1, len(found) // (COLUMNS * ROWS))][: COLUMNS * ROWS]
            worst = sorted(found, key=lambda i: -_badness(samples[i], readings[i]))
            for ending, chosen in (("", spaced), ("-worst", worst[: COLUMNS * WORST_ROWS])):
                tiles = [drawn(samples[i], readings[i]) for i in chosen]
                (folder / f"{name}{ending}.jpg").write_bytes(_sheet(tiles))
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}).", "Name another folder."
        ) from error


def drawn(sample: EyeSample, reading: EyeReading) -> ImageU8:
    """One (T,T,3) tile: the image with both contours and the verdicts."""
    height, width = sample.image.shape
    scale = TILE_PX / max(height, width)
    size = (round(width * scale), round(height * scale))
    tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    shown = cv2.resize(sample.image, size, interpolation=cv2.INTER_CUBIC)
    tile[: size[1], : size[0]] = shown[..., None]
    if sample.lids is not None:
        for lid, weights in zip(sample.lids, sample.lid_weights, strict=True):
            for point in lid[weights > 0]:
                cv2.circle(tile, _px(point, scale), 1, TRUE, -1)
    if sample.pupil is not None:
        _ellipse(tile, sample.pupil, scale, TRUE)
    for lid, colour in zip(reading.lids, READ[:2], strict=True):
        line = np.array([_px(point, scale) for point in lid], np.int32)
        cv2.polylines(tile, [line], False, colour, 1, cv2.LINE_AA)
    _ellipse(tile, reading.pupil, scale, READ[2])
    _ellipse(tile, reading.iris, scale, READ[1])
    truth = "?" if sample.blink is None else f"{sample.blink:.1f}"
    text = f"closed {reading.blink:.2f} ({truth}) eye {reading.confidence:.2f}"
    cv2.putText(tile, text, (3, TILE_PX - 4), cv2.FONT_HERSHEY_PLAIN, 0.8, (0, 255, 255))
    return tile


def _badness(sample: EyeSample, reading: EyeReading) -> float:
    bad = abs(reading.confidence - float(sample.confidence > 0))
    if has_true_mask(sample):
        bad += 1 - overlap(sample, reading) + 4 * centre_error(sample, reading)
    if has_whole_lids(sample):
        bad += 10 * lid_error(sample, reading)
    if sample.blink is not None and sample.blink_is_true:
        bad += abs(sample.blink - reading.blink)
    return bad


def _sheet(tiles: Sequence[ImageU8]) -> bytes:
    blank = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    count = -(-len(tiles) // COLUMNS) * COLUMNS
    padded = [*tiles, *[blank] * (count - len(tiles))]
    rows = [np.hstack(padded[i : i + COLUMNS]) for i in range(0, count, COLUMNS)]
    return cv2.imencode(".jpg", np.vstack(rows))[1].tobytes()


def _ellipse(tile: ImageU8, ellipse: Float32Array, scale: float, colour: tuple[int, ...]) -> None:
    x, y, first, second, angle = (float(value) for value in ellipse)
    box = (((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5), (first * scale, second * scale))
    cv2.ellipse(tile, (*box, angle), colour, 1, cv2.LINE_AA)


def _px(point: Float32Array, scale: float) -> tuple[int, int]:
    x, y = (np.clip((point + 0.5) * scale - 0.5, -9999, 9999)).round().astype(int).tolist()
    return x, y
