"""The vectors: made anew they are the same, and our own reader reads what they promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_vectors import BAD, FOLDER, GOOD, VECTORS, parts_of

from streaming.frame_message import FrameMessage
from streaming.messages import MessageError, decode
from streaming.vectors.pictures import FOUR_SQUARES_BGR
from streaming.vectors.values import values_of
from streaming.video.h264 import VideoDecoder

ROOT = Path(__file__).parents[1]


def test_the_committed_vectors_are_what_the_command_makes_now(tmp_path: Path) -> None:
    made = tmp_path / "vectors"
    subprocess.run(
        [sys.executable, "-m", "streaming.vectors", str(made)], cwd=ROOT, check=True, timeout=60
    )
    here = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix != ".py"}
    here.pop("__pycache__", None)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == here


def test_stale_vectors_are_removed(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(b"")
    command = [sys.executable, "-m", "streaming.vectors", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert not (tmp_path / "old.bin").exists()
    assert (tmp_path / "index.json").exists()


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector["name"])
def test_our_reader_reads_what_the_index_promises(vector: dict[str, Any]) -> None:
    message = decode(parts_of(vector))
    assert [len(part) for part in parts_of(vector)] == vector["parts"]
    assert json.loads(json.dumps(values_of(message))) == vector["expected"]


@pytest.mark.parametrize("vector", BAD, ids=lambda vector: vector["name"])
def test_our_reader_refuses_the_broken_ones_with_the_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(MessageError, match=f"(?i){vector['expected']['about']}"):
        decode(parts_of(vector))


def test_the_jpeg_shows_the_four_squares_where_the_index_says() -> None:
    vector = next(vector for vector in VECTORS if "pixels_bgr" in vector)
    message = decode(parts_of(vector))
    assert isinstance(message, FrameMessage)
    image = message.image()
    for column, row, *bgr in vector["pixels_bgr"]:
        assert np.abs(image[row, column].astype(int) - bgr).max() <= 4


def test_the_video_shows_them_too() -> None:
    vector = next(vector for vector in VECTORS if vector["kind"] == "video")
    message = decode(parts_of(vector))
    assert isinstance(message, FrameMessage)
    shown = VideoDecoder().decode(message)
    assert shown is not None
    for column, row, *bgr in FOUR_SQUARES_BGR:
        assert np.abs(shown.image()[2 * row, 2 * column].astype(int) - bgr).max() <= 4


def test_the_page_about_the_wire_names_every_key_of_every_vector() -> None:
    page = (ROOT / "docs" / "WIRE.md").read_text(encoding="utf-8")
    ours = {"pixel_bytes", "pixel_sum", "about"}
    keys = {key for vector in VECTORS for key in vector["expected"]} - ours
    assert not {key for key in keys if f"`{key}`" not in page}


def test_the_bytes_on_the_page_are_those_of_the_file() -> None:
    page = (ROOT / "docs" / "WIRE.md").read_text(encoding="utf-8")
    listing = page.rpartition("`notify_paused.bin`")[2].split("```")[1]
    shown = "".join(re.findall(r"^((?:[0-9a-f]{2} )*[0-9a-f]{2})(?=  | [a-z]|$)", listing, re.M))
    assert bytes.fromhex(shown) == (FOLDER / "notify_paused.bin").read_bytes()
