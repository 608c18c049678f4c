"""Folders of face clips made for tests, laid out as docs/DATA.md describes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

COLUMNS = ["segment", "split", "identity", "frames", "licence_class"]


def face_mesh(size_px: int = 256, turn: float = 0.0) -> NDArray[np.float32]:
    """478 points of a flat face whose eyes and sides are where the box looks for them."""
    rng = np.random.default_rng(3)
    mesh = rng.uniform(0.35, 0.65, (478, 3))
    mesh[33, :2], mesh[263, :2] = (0.38, 0.45), (0.62, 0.45 + turn)
    mesh[234, :2], mesh[454, :2] = (0.3, 0.5), (0.7, 0.5)
    return (mesh * size_px).astype(np.float32)


def write_clip(root: Path, segment: str, frames: int, yaw: NDArray[np.float32]) -> None:
    with av.open(str(root / "video" / f"{segment}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height = stream.width = 256
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            image = np.full((256, 256, 3), 60 + index, np.uint8)
            image[::16] += 40
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    counts = np.round(face_mesh() * np.array([8, 8, 4])).astype(np.int16)
    delta = np.zeros((478, 3, frames - 1), np.int16)
    np.savez(root / "landmarks" / f"{segment}.npz", first=counts, delta=delta, yaw=yaw)


def write_folder(root: Path, rows: Sequence[Sequence[str | int]], yaw: NDArray[np.float32]) -> Path:
    """A folder with one clip per row of `COLUMNS`; all turn their heads by `yaw`, degrees."""
    for folder in ("video", "landmarks"):
        (root / folder).mkdir(parents=True)
    for segment, _, _, frames, _ in rows:
        write_clip(root, str(segment), int(frames), yaw[: int(frames)])
    with open(root / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return root
