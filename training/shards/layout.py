"""What a folder of shards holds, and the list beside it.

Each shard is a tar archive in WebDataset's layout: the files of one clip follow each other and
share the name before the first dot.

    SEGMENT.json             ClipEntry: split, person, frames, licence class
    SEGMENT.meshes.npz.xz    the packed face meshes of docs/DATA.md
    SEGMENT.mp4              the clip's own video, or SEGMENT.0000.webp (jpg, png), …: one a frame;
                             the number has four digits, from 10000 on five

`shards.json` lists clips and shards with their hashes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from streaming.errors import UserError

INDEX = "shards.json"
SCHEMA = 1
CLIP, MESHES, VIDEO = "json", "meshes.npz.xz", "mp4"
FrameFormat = Literal["video", "webp", "jpg", "png"]
FRAME_FORMATS: tuple[FrameFormat, ...] = ("video", "webp", "jpg", "png")


class ShardError(UserError, ValueError):
    """A folder of shards, or one in it, cannot be used; the message says what to do."""


@dataclass(frozen=True)
class ClipEntry:
    """One packed clip."""

    segment: str
    split: str
    identity: str
    frames: int
    licence_class: str
    recording: str


@dataclass(frozen=True)
class ShardEntry:
    """One archive; its clips in the order they lie in."""

    name: str
    split: str
    bytes: int
    sha256: str
    clips: tuple[ClipEntry, ...]


@dataclass(frozen=True)
class ShardIndex:
    """`shards.json`."""

    frames: str  # a FrameFormat
    size_px: int  # side of the stored frames
    licence_classes: tuple[str, ...]  # empty: no filter was set
    shards: tuple[ShardEntry, ...]

    @property
    def data_hash(self) -> str:
        """One hash of all shards, for run folders and manifests."""
        joined = "\n".join(shard.sha256 for shard in self.shards)
        return hashlib.sha256(joined.encode()).hexdigest()

    def of_split(self, split: str) -> list[ShardEntry]:
        """Shards of one split, in order; raises ShardError when there is none."""
        chosen = [shard for shard in self.shards if shard.split == split]
        if not chosen:
            known = ", ".join(sorted({shard.split for shard in self.shards})) or "none"
            raise ShardError(
                f"The shards hold no clip of split '{split}' (splits: {known}); "
                "pack them again with that split."
            )
        return chosen


def write_index(index: ShardIndex, folder: Path) -> None:
    """Write `shards.json`."""
    text = json.dumps({"schema": SCHEMA, **asdict(index)}, indent=1)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def read_index(folder: Path) -> ShardIndex:
    """Read `shards.json`; raises ShardError when it is missing or not one."""
    try:
        tree = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if tree["schema"] != SCHEMA:
            raise ShardError(
                f"{folder / INDEX} has schema {tree['schema']}, expected {SCHEMA}: pack again."
            )
        shards = tuple(_shard(entry) for entry in tree["shards"])
        licences = tuple(tree["licence_classes"])
        return ShardIndex(tree["frames"], int(tree["size_px"]), licences, shards)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ShardError):
            raise
        raise ShardError(
            f"{folder / INDEX} cannot be read ({error}); make it with `unvisor pack-clips`."
        ) from error


def file_sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def _shard(entry: dict[str, Any]) -> ShardEntry:
    clips = tuple(ClipEntry(**clip) for clip in entry["clips"])
    return ShardEntry(entry["name"], entry["split"], int(entry["bytes"]), entry["sha256"], clips)
