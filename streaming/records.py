"""Records that travel between threads and processes: frozen, arrays inside, units in names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


class Status(str, Enum):
    """What a client should know about a restored frame; several may hold at once."""

    LIVE = "LIVE"
    WARMING = "WARMING"
    PLAUSIBLE = "PLAUSIBLE"  # restored, but no camera sees what is shown there
    STALE_EYES = "STALE_EYES"
    ONE_EYE = "ONE_EYE"
    NO_HEADSET = "NO_HEADSET"
    NO_FACE = "NO_FACE"
    WRONG_PERSON = "WRONG_PERSON"
    COVER_MISMATCH = "COVER_MISMATCH"
    PAUSED = "PAUSED"

    @classmethod
    def named(cls, name: str) -> Status:
        """The status of that name; one that a later version added comes as a member of its own.

        Such a member is not listed when the class is iterated.
        """
        if name in cls._value2member_map_:
            return cls(name)
        later = str.__new__(cls, name)
        later._name_ = later._value_ = name
        return later


# With any of these the camera's frame passes as it is, and nothing is told of the eyes.
PASSED_THROUGH = (
    Status.NO_HEADSET,
    Status.NO_FACE,
    Status.WRONG_PERSON,
    Status.COVER_MISMATCH,
)


class Side(str, Enum):
    """The wearer's own side. The wire calls the right eye `eye.0` and the left `eye.1`."""

    RIGHT = "right"
    LEFT = "left"

    @property
    def eye_index(self) -> int:
        """Index used in wire topics."""
        return 0 if self is Side.RIGHT else 1


@dataclass(frozen=True)
class Frame:
    """One image of the external camera."""

    frame_id: int  # counts up by one; a gap is a drop
    capture_time_ns: int  # monotonic clock of this machine, at the sensor
    image: ImageU8  # (H,W,3) uint8 BGR


@dataclass(frozen=True)
class EyeObservation:
    """What one eye camera shows at one instant, in pixels of that camera's image."""

    side: Side
    capture_time_ns: int  # the sender's monotonic clock
    lids: Float32Array  # (2,9,2) px: upper then lower lid, from the image's left to its right
    pupil: Float32Array  # (5,) px: centre x, y, full axes, angle in degrees (OpenCV's order)
    iris: Float32Array  # (5,) px, as pupil
    blink: float  # 0 = open … 1 = closed
    confidence: float  # 0..1


@dataclass(frozen=True)
class EyeParameters:
    """What a headset that gives no eye images says of one eye, by its own calibration."""

    side: Side
    capture_time_ns: int  # the sender's monotonic clock
    openness: float | None  # 0 = closed … 1 = open; None = not told
    gaze: Float32Array | None  # (2,) rad yaw, pitch: positive to the camera image's right, and up


@dataclass(frozen=True)
class RestoredFace:
    """What the product publishes for one camera frame."""

    frame_id: int
    capture_time_ns: int  # unchanged from the camera frame
    publish_time_ns: int  # same clock
    image: ImageU8  # (H,W,3) uint8 BGR: the whole camera frame, face restored
    crop: ImageU8  # (S,S,3) uint8 BGR: the aligned, restored face
    frame_from_crop: Float32Array  # (2,3) affine: crop px -> frame px
    landmarks: Float32Array  # (478,3) px of the frame; empty (0,3) without a face
    gaze: Float32Array  # (2,2) rad: (right, left) × (yaw, pitch)
    openness: Float32Array  # (2,) 0..1: right, left
    status: tuple[Status, ...]
    filler: str  # "unvisor" | "warp-blend" | "none"
    landmark_source: str  # "oracle" | "tracker" | "mediapipe"
