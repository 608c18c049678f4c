"""`unvisor evaluate --protocol detail`: portraits restored at several times the fill's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch import nn

from models.filling import WarpRegisterFiller
from training.detail.portraits import Sitter, sitter_shots, sitters
from training.detail.scores import WAYS, Restored, WayScores, score_detail, summary
from training.evaluation.evaluate import FillerMaker, spread
from training.evaluation.run import Advance
from training.reports.scores import COLUMNS, MASK_GREY, write_json, write_picture, write_text

DETAIL = "detail"
METHODS = (WarpRegisterFiller.name,)  # unless others are named
SCALES = (2, 4)  # of the fill's side: 256 and 512 px at 128

HEADINGS = {
    "lpips": COLUMNS["lpips"],
    "lpips_masked": ("LPIPS of the mask's box", 4),
    "gradient_ratio": ("gradient energy over the truth's", 2),
    "psnr_db": COLUMNS["psnr_db"],
    "psnr_masked_db": COLUMNS["psnr_masked_db"],
}


def detail_document(
    folder: Path,
    split: str,
    makers: Mapping[str, FillerMaker],
    size_px: int,
    distance: nn.Module | None,
    limit_people: int | None,
    strips: Path | None,
    advance: Advance,
) -> dict[str, Any]:
    """Score every maker's fills of `size_px` in portraits of `SCALES` times that.

    Raises:
        UserError: the portraits or a network cannot be used, or a filler has no detail.
    """
    people = spread(sitters(folder, split), limit_people)
    sides = [scale * size_px for scale in SCALES]
    scores = {name: {side: {way: WayScores() for way in WAYS} for side in sides} for name in makers}
    for index, sitter in enumerate(people):
        for name, maker in makers.items():
            for side, found in scores[name].items():
                shots = sitter_shots(sitter, maker, side, size_px)
                restored = score_detail(shots, size_px, distance, found)
                if strips is not None:
                    picture = strip_of(sitter, restored)
                    write_picture(strips / f"{sitter.identity}-{name}-{side}.png", picture)
        advance(index + 1, len(people))
    photo_sides = [len(photo.image) for sitter in people for photo in sitter.photos]
    return {
        "protocol": DETAIL,
        "split": split,
        "people": len(people),
        "frames": len(photo_sides),
        "photo_px": {"min": min(photo_sides), "max": max(photo_sides)},
        "size_px": size_px,
        "landmarks": "oracle",
        "methods": {
            name: {
                str(side): summary(found)
                | {"per_person": {who.identity: summary(found, i) for i, who in enumerate(people)}}
                for side, found in of_method.items()
            }
            for name, of_method in scores.items()
        },
    }


def tell_detail(document: dict[str, Any], json_file: Path | None, markdown: Path | None) -> None:
    """Print the table and write the files that were asked for."""
    headings, *lines = _lines(document)
    table = Table(title=_title(document))
    for heading in headings:
        table.add_column(heading, justify="right" if table.columns else "left")
    for cells in lines:
        table.add_row(*cells)
    Console().print(table)
    if json_file is not None:
        write_json(json_file, document)
    if markdown is not None:
        rule = ["---", *["---:"] * (len(headings) - 1)]
        body = "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *lines))
        write_text(markdown, f"{_title(document)}\n\n{body}\n")


def strip_of(sitter: Sitter, restored: Restored) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pairs down; known photo, hole, each way and the truth across."""
    known = np.stack([pair[1].image for pair in sitter.pairs(restored.truth.shape[1])])
    holed = np.where(restored.hidden[..., None] != 0, np.uint8(MASK_GREY), restored.truth)
    columns = (known, holed, *restored.shown.values(), restored.truth)
    return np.vstack([np.hstack(row) for row in zip(*columns, strict=True)])


def _title(document: dict[str, Any]) -> str:
    least, most = document["photo_px"]["min"], document["photo_px"]["max"]
    photos = f"{least} px" if least == most else f"{least} to {most} px"
    return (
        f"{DETAIL}, {document['split']}: {document['frames']} pairs of portraits of "
        f"{document['people']} people, {photos}, fills of {document['size_px']} px"
    )


def _lines(document: dict[str, Any]) -> Iterator[list[str]]:
    """Heading and rows of the table."""
    methods = document["methods"]
    scored = [ways[way] for sides in methods.values() for ways in sides.values() for way in WAYS]
    shown = [name for name in HEADINGS if all(name in scores for scores in scored)]
    yield ["enlarged", *(HEADINGS[name][0] for name in shown)]
    for name, sides in methods.items():
        for side, ways in sides.items():
            for way in WAYS:
                cells = [f"{ways[way][each]:.{HEADINGS[each][1]}f}" for each in shown]
                yield [f"{name} to {side} px, {way}", *cells]
