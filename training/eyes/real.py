"""Reading a folder of near-eye images: `manifest.csv` and `neareye.zip` (docs/DATA.md)."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streaming.errors import UserError
from training.eyes.samples import IRIS, PUPIL, EyeSample, Float32Array, ImageU8

MANIFEST, ARCHIVE = "manifest.csv", "neareye.zip"
NEEDED_COLUMNS = ("file", "split", "source", "subject", "true_blink", "true_pupil_ellipse")
LEAST_OPENNESS = 0.3  # of a teacher's lids: those of nearly closed eyes are guesses
# Sources whose lids are good only over the iris: the corners lie in the skin's shade.
LIDS_OVER_IRIS_ONLY = ("meye",)
IRIS_MARGIN = 0.1  # of its width, by which "over the iris" is wider than the iris
MAX_SIDE_PX = 256  # larger images are kept at this size

Row = dict[str, str]


class EyeDataError(UserError, ValueError):
    """The eye folder, or an image in it, cannot be used; the message says what to do."""


def eye_rows(root: Path, split: str) -> list[Row]:
    """Rows of the manifest in one split.

    Raises:
        EyeDataError: there is no such folder, a column is missing, or the split is empty.
    """
    try:
        with open(root / MANIFEST, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EyeDataError(
            f"{root / MANIFEST} cannot be read ({reason}); give a folder laid out as docs/DATA.md "
            "describes"
        ) from error
    missing = [name for name in NEEDED_COLUMNS if rows and name not in rows[0]]
    if missing:
        raise EyeDataError(f"{root / MANIFEST} lacks the column(s) {', '.join(missing)}")
    chosen = [row for row in rows if row["split"] == split]
    if not chosen:
        raise EyeDataError(f"{root} has no image in split '{split}'")
    return chosen


def real_eyes(root: Path, split: str) -> Iterator[EyeSample]:
    """Every image of a split with what is known of it.

    True labels come first; a teacher's are taken where it is marked good, and only where it
    is known to be.

    Raises:
        EyeDataError: as `eye_rows`, or an image or mask is missing or damaged.
    """
    rows = eye_rows(root, split)
    try:
        with zipfile.ZipFile(root / ARCHIVE) as archive:
            for row in rows:
                yield _reduced(_sample(archive, row))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise EyeDataError(
            f"{root / ARCHIVE} cannot be read ({error}); copy the folder again"
        ) from error


def _sample(archive: zipfile.ZipFile, row: Row) -> EyeSample:
    image = _picture(archive, row["file"])
    taught = row.get("teacher_ok") == "1"
    labels, known = _label_map(archive, row, image.shape, taught)
    lids, weights = _lids(row) if taught else (None, np.ones((2, 9), np.float32))
    blink = _blink(row)
    state = "unknown" if blink is None else "closed" if blink > 0.5 else "open"
    crowd = row["subject"] if row["source"] == "meye" else row["source"]
    return EyeSample(
        image=image,
        group=f"{crowd} {state}",
        lids=lids,
        lid_weights=weights,
        pupil=_pupil(row, taught),
        iris=_ellipse(row.get("teacher_iris_ellipse", "")) if taught else None,
        labels=labels,
        known_masks=known,
        blink=blink,
        pupil_is_true=bool(row["true_pupil_ellipse"]),
        blink_is_true=bool(row["true_blink"]),
        source=row["source"],
        subject=row["subject"],
        name=row["file"],
    )


def _picture(archive: zipfile.ZipFile, name: str) -> ImageU8:
    image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise EyeDataError(f"{name} in {ARCHIVE} is no picture; copy the folder again")
    return np.asarray(image, np.uint8)


def _label_map(
    archive: zipfile.ZipFile, row: Row, shape: tuple[int, ...], taught: bool
) -> tuple[ImageU8 | None, tuple[bool, bool, bool]]:
    """What each pixel is, and for which of pupil, iris and opening that can be relied on."""
    known = [False, taught, taught]
    labels = np.zeros(shape, np.uint8)
    if taught and row.get("teacher_mask"):
        labels = _picture(archive, row["teacher_mask"]).copy()
        known[0] = True
    if row.get("true_pupil_mask"):
        pupil = _picture(archive, row["true_pupil_mask"]) > 127
        labels[labels == PUPIL] = IRIS
        labels[pupil] = PUPIL
        known[0] = True
    elif row.get("true_pupil_visible") == "0":
        labels[labels == PUPIL] = IRIS
        known[0] = True
    elif row["true_pupil_ellipse"]:
        labels[labels == PUPIL] = IRIS
        x, y, first, second, angle = json.loads(row["true_pupil_ellipse"])
        cv2.ellipse(labels, ((x, y), (first, second), angle), (float(PUPIL),), -1)
        known[0] = True
    return (labels if any(known) else None), (known[0], known[1], known[2])


def _lids(row: Row) -> tuple[Float32Array | None, Float32Array]:
    weights = np.ones((2, 9), np.float32)
    if not row.get("teacher_upper_lid") or float(row["teacher_openness"]) < LEAST_OPENNESS:
        return None, weights
    lids = np.array(
        [json.loads(row["teacher_upper_lid"]), json.loads(row["teacher_lower_lid"])], np.float32
    )
    if row["source"] in LIDS_OVER_IRIS_ONLY:
        iris = _ellipse(row["teacher_iris_ellipse"])
        if iris is None:
            return None, weights
        reach = float(max(iris[2:4])) * (0.5 + IRIS_MARGIN)
        weights = np.asarray(np.abs(lids[..., 0] - iris[0]) <= reach, np.float32)
        weights[:, [0, -1]] = 0.0
    return lids, weights


def _pupil(row: Row, taught: bool) -> Float32Array | None:
    if row.get("true_pupil_visible") == "0":
        return None
    truth = _ellipse(row["true_pupil_ellipse"])
    if truth is not None or not taught:
        return truth
    return _ellipse(row.get("teacher_pupil_ellipse", ""))


def _blink(row: Row) -> float | None:
    """The true flag; where there is none, an eye whose pupil was looked for and not found."""
    if row["true_blink"]:
        return float(row["true_blink"])
    if row.get("true_pupil_visible"):
        return 1.0 - float(row["true_pupil_visible"])
    return 0.0  # the other sources hold open eyes only


def _ellipse(text: str) -> Float32Array | None:
    if not text:
        return None
    ellipse: NDArray[np.float32] = np.array(json.loads(text), np.float32)
    return ellipse if ellipse.shape == (5,) and ellipse[2] > 0 and ellipse[3] > 0 else None


def _reduced(sample: EyeSample) -> EyeSample:
    """The same at no more than MAX_SIDE_PX."""
    height, width = sample.image.shape
    scale = MAX_SIDE_PX / max(height, width)
    if scale >= 1:
        return sample
    size = (round(width * scale), round(height * scale))
    grow = np.array([size[0] / width, size[1] / height])

    def moved(ellipse: Float32Array | None) -> Float32Array | None:
        if ellipse is None:
            return None
        ratio = np.float32(scale)
        centre = (ellipse[:2] + 0.5) * grow - 0.5
        return np.array([*centre, *(ellipse[2:4] * ratio), ellipse[4]], np.float32)

    labels = sample.labels
    return EyeSample(
        **{
            **vars(sample),
            "image": cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA),
            "labels": None
            if labels is None
            else cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST),
            "lids": None
            if sample.lids is None
            else np.asarray((sample.lids + 0.5) * grow - 0.5, np.float32),
            "pupil": moved(sample.pupil),
            "iris": moved(sample.iris),
        }
    )
