"""Where clips come from: a folder of shards, or a folder of face clips (docs/DATA.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.errors import UserError
from training.shards.layout import INDEX, ClipEntry, ShardEntry, read_index
from training.shards.reader import read_shard

CLIP_FOLDERS = ("landmarks", "video")
CLIPS_PER_PART = 32  # of a folder, which has no shards of its own

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


class CodedClip(Protocol):
    """A clip that can be decoded at any size."""

    @property
    def entry(self) -> ClipEntry:
        """What it is."""
        ...

    def images(self, size_px: int) -> ImageU8:
        """(T,S,S,3) uint8 BGR."""
        ...

    def meshes(self, size_px: int) -> Float32Array:
        """(T,478,3) float32 px."""
        ...


@dataclass(frozen=True)
class Part:
    """Clips that are decoded together: a shard, or some rows of a folder."""

    key: str  # a hash: equal keys, equal clips
    entries: tuple[ClipEntry, ...]
    read: Callable[[], Iterator[CodedClip]]  # the clips of `entries`, in order


@dataclass(frozen=True)
class ClipSource:
    """The parts of a set of clips."""

    data_hash: str
    parts_of: Callable[[str], list[Part]]
    licence_classes: tuple[str, ...]

    def parts(self, split: str) -> list[Part]:
        """Parts of a split, in order, only with clips of `licence_classes` (empty = all).

        Raises:
            UserError: nothing is left.
        """
        chosen = [self._filtered(part) for part in self.parts_of(split)]
        kept = [part for part in chosen if part.entries]
        if not kept:
            raise UserError(
                f"No clip of split '{split}' has licence class "
                f"{' or '.join(self.licence_classes)}.",
                "Name another with --licence-class.",
            )
        return kept

    def _filtered(self, part: Part) -> Part:
        if not self.licence_classes:
            return part
        wanted = {e.segment for e in part.entries if e.licence_class in self.licence_classes}

        def read() -> Iterator[CodedClip]:
            return (clip for clip in part.read() if clip.entry.segment in wanted)

        entries = tuple(entry for entry in part.entries if entry.segment in wanted)
        return Part(_key(part.key, *sorted(wanted)), entries, read)


def open_source(data: Path, licence_classes: Sequence[str] = ()) -> ClipSource:
    """The clips of folder `data`; raises UserError when it holds neither shards nor face clips."""
    licences = tuple(licence_classes)
    if (data / INDEX).is_file():
        index = read_index(data)

        def shards(split: str) -> list[Part]:
            return [_shard_part(data, shard) for shard in index.of_split(split)]

        return ClipSource(index.data_hash, shards, licences)
    return _folder_source(data, licences)


def _shard_part(folder: Path, shard: ShardEntry) -> Part:
    return Part(shard.sha256, shard.clips, lambda: read_shard(folder, shard))


def _folder_source(data: Path, licences: tuple[str, ...]) -> ClipSource:
    # Decodes with PyAV, which a training machine that reads shards does not need.
    from training.clips.faces import FaceClip, FaceClips

    faces = FaceClips(data)
    # The manifest alone stays the same when a clip is cut anew: with sizes, the hash tells.
    files = sorted(p for name in CLIP_FOLDERS for p in (data / name).glob("*") if p.is_file())
    sizes = (f"{path.name} {path.stat().st_size}" for path in files)
    digest = _key((data / "manifest.csv").read_text(encoding="utf-8"), *sizes)

    @dataclass(frozen=True)
    class OnDisk:
        row: FaceClip

        @property
        def entry(self) -> ClipEntry:
            r = self.row
            return ClipEntry(r.segment, r.split, r.identity, r.frames, r.licence_class, r.recording)

        def images(self, size_px: int) -> ImageU8:
            return faces.frames(self.row, size_px)

        def meshes(self, size_px: int) -> Float32Array:
            return faces.meshes(self.row, size_px)

    def parts(split: str) -> list[Part]:
        clips = [OnDisk(row) for row in faces.rows(split)]
        groups = [clips[i : i + CLIPS_PER_PART] for i in range(0, len(clips), CLIPS_PER_PART)]
        return [_group_part(digest, group) for group in groups]

    return ClipSource(digest, parts, licences)


def _group_part(digest: str, clips: Sequence[CodedClip]) -> Part:
    entries = tuple(clip.entry for clip in clips)
    key = _key(digest, *(entry.segment for entry in entries))
    return Part(key, entries, lambda: iter(clips))


def _key(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
