"""Records inside the pipeline. The records that leave the process are in `streaming.records`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streaming.records import Float32Array, Frame, ImageU8, RestoredFace, Side

CoverKind = Literal["headset", "face-mask"]


@dataclass(frozen=True)
class FaceTrack:
    """Where the cover, usually a headset, and the face under it are in one camera frame."""

    mesh: Float32Array  # (478,3) px of the frame; z on the same scale
    visible: NDArray[np.bool_]  # (478,) points that the headset does not hide
    mask: NDArray[np.uint8]  # (H,W) 1 = hidden by the headset, 0 = known
    frame_from_crop: Float32Array  # (2,3) affine: crop px -> frame px
    confidence: float  # 0..1
    cover: CoverKind = "headset"
    is_other: bool = False  # something else than the configured cover is worn: nothing is filled


@dataclass(frozen=True)
class EyeState:
    """One eye as the wearer's calibration reads it."""

    side: Side
    openness: float  # 0 = closed, 1 = wide open as calibrated
    gaze: Float32Array  # (2,) rad: yaw, pitch
    # Between the camera frame and the observation; None = not seen: it does as the other eye does,
    # or is open and looks ahead.
    age_ns: int | None
    # (2,9) how far each point of upper and lower lid has closed, 0 = open; None = by openness.
    closing: Float32Array | None = None


@dataclass(frozen=True)
class PipelineView:
    """One processed frame with everything a preview or recorder may show."""

    camera: Frame  # as the camera delivered it, headset in view
    restored: RestoredFace
    eyes: tuple[ImageU8, ...]  # (right, left) grey eye-camera images; empty when none arrived
    truth: ImageU8 | None  # (H,W,3) the bare frame when the headset is simulated
    hidden: NDArray[np.uint8] | None  # (H,W) 1 = filled by the network (mask as composited)
    frame_from_crop: Float32Array | None  # (2,3), None without a face


@dataclass(frozen=True)
class Truth:
    """What a simulated headset hides, and how it was put on; nothing here reaches the network."""

    image: ImageU8  # (H,W,3) uint8 BGR: the bare frame
    mesh: Float32Array | None  # (478,3) px of the frame; None where no face is seen
    mask: NDArray[np.uint8]  # (H,W) 1 = headset
    eyes: tuple[ImageU8, ...]  # (right, left) grey eye-camera images; empty without a face


@dataclass(frozen=True)
class Capture:
    """One frame as the camera thread hands it over."""

    frame: Frame
    truth: Truth | None = None  # only with a simulated headset


@dataclass(frozen=True)
class Tracked:
    """One frame after the first part of its way: `edge.pipeline.Pipeline.track`."""

    capture: Capture
    track: FaceTrack | None  # None = no face was found
    starts_afresh: bool  # first frame, or first after a gap: nothing before it counts
    note: str  # what the tracker has to tell of it; empty = nothing
    landmark_source: str  # which tracker looked: oracle, tracker, mediapipe
