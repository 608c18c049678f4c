"""One segment of a video as the two files of a face clip, for the owner's eyes only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from edge.eyes.measures import mesh_apertures
from hmd_capture.head_pose import head_pose
from models.face.alignment import cut_crop, frame_from_box, mesh_to_crop
from training.clips.faces import CLIP_PX, MESH_STEPS_PER_PX, Float32Array, ImageU8
from training.importing.segments import Segment

QUALITY = {"crf": "14", "preset": "medium"}  # of libx264: transparent at this size


def write_clip(
    root: Path, name: str, frames: Iterable[ImageU8], segment: Segment, rate: Fraction
) -> Float32Array:
    """Write video/NAME.mp4 and landmarks/NAME.npz below `root`, 0600; whole or not at all.

    `frames` are those of the segment, of any size. Returns the crop's meshes (N,478,3) px.
    """
    crops = [frame_from_box(box, CLIP_PX) for box in segment.boxes]
    meshes = np.stack(
        [mesh_to_crop(mesh, crop) for mesh, crop in zip(segment.meshes, crops, strict=True)]
    )
    partial = root / "video" / f"{name}.partial"
    pictures = (cut_crop(image, crop, CLIP_PX) for image, crop in zip(frames, crops, strict=True))
    _write_video(partial, pictures, rate)
    _write_landmarks(root / "landmarks" / f"{name}.npz", meshes)
    os.replace(partial, root / "video" / f"{name}.mp4")
    return meshes


def _write_video(path: Path, pictures: Iterable[ImageU8], rate: Fraction) -> None:
    _touch(path)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=QUALITY)
        stream.width = stream.height = CLIP_PX
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _write_landmarks(path: Path, meshes: Float32Array) -> None:
    steps = np.round(meshes * MESH_STEPS_PER_PX).astype(np.int16)
    poses = [head_pose(mesh) for mesh in meshes]
    _touch(path)
    with open(path, "wb") as file:
        np.savez_compressed(
            file,
            first=steps[0],
            delta=np.moveaxis(np.diff(steps, axis=0), 0, 2),
            yaw=np.array([pose.yaw_deg for pose in poses], np.float16),
            pitch=np.array([pose.pitch_deg for pose in poses], np.float16),
            ear=np.array([np.mean(mesh_apertures(mesh)) for mesh in meshes], np.float16),
        )


def _touch(path: Path) -> None:
    """Make the file before anything is in it, readable by its owner only: it shows a person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
