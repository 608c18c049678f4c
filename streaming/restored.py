"""A restored face as the messages that clients get of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streaming.clock import PublishingClock, monotonic_ns
from streaming.face_message import FaceState
from streaming.frame_message import FrameMessage
from streaming.picture_coding import Coded
from streaming.records import PASSED_THROUGH, ImageU8, RestoredFace
from streaming.topics import FRAME_EYES, FRAME_FACE, FRAME_WORLD, EyesShow


def images_of(
    face: RestoredFace, eyes: Sequence[ImageU8], eyes_show: EyesShow
) -> dict[str, ImageU8]:
    """Image of each topic of `FRAMES`, without empty ones; the smallest come first.

    With `face`, both eye topics show the restored face, for clients that know nothing but eyes;
    without a face the whole frame, because an old picture is never left standing.
    """
    if eyes_show == "face":
        eyes = (face.crop if face.crop.size else face.image,) * 2
    images = {FRAME_FACE: face.crop, **dict(zip(FRAME_EYES, eyes, strict=False))}
    images[FRAME_WORLD] = face.image  # last: the others need not wait for its encoding
    return {topic: image for topic, image in images.items() if image.size}


def frame_message(
    face: RestoredFace,
    topic: str,
    image_format: str,
    image: ImageU8,
    coded: Coded,
    clock: PublishingClock,
    *,
    is_eye_camera: bool,
) -> FrameMessage:
    """One image, encoded as `coded`, with what a client must know about it."""
    return FrameMessage(
        topic=topic,
        width=image.shape[1],
        height=image.shape[0],
        index=face.frame_id,
        timestamp=clock.seconds_at(face.capture_time_ns),
        format=image_format,
        capture_time_ns=face.capture_time_ns,
        publish_time_ns=monotonic_ns(),  # now that it is encoded
        status=face.status,
        filler=face.filler,
        landmark_source=face.landmark_source,
        synthesised=is_synthesised(face) and not is_eye_camera,
        pixels=coded.pixels,
        unit=coded.unit,
        is_key=coded.is_key,
    )


def state_message(
    face: RestoredFace,
    eye_ages_ns: tuple[int | None, int | None],
    clock: PublishingClock,
    video_delay_ms: float | None,
) -> FaceState:
    """The face as numbers."""
    return FaceState(
        index=face.frame_id,
        timestamp=clock.seconds_at(face.capture_time_ns),
        capture_time_ns=face.capture_time_ns,
        publish_time_ns=face.publish_time_ns,
        landmarks=np.asarray(face.landmarks, dtype=np.float32),
        gaze=face.gaze,
        openness=face.openness,
        eye_ages_ns=eye_ages_ns,
        frame_from_crop=face.frame_from_crop,
        status=face.status,
        filler=face.filler,
        landmark_source=face.landmark_source,
        synthesised=is_synthesised(face),
        video_delay_ms=video_delay_ms,
    )


def is_synthesised(face: RestoredFace) -> bool:
    """Whether any pixel of the frame was made by a filler rather than by the camera."""
    return face.filler != "none" and not any(status in PASSED_THROUGH for status in face.status)
