"""`python -m streaming.vectors [FOLDER]`: writes the vectors, by default where they are kept."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streaming.vectors.cases import Vector, all_vectors
from streaming.wire import MessageError

FOLDER = Path(__file__).parent
INDEX = "index.json"


def write_vectors(
    folder: Annotated[Path, typer.Argument(help="Where to write them.")] = FOLDER,
) -> None:
    """Write every vector and the index; other `.bin` files in the folder are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors = all_vectors()
    names = {f"{vector.name}.bin" for vector in vectors}
    for stale in folder.glob("*.bin"):
        if stale.name not in names:
            stale.unlink()
    for vector in vectors:
        (folder / f"{vector.name}.bin").write_bytes(framed(vector.parts))
    text = json.dumps({"vectors": [_entry(vector) for vector in vectors]}, indent=1)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")
    typer.echo(f"Wrote {len(vectors)} vectors to {folder}.")


def framed(parts: Sequence[bytes]) -> bytes:
    """Join parts into a file: before each its length as little-endian uint32."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def unframed(content: bytes) -> list[bytes]:
    """Split a file into parts; raises `MessageError` when a length leads beyond its end."""
    parts: list[bytes] = []
    place = 0
    while place < len(content):
        end = place + 4
        if end <= len(content):
            end += struct.unpack_from("<I", content, place)[0]
        if end > len(content) or end < place + 4:
            raise MessageError(f"The vector ends in the middle of part {len(parts)}.")
        parts.append(content[place + 4 : end])
        place = end
    return parts


def _entry(vector: Vector) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": vector.name,
        "file": f"{vector.name}.bin",
        "shows": vector.shows,
        "kind": vector.kind,
        "parts": [len(part) for part in vector.parts],
        "expected": vector.expected,
    }
    if vector.pixels_bgr:
        entry["pixels_bgr"] = vector.pixels_bgr
    return entry


if __name__ == "__main__":
    typer.run(write_vectors)
