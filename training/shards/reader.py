"""Reading shards, clip by clip, in the order they lie in."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.clips.packed_meshes import BadMeshes, unpacked
from training.shards.layout import CLIP, MESHES, VIDEO, ClipEntry, ShardEntry, ShardError

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class PackedClip:
    """The files of one clip, still coded."""

    entry: ClipEntry
    files: dict[str, bytes]  # by what follows the first dot of their names
    shard: str

    def images(self, size_px: int) -> ImageU8:
        """Every frame, (T,S,S,3) uint8 BGR; raises ShardError when one cannot be decoded."""
        frames = self._video() if VIDEO in self.files else self._pictures()
        sized = [_sized(frame, size_px) for frame in frames]
        if len(sized) != self.entry.frames:
            raise self._damaged(f"{len(sized)} of {self.entry.frames} frames can be decoded")
        return np.stack(sized)

    def meshes(self, size_px: int) -> Float32Array:
        """Face mesh of each frame, (T,478,3) float32 px of a `size_px` crop."""
        try:
            with np.load(io.BytesIO(lzma.decompress(self.files[MESHES]))) as packed:
                arrays: dict[str, NDArray[Any]] = {name: packed[name] for name in packed.files}
            return unpacked(arrays, size_px)
        except (KeyError, lzma.LZMAError, ValueError, zipfile.BadZipFile, BadMeshes) as error:
            raise self._damaged(f"its meshes cannot be read: {error}") from error

    def _video(self) -> Iterator[ImageU8]:
        # OpenCV reads videos from files only; where PyAV is missing, it is what there is.
        with tempfile.NamedTemporaryFile(suffix=f".{VIDEO}") as file:
            file.write(self.files[VIDEO])
            file.flush()
            video = cv2.VideoCapture(file.name)
            found, frame = video.read()
            while found:
                yield np.asarray(frame, np.uint8)
                found, frame = video.read()
            video.release()

    def _pictures(self) -> Iterator[ImageU8]:
        names = (name for name in self.files if name[:4].isdigit())
        # By number: five digits come after four, which they do not as text.
        for name in sorted(names, key=lambda name: int(name.partition(".")[0])):
            frame = cv2.imdecode(np.frombuffer(self.files[name], np.uint8), cv2.IMREAD_COLOR)
            if frame is None:
                raise self._damaged(f"{name} is no picture")
            yield np.asarray(frame, np.uint8)

    def _damaged(self, why: str) -> ShardError:
        return ShardError(f"Clip {self.entry.segment} in {self.shard}: {why}; pack it again.")


def read_shard(folder: Path, shard: ShardEntry) -> Iterator[PackedClip]:
    """The clips of a shard, in order, one at a time in memory.

    Raises:
        ShardError: the archive is missing, cut short or not of its list.
    """
    path = folder / shard.name
    listed = {clip.segment: clip for clip in shard.clips}
    read = 0
    try:
        with tarfile.open(path, "r|") as archive:
            for segment, files in _grouped(archive):
                entry = ClipEntry(**json.loads(files[CLIP]))
                if listed.get(segment) != entry:
                    raise ShardError(f"{path} holds {segment}, which its list does not; copy both.")
                read += 1
                yield PackedClip(entry, files, shard.name)
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, ShardError):
            raise
        raise ShardError(f"{path} cannot be read ({error}); copy it again.") from error
    if read != len(listed):
        raise ShardError(f"{path} holds {read} of {len(listed)} clips; copy it again.")


def _grouped(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Files that follow each other and share the name before the first dot."""
    current, files = "", dict[str, bytes]()
    for member in archive:
        stream = archive.extractfile(member)
        if stream is None:
            continue
        segment, _, kind = member.name.partition(".")
        if segment != current and files:
            yield current, files
            files = {}
        current = segment
        files[kind] = stream.read()
    if files:
        yield current, files


def _sized(image: ImageU8, size_px: int) -> ImageU8:
    if len(image) == size_px:
        return image
    # As `training.clips.faces` makes them small: the scores are defined on such crops.
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)
