"""Clips decoded once into files that every worker maps: no process holds a copy of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from streaming.errors import UserError
from training.feeding.sources import CodedClip, Part
from training.feeding.streams import DecodedClip


def decode(
    part: Part,
    size_px: int,
    folder: Path,
    threads: int = 1,
    on_clip: Callable[[str], None] = lambda _: None,
) -> Path:
    """Decode a part's clips at `size_px`, unless that was done before; returns where they lie.

    Raises:
        UserError: a clip is damaged, or the disk is full.
    """
    done = place_of(part, size_px, folder)
    if (done / "clips.json").is_file():
        return done
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{done.name}.{os.getpid()}.partial"
    partial.mkdir(mode=0o700, exist_ok=True)
    try:
        _write(part, size_px, partial, threads, on_clip)
        _publish(partial, done)
    except OSError as error:
        raise UserError(
            f"Decoded clips cannot be kept in {folder} ({error}).",
            "Free disk space or name another --run folder.",
        ) from error
    finally:
        forget(partial)
    return done


def place_of(part: Part, size_px: int, folder: Path) -> Path:
    """Where `decode` keeps a part's clips."""
    return folder / f"{part.key[:24]}-{size_px}"


def load(folder: Path) -> list[DecodedClip]:
    """The clips that `decode` wrote, mapped, not read."""
    entries = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
    images = np.load(folder / "images.npy", mmap_mode="r")
    meshes = np.load(folder / "meshes.npy", mmap_mode="r")
    clips, first = [], 0
    for entry in entries:
        part = slice(first, first + entry["frames"])
        clips.append(DecodedClip(images[part], meshes[part], entry["segment"], entry["identity"]))
        first = part.stop
    return clips


def load_all(folders: Iterable[Path]) -> list[DecodedClip]:
    """The clips of several parts."""
    return [clip for folder in folders for clip in load(folder)]


def forget(folder: Path) -> None:
    """Delete a part's files; processes that have mapped them keep them."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()


def _write(
    part: Part, size_px: int, folder: Path, threads: int, on_clip: Callable[[str], None]
) -> None:
    total = sum(entry.frames for entry in part.entries)
    create: Any = np.lib.format.open_memmap
    images = create(folder / "images.npy", "w+", np.uint8, (total, size_px, size_px, 3))
    meshes = create(folder / "meshes.npy", "w+", np.float32, (total, 478, 3))
    for name in ("images.npy", "meshes.npy"):
        _claim_disk(folder / name)

    def fill(clip: CodedClip, place: slice) -> None:
        decoded, points = clip.images(size_px), clip.meshes(size_px)
        if not len(decoded) == len(points) == place.stop - place.start:
            raise UserError(
                f"Clip {clip.entry.segment} has {len(decoded)} images and {len(points)} meshes "
                f"where its list says {place.stop - place.start}; copy it again."
            )
        images[place], meshes[place] = decoded, points
        on_clip(clip.entry.segment)

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        first, waiting = 0, []
        for clip in part.read():
            last = first + clip.entry.frames
            waiting.append(pool.submit(fill, clip, slice(first, last)))
            first = last
        for done in waiting:
            done.result()
    entries = [{"segment": e.segment, "identity": e.identity, "frames": e.frames}
               for e in part.entries]  # fmt: skip
    (folder / "clips.json").write_text(json.dumps(entries), encoding="utf-8")


def _claim_disk(path: Path) -> None:
    """Have the disk give a new file all of its blocks; raises OSError when it is full.

    A mapped file has holes at first: writing into them on a full disk kills the process.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _publish(partial: Path, done: Path) -> None:
    """Give the files their name; whoever was quicker with the same clips wins."""
    try:
        partial.rename(done)
    except OSError:
        if not (done / "clips.json").is_file():
            raise
