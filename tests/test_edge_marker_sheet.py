from __future__ import annotations

import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.__main__ import main
from edge.marker.detector import MarkerDetector, read_marker
from edge.marker.sheet import POINTS_PER_MM, as_pdf, as_png, marker_sheet

CHOICE = read_marker("aruco:7")
assert CHOICE is not None


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def pdf_boxes(pdf: bytes) -> np.ndarray:
    """(N,4) left, bottom, width, height in mm."""
    found = re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re f", pdf)
    return np.array(found).astype(float) / POINTS_PER_MM


@pytest.mark.parametrize("name", ["aruco:7", "apriltag:3"])
def test_the_printed_picture_is_read_as_that_marker_at_its_true_size(name: str) -> None:
    choice = read_marker(name)
    assert choice is not None
    png = as_png(marker_sheet(choice, 30.0))
    at = png.index(b"pHYs") + 4
    per_m = struct.unpack(">II", png[at : at + 8])[0]
    page = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    (corners,) = MarkerDetector(choice).find(np.asarray(page, np.uint8))
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    assert sides / per_m * 1000 == pytest.approx(30.0, abs=0.1)


def test_the_pdf_draws_the_same_cells_at_their_true_size() -> None:
    boxes = pdf_boxes(as_pdf(marker_sheet(CHOICE, 30.0)))
    cells = boxes[np.isclose(boxes[:, 2], 5, atol=1e-3) & np.isclose(boxes[:, 3], 5, atol=1e-3)]
    assert len(cells) == int((CHOICE.pattern == 0).sum())
    columns = np.round((cells[:, 0] - cells[:, 0].min()) / 5).astype(int)
    rows = np.round((cells[:, 1].max() - cells[:, 1]) / 5).astype(int)
    drawn = np.full((6, 6), 255)
    drawn[rows, columns] = 0
    assert np.array_equal(drawn, CHOICE.pattern)


def test_the_white_rim_is_one_cell_wide_inside_the_cut_lines() -> None:
    boxes = np.array(marker_sheet(CHOICE, 30.0).boxes)
    square = boxes[: int((CHOICE.pattern == 0).sum())]
    rim = [*(square[:, :2].min(axis=0) - 5), *(square[:, 2:].max(axis=0) + 5)]
    others = boxes[len(square) :]
    inside = (others[:, 0] < rim[2]) & (others[:, 2] > rim[0])
    inside &= (others[:, 1] < rim[3]) & (others[:, 3] > rim[1])
    assert not inside.any()
    assert len(others) == 8 + 3


def test_the_pdf_is_whole() -> None:
    pdf = as_pdf(marker_sheet(CHOICE, 30.0))
    assert pdf.startswith(b"%PDF-1.4")
    start = int(re.search(rb"startxref\n(\d+)", pdf)[1])  # type: ignore[index]
    assert pdf[start:].startswith(b"xref")
    places = [int(place) for place in re.findall(rb"(\d{10}) 00000 n", pdf)]
    assert [pdf[place:].startswith(b"%d 0 obj" % n) for n, place in enumerate(places, 1)] == [
        True
    ] * 5
    length = int(re.search(rb"/Length (\d+)", pdf)[1])  # type: ignore[index]
    body = pdf[pdf.index(b"stream\n") + 7 :]
    assert body[length:].startswith(b"\nendstream")


def test_the_command_writes_the_file_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.pdf"
    assert run_main("marker", "--id", "7", "--size-mm", "25", "--out", str(out)) == 0
    assert out.read_bytes().startswith(b"%PDF")
    assert "--marker aruco:7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--id", "999"], "0 to 49"),
        (["--family", "qr"], "apriltag:ID"),
        (["--size-mm", "3"], "10 to 120"),
        (["--out", "marker.doc"], ".pdf"),
        (["--out", "/nowhere/at all/m.pdf"], "Cannot write"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("marker", *arguments) == 1
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown
