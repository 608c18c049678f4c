"""`unvisor marker`: a sticker for the headset, to be printed at its true size, as PDF or PNG.

Both are made from one drawing of black boxes and text, in millimetres.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console

from edge.marker.detector import MarkerChoice, read_marker
from streaming.errors import UserError

POINTS_PER_MM = 72 / 25.4
PAGE_MM = (210.0, 279.0)  # what A4 and US Letter both have
SIZE_MM = (10.0, 120.0)
NEAREST_DPI = 600.0  # of the PNG; moved a little so that a cell is a whole number of pixels
LINE_MM = 0.2
CUT_MM = 6.0  # length of the cut lines, which begin a little outside the corners
TOP_MM = 30.0
TEXT_MM = 3.5  # size of the letters
ADVICE = "Stick it flat on the headset's front, in the camera's view, and keep its white rim."
RULER_MM, RULER_TEXT = 50.0, "Printed at 100 %, this line is 50 mm long."

Box = tuple[float, float, float, float]  # left, top, right, bottom: mm from the upper left


@dataclass(frozen=True)
class Sheet:
    """What is printed, in mm from the page's upper left."""

    boxes: tuple[Box, ...]  # filled black
    texts: tuple[tuple[float, float, str], ...]  # left end of the base line
    cell_mm: float


def marker(
    id: Annotated[int, typer.Option("--id", help="Number of the marker.")] = 7,
    family: Annotated[str, typer.Option(help="aruco or apriltag.")] = "aruco",
    size_mm: Annotated[float, typer.Option(help="Side of the black square.")] = 30.0,
    out: Annotated[Path, typer.Option(help="A .pdf or .png file.")] = Path("marker.pdf"),
) -> None:
    """Write a sticker to print, cut out and stick on the headset."""
    choice = read_marker(f"{family}:{id}")
    if choice is None or not SIZE_MM[0] <= size_mm <= SIZE_MM[1]:
        low, high = SIZE_MM
        raise UserError(f"A marker of {size_mm:g} mm cannot be printed: give {low:g} to {high:g}.")
    writers = {".pdf": as_pdf, ".png": as_png}
    if out.suffix.lower() not in writers:
        raise UserError(f"{out} is neither a .pdf nor a .png file.", "Use --out marker.pdf.")
    printed = writers[out.suffix.lower()](marker_sheet(choice, size_mm))
    try:
        out.write_bytes(printed)
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror}.") from error
    Console(stderr=True).print(
        f"{out}: print it at 100 %. {ADVICE} Then add --marker {family}:{id} to `unvisor run`.",
        soft_wrap=True,
        highlight=False,
    )


def marker_sheet(choice: MarkerChoice, size_mm: float) -> Sheet:
    """The drawing: black cells, a white rim one cell wide, cut lines, advice and a ruler."""
    cell = size_mm / choice.cells
    left, top = (PAGE_MM[0] - size_mm) / 2, TOP_MM
    dark = np.argwhere(choice.pattern == 0)
    boxes = [_cells(left, top, cell, int(row), int(column)) for row, column in dark]
    edges = (left - cell, top - cell, left + size_mm + cell, top + size_mm + cell)
    boxes += _cut_lines(edges)
    below = edges[3] + CUT_MM + 4 + TEXT_MM
    return with_ruler(boxes, cell, below, ADVICE, f"{choice.family}:{choice.id}, {size_mm:g} mm.")


def with_ruler(
    boxes: Sequence[Box], cell_mm: float, below_mm: float, advice: str, size: str
) -> Sheet:
    """A sheet of `boxes`; from `below_mm` on the advice, the size and a ruler to check it by."""
    start, ruler = (PAGE_MM[0] - RULER_MM) / 2, below_mm + 3 * TEXT_MM
    ends = (start, start + RULER_MM - LINE_MM)
    drawn = (
        (start, ruler, start + RULER_MM, ruler + LINE_MM),
        *((x, ruler - 1, x + LINE_MM, ruler + 1) for x in ends),
    )
    lines = (advice, f"{size} {RULER_TEXT}")
    texts = tuple((25.0, below_mm + i * 1.5 * TEXT_MM, line) for i, line in enumerate(lines))
    return Sheet((*boxes, *drawn), texts, cell_mm)


def as_pdf(sheet: Sheet) -> bytes:
    """The sheet as a one-page PDF of plain vector boxes."""
    width, height = (side * POINTS_PER_MM for side in PAGE_MM)
    drawn = []
    for left, top, right, bottom in sheet.boxes:
        numbers = (left, PAGE_MM[1] - bottom, right - left, bottom - top)
        drawn.append(" ".join(f"{n * POINTS_PER_MM:.4f}" for n in numbers) + " re f")
    for left, base, text in sheet.texts:
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        place = f"{left * POINTS_PER_MM:.3f} {(PAGE_MM[1] - base) * POINTS_PER_MM:.3f}"
        size = TEXT_MM * POINTS_PER_MM
        drawn.append(f"BT /F {size:.2f} Tf {place} Td ({escaped}) Tj ET")
    content = "\n".join(drawn).encode("ascii")
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.3f %.3f] /Contents 4 0 R "
        b"/Resources << /Font << /F 5 0 R >> >> >>" % (width, height),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    written, starts = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        starts.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    count = len(parts) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\n" % count
    end = b"startxref\n%d\n%%%%EOF\n" % len(written)
    return written + b"xref\n0 %d\n0000000000 65535 f \n" % count + table + trailer + end


def as_png(sheet: Sheet) -> bytes:
    """The sheet, without the page's empty lower part, as a PNG that knows its size in print."""
    cell_px = max(1, round(sheet.cell_mm / 25.4 * NEAREST_DPI))
    per_mm = cell_px / sheet.cell_mm
    # Cells lie on whole pixels when the first one does.
    shift = np.array([sheet.boxes[0][:2]]).ravel() * per_mm % 1
    bottom = max(box[3] for box in sheet.boxes) + 10
    page = np.full((round(bottom * per_mm), round(PAGE_MM[0] * per_mm)), 255, np.uint8)
    for box in sheet.boxes:
        left, top, right, low = (round(v) for v in np.array(box) * per_mm - np.tile(shift, 2))
        page[top : max(low, top + 1), left : max(right, left + 1)] = 0
    for x, base, text in sheet.texts:
        place = (round(x * per_mm), round(base * per_mm))
        size = TEXT_MM * per_mm / 30  # OpenCV's letters are about 30 px high at size 1
        thick = max(1, round(0.3 * per_mm))
        cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0,), thick, cv2.LINE_AA)
    coded = cv2.imencode(".png", page)[1].tobytes()
    per_m = round(per_mm * 1000)
    chunk = b"pHYs" + struct.pack(">IIB", per_m, per_m, 1)
    chunk = struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk))
    header = 8 + 25  # the signature and IHDR, which comes first
    return coded[:header] + chunk + coded[header:]


def _cells(left: float, top: float, cell: float, row: int, column: int) -> Box:
    x, y = left + column * cell, top + row * cell
    return (x, y, x + cell, y + cell)


def _cut_lines(edges: Box) -> list[Box]:
    """Two short lines outside each corner of the white rim."""
    half, gap = LINE_MM / 2, 1.0
    lines: list[Box] = []
    for x, outwards in ((edges[0], -1), (edges[2], 1)):
        for y, downwards in ((edges[1], -1), (edges[3], 1)):
            xs = sorted((x + outwards * gap, x + outwards * (gap + CUT_MM)))
            ys = sorted((y + downwards * gap, y + downwards * (gap + CUT_MM)))
            lines += [(xs[0], y - half, xs[1], y + half), (x - half, ys[0], x + half, ys[1])]
    return lines
