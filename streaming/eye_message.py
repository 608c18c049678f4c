"""Eyes on the wire: observations (`eye.0`, `eye.1`) and simulated camera images (`sim.eye.*`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.frame_message import MAX_SIDE_PX, check_pixels
from streaming.records import EyeObservation, Float32Array, ImageU8, Side
from streaming.topics import eye_topic, side_of, simulated_eye_topic
from streaming.wire import MAX_TIME_NS, FieldReader, MessageError, flat, pack


@dataclass(frozen=True)
class EyeImage:
    """One grey image of one eye camera, as a simulated headset feeds it to `hmd_capture`."""

    side: Side
    frame_id: int  # counts up by one per side; a gap is a drop
    capture_time_ns: int  # the sender's monotonic clock
    image: ImageU8  # (H,W) uint8 grey
    truth: EyeObservation | None  # what the simulator knows; None from a plain source


def encode_eye_observation(observation: EyeObservation) -> list[bytes]:
    """Return the two parts of one observation."""
    return pack(eye_topic(observation.side), _observation_fields(observation))


def decode_eye_observation(fields: FieldReader) -> EyeObservation:
    """Check and read one observation; the topic names the side. Raises `MessageError`."""
    return _read_observation(fields, side_of(fields.topic))


def encode_eye_image(message: EyeImage) -> list[bytes]:
    """Return the three parts of one eye-camera image."""
    if message.image.ndim != 2:
        raise MessageError(f"An eye image has shape {message.image.shape}, not (height, width).")
    height, width = message.image.shape
    fields = {
        "width": width,
        "height": height,
        "index": int(message.frame_id),
        "timestamp": message.capture_time_ns / 1e9,
        "format": "gray",
        "capture_time_ns": int(message.capture_time_ns),
        "truth": None if message.truth is None else _observation_fields(message.truth),
    }
    pixels = np.ascontiguousarray(message.image).tobytes()
    return pack(simulated_eye_topic(message.side), fields, pixels)


def decode_eye_image(fields: FieldReader, pixels: bytes) -> EyeImage:
    """Check and read one eye-camera image; raises `MessageError`."""
    side = side_of(fields.topic)
    shape = fields.integer("height", 1, MAX_SIDE_PX), fields.integer("width", 1, MAX_SIDE_PX)
    image_format = fields.text("format", ("gray",))
    check_pixels(fields.topic, image_format, shape, pixels)
    truth = fields.optional_map("truth")
    return EyeImage(
        side=side,
        frame_id=fields.integer("index", 0, MAX_TIME_NS),
        capture_time_ns=fields.time_ns("capture_time_ns"),
        image=np.frombuffer(pixels, dtype=np.uint8).reshape(shape),
        truth=None if truth is None else _read_observation(truth, side),
    )


def _observation_fields(observation: EyeObservation) -> dict[str, object]:
    return {
        "timestamp": observation.capture_time_ns / 1e9,
        "capture_time_ns": int(observation.capture_time_ns),
        "lids": flat("lids", observation.lids, (2, 9, 2)),
        "pupil": flat("pupil", observation.pupil, (5,)),
        "iris": flat("iris", observation.iris, (5,)),
        "blink": float(observation.blink),
        "confidence": float(observation.confidence),
    }


def _read_observation(fields: FieldReader, side: Side) -> EyeObservation:
    return EyeObservation(
        side=side,
        capture_time_ns=fields.time_ns("capture_time_ns"),
        lids=fields.array("lids", (2, 9, 2)),
        pupil=_read_ellipse(fields, "pupil"),
        iris=_read_ellipse(fields, "iris"),
        blink=fields.number("blink", 0.0, 1.0),
        confidence=fields.number("confidence", 0.0, 1.0),
    )


def _read_ellipse(fields: FieldReader, key: str) -> Float32Array:
    ellipse = fields.array(key, (5,))
    if ellipse[2] < 0 or ellipse[3] < 0:
        raise MessageError(f"Field {key!r} of {fields.topic!r} has a negative axis.")
    return ellipse
