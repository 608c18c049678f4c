"""The committed wire vectors, for the tests of the clients in all languages."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from streaming.vectors.__main__ import FOLDER, INDEX, unframed

VECTORS: list[dict[str, Any]] = json.loads((FOLDER / INDEX).read_text(encoding="utf-8"))["vectors"]
GOOD = [vector for vector in VECTORS if vector["kind"] != "error"]
BAD = [vector for vector in VECTORS if vector["kind"] == "error"]
FOR_CLIENTS = [vector for vector in VECTORS if vector["kind"] != "eye"]  # eyes are internal


def path_of(vector: dict[str, Any]) -> Path:
    return FOLDER / str(vector["file"])


def parts_of(vector: dict[str, Any]) -> list[bytes]:
    return unframed(path_of(vector).read_bytes())


def check_answer(vector: dict[str, Any], answer: dict[str, Any]) -> None:
    """What a client's decoder printed for one vector: `kind` and the values, or a `message`."""
    is_video = vector["kind"] == "video"  # which these clients name and do not read
    kind = answer.pop("kind")
    assert kind == ("error" if is_video else vector["kind"]), answer
    if kind == "error":
        about = "h264" if is_video else vector["expected"]["about"]
        assert about.lower() in answer["message"].lower()
        return
    pixels = answer.pop("pixels_bgr", None)
    assert answer == vector["expected"]
    if pixels is not None:
        for (column, row, *wanted), found in zip(vector["pixels_bgr"], pixels, strict=True):
            assert found[:2] == [column, row]
            assert all(
                math.isclose(a, b, abs_tol=4) for a, b in zip(wanted, found[2:], strict=True)
            )
