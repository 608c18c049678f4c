"""Tables of the measures beside the frames' scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

MISSING = "–"
# JSON path: heading, decimals
MEASURES: dict[tuple[str, ...], tuple[str, int]] = {
    ("l1",): ("L1", 4),
    ("l1_masked",): ("L1 in mask", 4),
    ("ssim_masked",): ("SSIM in mask", 4),
    ("ms_ssim",): ("MS-SSIM", 4),
    ("lpips_masked",): ("LPIPS of the mask's box", 4),
    ("vfid",): ("VFID", 3),
    ("vfid_per_clip_statistics",): ("VFID, batch statistics", 4),
    ("fd_efficientnet_lite0",): ("FD EfficientNet-Lite0", 2),
    ("warping_ratio",): ("warping error / truth's", 3),
    ("warping_ratio_masked",): ("the same in mask", 3),
    ("identity",): ("identity distance", 3),
    ("expression_l1",): ("expression L1", 4),
    ("eyes", "openness_r"): ("blink r", 3),
    ("eyes", "openness_r_pooled"): ("blink r, pooled", 3),
    ("ghost",): ("ghost", 3),
    ("loss_db",): ("loss dB", 2),
}


def value_of(scores: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """The number at `path` in nested scores, or None."""
    value: Any = scores
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return float(value) if isinstance(value, int | float) else None


def shown(value: float | None, decimals: int) -> str:
    """A cell."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def rich_table(document: Mapping[str, Any]) -> Table:
    """Measures down, methods and the truth itself across, for the terminal."""
    table = Table(title="beyond the frames' scores; the truth measured like a method")
    heading, *lines = _lines(document)
    table.add_column(heading[0])
    for name in heading[1:]:
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*line)
    return table


def markdown_table(document: Mapping[str, Any]) -> str:
    """The same for a document."""
    heading, *lines = _lines(document)
    return markdown([heading, *lines])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of a heading and lines; the first column is text."""
    heading, *body = lines
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in (heading, rule, *body))


def _lines(document: Mapping[str, Any]) -> list[list[str]]:
    columns = {**document["methods"], "truth": document["truth"]}
    lines = [["measure", *columns]]
    for path, (heading, decimals) in MEASURES.items():
        values = [value_of(scores, path) for scores in columns.values()]
        if any(value is not None for value in values[:-1]):
            lines.append([heading, *(shown(value, decimals) for value in values)])
    return lines
