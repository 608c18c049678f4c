"""Packing a folder of face clips into shards."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from training.clips.faces import CLIP_PX, FaceClip, FaceClips, FaceDataError
from training.shards.layout import (
    CLIP,
    FRAME_FORMATS,
    INDEX,
    MESHES,
    VIDEO,
    ClipEntry,
    FrameFormat,
    ShardEntry,
    ShardError,
    ShardIndex,
    file_sha256,
    write_index,
)

Files = list[tuple[str, bytes]]
QUALITY_FLAGS = {"webp": cv2.IMWRITE_WEBP_QUALITY, "jpg": cv2.IMWRITE_JPEG_QUALITY}


def pack_clips(
    faces: FaceClips,
    out: Path,
    *,
    splits: Iterable[str] = ("train", "val"),
    frames: FrameFormat = "video",
    size_px: int = CLIP_PX,
    quality: int = 90,
    shard_bytes: int = 20 << 20,
    licence_classes: Iterable[str] = (),
    limit_clips: int = 0,
    on_clip: Callable[[str], None] = lambda _: None,
) -> ShardIndex:
    """Write shards of at most `shard_bytes` (a single longer clip excepted), and their list.

    Args:
        faces: what is packed.
        out: a folder without shards.
        splits: which splits; a shard holds clips of one.
        frames: "video" copies the clip's own video, which serves every size; else one picture per
            frame, of `size_px` and `quality` (1..100; png has none).
        size_px: side of pictures, px.
        quality: of webp and jpg.
        shard_bytes: where a shard ends.
        licence_classes: only clips of these; empty = all.
        limit_clips: at most so many of each split, spread over it; 0 = all.
        on_clip: hears each segment's name.

    Raises:
        ShardError: the folder holds shards already, the filter leaves nothing of a split, a name
            cannot be packed, or the disk is full.
        FaceDataError: a clip cannot be read.
    """
    if frames not in FRAME_FORMATS:
        raise ShardError(f"There is no frame format '{frames}'; use {', '.join(FRAME_FORMATS)}.")
    if (out / INDEX).exists():
        raise ShardError(f"{out} holds shards already; name another folder or delete it.")
    kept = tuple(licence_classes)
    entries: list[ShardEntry] = []
    stored_px = CLIP_PX if frames == "video" else size_px
    try:
        out.mkdir(parents=True, exist_ok=True)
        for split in splits:
            rows = _spread(_allowed(faces.rows(split), kept, split), limit_clips)
            clips = ((_entry(r), _files(faces, r, frames, size_px, quality, on_clip)) for r in rows)
            entries += _write_split(clips, out, split, shard_bytes)
        index = ShardIndex(frames, stored_px, kept, tuple(entries))
        write_index(index, out)
    except OSError as error:
        raise ShardError(
            f"Shards cannot be written to {out} ({error.strerror}); free disk space, or name "
            "another folder, and pack again."
        ) from error
    return index


def _allowed(rows: list[FaceClip], licence_classes: tuple[str, ...], split: str) -> list[FaceClip]:
    chosen = [r for r in rows if not licence_classes or r.licence_class in licence_classes]
    if not chosen:
        known = ", ".join(sorted({row.licence_class or "(none)" for row in rows}))
        raise ShardError(
            f"No clip of split '{split}' has licence class {' or '.join(licence_classes)}; "
            f"there are {known}."
        )
    return chosen


def _spread(rows: list[FaceClip], limit: int) -> list[FaceClip]:
    if not limit or limit >= len(rows):
        return rows
    return [rows[index] for index in np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def _entry(row: FaceClip) -> ClipEntry:
    if "." in row.segment:
        raise ShardError(
            f"The clip '{row.segment}' has a dot in its name, where a shard's file names are cut; "
            "rename its files and its row in manifest.csv."
        )
    return ClipEntry(
        row.segment, row.split, row.identity, row.frames, row.licence_class, row.recording
    )


def _files(
    faces: FaceClips,
    row: FaceClip,
    frames: FrameFormat,
    size_px: int,
    quality: int,
    on_clip: Callable[[str], None],
) -> Files:
    on_clip(row.segment)
    path = faces.root / "landmarks" / f"{row.segment}.npz"
    faces.meshes(row)  # says what is wrong with a damaged file
    with np.load(path) as packed:
        plain = io.BytesIO()
        np.savez(plain, **{name: packed[name] for name in packed.files})
    # Deltas of meshes are small numbers: xz takes 40 % less than the deflate inside of an npz.
    meshes = lzma.compress(plain.getvalue(), preset=6)
    clip = json.dumps(asdict(_entry(row))).encode()
    files: Files = [(f"{row.segment}.{CLIP}", clip), (f"{row.segment}.{MESHES}", meshes)]
    if frames == "video":
        video = faces.root / "video" / f"{row.segment}.mp4"
        if not video.is_file():
            raise FaceDataError(f"{video} is missing; copy it there or drop its manifest row")
        return [*files, (f"{row.segment}.{VIDEO}", video.read_bytes())]
    flags = [QUALITY_FLAGS[frames], quality] if frames in QUALITY_FLAGS else []
    for index, image in enumerate(faces.stream(row, size_px)):
        coded = cv2.imencode(f".{frames}", image, flags)[1].tobytes()
        files.append((f"{row.segment}.{index:04d}.{frames}", coded))
    return files


def _write_split(
    clips: Iterator[tuple[ClipEntry, Files]], out: Path, split: str, shard_bytes: int
) -> list[ShardEntry]:
    shards: list[ShardEntry] = []
    batch: list[tuple[ClipEntry, Files]] = []
    size = 0
    for clip in clips:
        length = sum(tarfile.BLOCKSIZE + _padded(len(content)) for _, content in clip[1])
        if batch and size + length > shard_bytes:
            shards.append(_write_shard(batch, out, split, len(shards)))
            batch, size = [], 0
        batch.append(clip)
        size += length
    if batch:
        shards.append(_write_shard(batch, out, split, len(shards)))
    return shards


def _padded(length: int) -> int:
    return -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _write_shard(
    clips: list[tuple[ClipEntry, Files]], out: Path, split: str, number: int
) -> ShardEntry:
    path = out / f"{split}-{number:06d}.tar"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)  # before anything is in it: it shows people
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for _, files in clips:
            for name, content in files:
                member = tarfile.TarInfo(name)  # no owner, no time: equal clips, equal bytes
                member.size, member.mode = len(content), 0o600
                archive.addfile(member, io.BytesIO(content))
    entries = tuple(entry for entry, _ in clips)
    return ShardEntry(path.name, split, path.stat().st_size, file_sha256(path), entries)
