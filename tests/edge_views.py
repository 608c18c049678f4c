"""Synthetic views for the tests of preview, recorder and scores."""

from __future__ import annotations

import cv2
import numpy as np

from edge.records import PipelineView
from streaming.records import Frame, ImageU8, RestoredFace, Status

MS = 1_000_000


def picture(seed: int, width: int = 160, height: int = 120) -> ImageU8:
    """A smooth coloured picture (H,W,3) uint8 BGR, other for every seed."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def a_view(
    frame_id: int = 1,
    *,
    truth: bool = True,
    face: bool = True,
    status: tuple[Status, ...] = (Status.LIVE,),
    restored: ImageU8 | None = None,
    width: int = 160,
    height: int = 120,
) -> PipelineView:
    """One view, 31 ms old, at 25 fps; the restored image is the truth unless given."""
    bare = picture(0, width, height)
    covered = bare.copy()
    covered[40:70, 50:110] = 20
    hidden = np.zeros((height, width), np.uint8)
    hidden[40:70, 50:110] = 1
    crop = np.array([[0.5, 0, 48], [0, 0.5, 28]], np.float32)
    captured_ns = frame_id * 40 * MS
    eye = np.full((48, 64), 90, np.uint8)
    return PipelineView(
        camera=Frame(frame_id, captured_ns, covered),
        restored=RestoredFace(
            frame_id=frame_id,
            capture_time_ns=captured_ns,
            publish_time_ns=captured_ns + 31 * MS,
            image=bare if restored is None else restored,
            crop=np.zeros((128, 128, 3), np.uint8),
            frame_from_crop=crop,
            landmarks=np.zeros((478, 3), np.float32),
            gaze=np.zeros((2, 2), np.float32),
            openness=np.ones(2, np.float32),
            status=status,
            filler="warp-blend",
            landmark_source="oracle",
        ),
        eyes=(eye, eye),
        truth=bare if truth else None,
        hidden=hidden if face else None,
        frame_from_crop=crop if face else None,
    )
