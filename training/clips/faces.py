"""Face clips on disk: one square video and one packed face mesh per clip, listed in a manifest.

`docs/DATA.md` describes the folder. Any folder of that layout can be trained and evaluated on.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from streaming.errors import UserError
from training.clips.packed_meshes import CLIP_PX as CLIP_PX
from training.clips.packed_meshes import MESH_POINTS as MESH_POINTS
from training.clips.packed_meshes import MESH_STEPS_PER_PX as MESH_STEPS_PER_PX
from training.clips.packed_meshes import BadMeshes, unpacked

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

NEEDED_COLUMNS = ("segment", "split", "identity", "frames")


class FaceDataError(UserError, ValueError):
    """The face folder, or one clip in it, cannot be used; the message says what to do."""


@dataclass(frozen=True)
class FaceClip:
    """One row of the manifest."""

    segment: str  # names the clip's files: video/SEGMENT.mp4 and landmarks/SEGMENT.npz
    split: str  # "train" | "val" | "test" | "demo"; no identity is in two of them
    identity: str  # the person
    frames: int  # as the manifest counts them
    quality: str = ""
    licence_class: str = ""
    flags: tuple[str, ...] = ()
    recording: str = ""  # clips of one recording share room, light and camera


class FaceClips:
    """Reader of a folder of face clips; holds no pixels, only the manifest."""

    def __init__(self, root: Path | str) -> None:
        """Read the manifest of folder `root`.

        Raises:
            FaceDataError: if the folder has no manifest or the manifest lacks a needed column.
        """
        self.root = Path(root)
        if not (self.root / "manifest.csv").is_file():
            raise FaceDataError(
                f"{self.root} has no manifest.csv; give a folder laid out as docs/DATA.md describes"
            )

    @cached_property
    def all_rows(self) -> tuple[FaceClip, ...]:
        """Every clip in the manifest, in its order."""
        with open(self.root / "manifest.csv", newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise FaceDataError(
                    f"{self.root / 'manifest.csv'} lacks the column(s) {', '.join(missing)}; "
                    "docs/DATA.md lists them"
                )
            return tuple(_clip(line) for line in reader)

    def rows(self, split: str) -> list[FaceClip]:
        """Clips of one split, in the manifest's order.

        Raises:
            FaceDataError: if the split is empty; the message lists the splits that are not.
        """
        chosen = [row for row in self.all_rows if row.split == split]
        if not chosen:
            known = ", ".join(sorted({row.split for row in self.all_rows})) or "none"
            raise FaceDataError(f"{self.root} has no clip in split '{split}' (splits: {known})")
        return chosen

    def frames(self, row: FaceClip, size_px: int | None = None) -> ImageU8:
        """Every frame of a clip, (T,S,S,3) uint8 BGR; S is `size_px`, or the video's own side.

        Raises:
            FaceDataError: if the video is missing, unreadable, empty or not square.
        """
        return np.stack(list(self.stream(row, size_px)))

    def stream(self, row: FaceClip, size_px: int | None = None) -> Iterator[ImageU8]:
        """The frames of `frames`, one (S,S,3) at a time; raises as it does."""
        path = self._file("video", f"{row.segment}.mp4")
        count = 0
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise FaceDataError(f"{path} has no video track; make or copy the clip again")
                for decoded in container.decode(video=0):
                    yield _sized(np.asarray(decoded.to_ndarray(format="bgr24")), size_px, path)
                    count += 1
        except av.error.FFmpegError as error:
            reason = error.strerror or "unreadable"
            raise FaceDataError(
                f"{path} cannot be decoded after frame {count} ({reason}); copy the clip again"
            ) from error
        if count == 0:
            raise FaceDataError(f"{path} holds no frame; make or copy the clip again")

    def meshes(self, row: FaceClip, size_px: int = CLIP_PX) -> Float32Array:
        """Face mesh of each frame, (T,478,3) float32 in px of a `size_px` crop.

        x runs right, y down; z (smaller is nearer to the camera) is on the same scale.

        Raises:
            FaceDataError: if the landmark file is missing or not a packed mesh.
        """
        packed = self._landmarks(row)
        try:
            return unpacked(packed, size_px)
        except BadMeshes as error:
            raise self._bad_landmarks(row) from error

    def yaw(self, row: FaceClip) -> Float32Array:
        """Head turn of each frame, (T,) float32 degrees.

        Raises:
            FaceDataError: if the landmark file is missing or has no yaw.
        """
        try:
            return np.asarray(self._landmarks(row)["yaw"], np.float32)
        except KeyError as error:
            raise self._bad_landmarks(row) from error

    def _landmarks(self, row: FaceClip) -> dict[str, NDArray[Any]]:
        path = self._file("landmarks", f"{row.segment}.npz")
        try:
            with np.load(path) as packed:
                return {name: packed[name] for name in packed.files}
        except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
            raise self._bad_landmarks(row) from error

    def _file(self, folder: str, name: str) -> Path:
        path = self.root / folder / name
        if not path.is_file():
            raise FaceDataError(f"{path} is missing; copy it there or drop its manifest row")
        return path

    def _bad_landmarks(self, row: FaceClip) -> FaceDataError:
        path = self.root / "landmarks" / f"{row.segment}.npz"
        return FaceDataError(f"{path} is not a packed face mesh (docs/DATA.md); copy it again")


def _clip(line: dict[str, str]) -> FaceClip:
    frames = line["frames"] or ""
    if not frames.isdigit():
        raise FaceDataError(
            f"manifest row '{line['segment']}' counts '{frames}' frames; write a whole number"
        )
    return FaceClip(
        segment=line["segment"],
        split=line["split"],
        identity=line["identity"],
        frames=int(frames),
        quality=line.get("quality") or "",
        licence_class=line.get("licence_class") or "",
        recording=line.get("clip") or "",
        flags=tuple(flag for flag in (line.get("flags") or "").split("|") if flag),
    )


def _sized(image: ImageU8, size_px: int | None, path: Path) -> ImageU8:
    height, width = image.shape[:2]
    if height != width:
        raise FaceDataError(f"{path} is {width}x{height}; the clips must be square crops")
    if size_px is None or size_px == width:
        return image
    # Area averaging: the scores of the protocols are defined on crops made small this way.
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)
