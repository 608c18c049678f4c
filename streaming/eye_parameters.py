"""Eyes on the wire without images: `eye.parameters.0`, `eye.parameters.1`."""

from __future__ import annotations

import math

from streaming.records import EyeParameters
from streaming.topics import eye_parameters_topic, side_of
from streaming.wire import FieldReader, MessageError, flat, pack

MAX_GAZE_RAD = math.pi / 2


def encode_eye_parameters(parameters: EyeParameters) -> list[bytes]:
    """Return the two parts of one message; raises `MessageError` when nothing is told."""
    if parameters.openness is None and parameters.gaze is None:
        raise MessageError("Eye parameters tell neither openness nor gaze.")
    fields = {
        "timestamp": parameters.capture_time_ns / 1e9,
        "capture_time_ns": int(parameters.capture_time_ns),
        "openness": None if parameters.openness is None else float(parameters.openness),
        "gaze": None if parameters.gaze is None else flat("gaze", parameters.gaze, (2,)),
    }
    return pack(eye_parameters_topic(parameters.side), fields)


def decode_eye_parameters(fields: FieldReader) -> EyeParameters:
    """Check and read one message; the topic names the side. Raises `MessageError`."""
    parameters = EyeParameters(
        side=side_of(fields.topic),
        capture_time_ns=fields.time_ns("capture_time_ns"),
        openness=None if fields.is_nil("openness") else fields.number("openness", 0.0, 1.0),
        gaze=None if fields.is_nil("gaze") else fields.array("gaze", (2,)),
    )
    if parameters.gaze is not None and float(abs(parameters.gaze).max()) > MAX_GAZE_RAD:
        raise MessageError(f"Field 'gaze' of {fields.topic!r} looks behind the wearer.")
    if parameters.openness is None and parameters.gaze is None:
        raise MessageError(f"{fields.topic!r} tells neither openness nor gaze.")
    return parameters
