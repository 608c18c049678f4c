"""A folder of drawn near-eye images in the layout that `unvisor train-eyes` reads."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np

COLUMNS = (
    "file",
    "split",
    "source",
    "subject",
    "true_blink",
    "true_pupil_visible",
    "true_pupil_mask",
    "true_pupil_ellipse",
    "teacher_mask",
    "teacher_ok",
    "teacher_openness",
    "teacher_iris_ellipse",
    "teacher_pupil_ellipse",
    "teacher_upper_lid",
    "teacher_lower_lid",
)
SPLITS = {"train": 12, "val": 6, "test": 6}  # images of each


def write_eye_folder(root: Path) -> Path:
    """Half of the images have an eye with all labels, the others a closed one."""
    rows, root = [], root / "eyes"
    root.mkdir()
    random = np.random.default_rng(0)
    with zipfile.ZipFile(root / "neareye.zip", "w") as archive:
        for split, count in SPLITS.items():
            for index in range(count):
                name = f"{split}_{index}.png"
                image, mask, row = _eye(random, closed=index % 2 == 1)
                archive.writestr(f"images/{name}", _png(image))
                archive.writestr(f"true_pupil/{name}", _png((mask == 3).astype(np.uint8) * 255))
                archive.writestr(f"teacher_mask/{name}", _png(mask))
                row |= {"file": f"images/{name}", "split": split, "source": "drawn"}
                rows.append(row | {"subject": f"{split}_{index // 4}", "name": name})
                if row["true_pupil_visible"]:
                    rows[-1]["true_pupil_mask"] = f"true_pupil/{name}"
                    rows[-1]["teacher_mask"] = f"teacher_mask/{name}"
    with open(root / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return root


def _eye(random: np.random.Generator, closed: bool) -> tuple[np.ndarray, np.ndarray, dict]:
    image = np.full((96, 128), 150, np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    x, y = random.uniform((54, 42), (74, 54)).round(2).tolist()
    if closed:
        cv2.line(image, (24, int(y)), (104, int(y)), 60, 2)
        return image, mask, {"true_blink": "1", "true_pupil_visible": "0"}
    across = np.linspace(24, 104, 9)
    arch = 20 * np.sin(np.linspace(0, np.pi, 9))
    lids = [np.stack([across, y + sign * arch], axis=1).round(2) for sign in (-1, 1)]
    contour = np.concatenate([lids[0], lids[1][::-1]]).round().astype(np.int32)
    cv2.fillPoly(mask, [contour], 1)
    for value, size in ((2, 34.0), (3, 14.0)):
        inside = np.zeros_like(mask)
        cv2.ellipse(inside, ((x, y), (size, size), 0.0), 1, -1)
        mask[(inside > 0) & (mask > 0)] = value
    image = np.asarray(np.array([150, 220, 90, 20], np.uint8)[mask])
    row = {
        "true_blink": "0",
        "true_pupil_visible": "1",
        "true_pupil_ellipse": json.dumps([x, y, 14.0, 14.0, 0.0]),
        "teacher_ok": "1",
        "teacher_openness": "0.9",
        "teacher_iris_ellipse": json.dumps([x, y, 34.0, 34.0, 0.0]),
        "teacher_pupil_ellipse": json.dumps([x, y, 15.0, 15.0, 0.0]),
        "teacher_upper_lid": json.dumps(lids[0].tolist()),
        "teacher_lower_lid": json.dumps(lids[1].tolist()),
    }
    return image, mask, row


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()
