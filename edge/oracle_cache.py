"""Face meshes of a bare clip, computed once per file and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.bare_face_trackers import choose_face
from edge.video_file import VideoFile
from models.face.mediapipe_mesh import FaceMesher
from models.face.mesh import POINT_COUNT
from streaming.records import Float32Array
from streaming.whole_file import PRIVATE, whole_file

log = logging.getLogger(__name__)

VERSION = "1"  # of the way meshes are found; part of the key
Progress = Callable[[int, int], None]  # frames done, frames in all (0 = unknown)


def default_cache() -> Path:
    """Where meshes are kept unless the settings name a folder (XDG cache folder)."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "unvisor" / "meshes"


def clip_meshes(
    path: Path, max_side_px: int, cache: Path, progress: Progress | None = None
) -> Float32Array:
    """(T,478,3) px meshes of a video file's frames at working size; NaN rows without a face.

    Raises:
        UserError: the file cannot be read.
    """
    video = VideoFile(path, "once", max_side_px)
    stored = cache / f"{_key(path, video)}.npz"
    meshes = _load(stored)
    if meshes is None:
        meshes = _find(video, progress)
        _store(stored, meshes)
    if progress is not None:
        progress(len(meshes), len(meshes))  # the true count, also when nothing was to be done
    return meshes


def _find(video: VideoFile, progress: Progress | None) -> Float32Array:
    absent = np.full((POINT_COUNT, 3), np.nan, np.float32)
    rows: list[Float32Array] = []
    crowded = 0
    previous: Float32Array | None = None
    with FaceMesher(max_faces=2) as mesher:
        for _, image in video.frames():
            found = mesher.meshes(image)
            crowded += len(found) > 1
            previous = choose_face(found, previous)
            rows.append(absent if previous is None else previous)
            if progress is not None:
                progress(len(rows), video.frame_count)
    if crowded:
        log.warning("%s shows two faces in %d frames; following one", video.path, crowded)
    return np.stack(rows)


def _key(path: Path, video: VideoFile) -> str:
    digest = hashlib.sha256(f"{VERSION} {video.width_px}x{video.height_px} ".encode())
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:32]


def _load(stored: Path) -> Float32Array | None:
    try:
        with np.load(stored, allow_pickle=False) as packed:
            meshes = np.asarray(packed["meshes"], np.float32)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        log.warning("cached meshes %s cannot be read (%s); finding them again", stored, error)
        return None
    return meshes if meshes.shape[1:] == (POINT_COUNT, 3) else None


def _store(stored: Path, meshes: Float32Array) -> None:
    """Write in one step, so that a reader never sees half a file."""
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(stored, PRIVATE) as file:
            np.savez_compressed(file, meshes=meshes)
    except OSError as error:
        log.warning("the meshes cannot be cached in %s: %s", stored.parent, error)
