"""Which headsets a split may be dressed with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from hmd_capture.cutouts import FILE_NAME, CutoutHeadset
from hmd_capture.headset_render import Headset, ProceduralHeadset
from training.clips.faces import FaceDataError

BUILT_IN_COUNT = 48  # differently seeded built-in headsets
CUTOUTS = "cutouts"  # folder of the pictures beside manifest.csv


def split_names(folder: Path, split: str) -> list[str]:
    """Names of the models that a folder's `manifest.csv` puts in a split.

    Raises:
        FaceDataError: there is no such manifest, or no model in that split.
    """
    try:
        with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
    except OSError as error:
        raise FaceDataError(
            f"{folder / 'manifest.csv'} cannot be read ({error.strerror}); "
            "give a folder of headset pictures laid out as docs/DATA.md describes"
        ) from error
    except KeyError as error:
        raise FaceDataError(
            f"{folder / 'manifest.csv'} has no column {error}; docs/DATA.md lists them"
        ) from error
    matches = [FILE_NAME.fullmatch(Path(row["file"]).name) for row in rows]
    names = sorted({match["name"] for match in matches if match})
    if not names:
        raise FaceDataError(f"{folder}/manifest.csv has no cut-outs in split '{split}'")
    return names


def headset_models(
    folder: Path | None, names: Sequence[str]
) -> tuple[list[Headset], list[Headset]]:
    """The built-in headsets in many seeds, and the named models of a folder."""
    built_in: list[Headset] = [ProceduralHeadset(None, seed) for seed in range(BUILT_IN_COUNT)]
    models: list[Headset] = []
    if folder is not None:
        models = [CutoutHeadset(folder / CUTOUTS, 0, name) for name in names]
    return built_in, models
