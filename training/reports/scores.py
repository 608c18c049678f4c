"""Scores as JSON, tables and picture strips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.table import Table

from streaming.errors import UserError
from streaming.whole_file import write_whole
from training.clips.faces import ImageU8
from training.evaluation.metrics import FrameScores, clip_means, summarise
from training.protocol import ScoredClip

COLUMNS = {  # JSON key: heading, decimals
    "psnr_db": ("PSNR dB", 2),
    "psnr_masked_db": ("PSNR in mask dB", 2),
    "ssim": ("SSIM", 4),
    "lpips": ("LPIPS", 4),
    "mse": ("MSE", 5),
}
STRIP_ROWS = 5  # frames shown per clip
MASK_GREY = 128


def method_scores(
    segments: Sequence[str], identities: Sequence[str], clips: Sequence[FrameScores]
) -> dict[str, Any]:
    """Means over clips; `people_mean`, where each person counts once; `per_person`; `per_clip`.

    A person's scores are means over that person's clips.
    `people_deviation` is the standard deviation over people.
    """
    people = {
        who: clip_means(
            [clip for clip, owner in zip(clips, identities, strict=True) if owner == who]
        )
        for who in dict.fromkeys(identities)
    }
    per_clip = {segment: summarise([clip]) for segment, clip in zip(segments, clips, strict=True)}
    per_person = {who: summarise([scores]) for who, scores in people.items()}
    return summarise(clips) | {
        "people_mean": summarise(list(people.values())),
        "people_deviation": deviations(list(per_person.values())),
        "per_person": per_person,
        "per_clip": per_clip,
    }


def deviations(people: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Standard deviation over people of every score that all of them have."""
    shared = [name for name in people[0] if all(name in person for person in people)]
    return {name: float(np.std([person[name] for person in people])) for name in shared}


def rich_table(document: Mapping[str, Any]) -> Table:
    """The table for the terminal."""
    table = Table(title=_title(document))
    table.add_column("method")
    for heading in _headings(document):
        table.add_column(heading, justify="right")
    for cells in _lines(document):
        table.add_row(*cells)
    return table


def markdown_table(document: Mapping[str, Any]) -> str:
    """The table for a document: one line per method and mean, heading included."""
    headings = ["method", *_headings(document)]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *_lines(document)]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{_title(document)}\n\n{body}\n"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write `document`; floats keep their full precision, NaN is refused."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and the folders above it.

    Raises:
        UserError: if the place cannot be written to; what was there is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # such as /dev/stdout
            path.write_text(text, encoding="utf-8")
        else:
            write_whole(path, text.encode())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}).", "Choose another."
        ) from error


def write_strip(folder: Path, clip: ScoredClip, filled: Mapping[str, ImageU8]) -> None:
    """Write SEGMENT.png: frames down; reference, hole, each method and the truth across."""
    chosen = np.linspace(0, len(clip.truth) - 1, STRIP_ROWS).round().astype(int)
    rows = []
    for index in chosen:
        hidden = clip.hidden[index][..., None] != 0
        holed = np.where(hidden, np.uint8(MASK_GREY), clip.truth[index])
        methods = [frames[index] for frames in filled.values()]
        rows.append(np.hstack([clip.reference_image, holed, *methods, clip.truth[index]]))
    write_picture(folder / f"{clip.segment}.png", np.vstack(rows))


def write_picture(path: Path, image: ImageU8) -> None:
    """Write a PNG and the folders above it.

    Raises:
        UserError: if the place cannot be written to.
    """
    encoded, content = cv2.imencode(".png", image)
    if not encoded:
        raise ValueError(f"{path.name} could not be encoded as PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.tobytes())
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written to ({error.strerror}).", "Choose another."
        ) from error


def tracker_table(document: Mapping[str, Any]) -> Table:
    """The tracker's own scores, for the terminal."""
    table = Table(title="tracker, against MediaPipe on the bare face: itself an estimate")
    scores = {name: value for name, value in document["tracker"].items() if name != "track_ms"}
    for name in (*scores, "ms p50"):
        table.add_column(name, justify="right")
    cells = [f"{value:.4f}" for value in scores.values()]
    table.add_row(*cells, f"{document['tracker']['track_ms']['p50']:.1f}")
    return table


def eyes_table(document: Mapping[str, Any]) -> Table:
    """How well the eyes follow, for the terminal."""
    table = Table(title="eyes from the eye cameras alone; gains over fixed open eyes")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in document["eyes"].items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    return table


def _title(document: Mapping[str, Any]) -> str:
    return (
        f"{document['protocol']}, {document['split']}: {document['clips']} clips of "
        f"{document['people']} people, {document['size_px']} px, {document['landmarks']} landmarks"
    )


def _headings(document: Mapping[str, Any]) -> list[str]:
    return [*(COLUMNS[name][0] for name in _shown(document)), "ms"]


def _lines(document: Mapping[str, Any]) -> list[list[str]]:
    lines = []
    for name, scores in document["methods"].items():
        label = name if scores["filler"] == name else f"{name} (ran {scores['filler']})"
        time_ms = f"{scores['fill_ms']['p50']:.1f}"
        lines.append([label, *_cells(document, scores), time_ms])
        lines.append([f"{label}, mean of people", *_cells(document, scores["people_mean"]), ""])
    return lines


def _cells(document: Mapping[str, Any], scores: Mapping[str, float]) -> list[str]:
    return [f"{scores[name]:.{COLUMNS[name][1]}f}" for name in _shown(document)]


def _shown(document: Mapping[str, Any]) -> list[str]:
    methods = list(document["methods"].values())
    return [name for name in COLUMNS if all(name in scores for scores in methods)]
