"""The one message schema: `encode(record)` gives the parts to send, `decode(parts)` the record.

| topic | record | parts |
|---|---|---|
| `frame.world`, `frame.face`, `frame.eye.0`, `frame.eye.1` | `FrameMessage` | topic, map, pixels |
| `jpeg.world` and the like, for each format and frame topic | `FrameMessage` | topic, map, pixels |
| `face.state` | `FaceState` | topic, map |
| `eye.0`, `eye.1` | `EyeObservation` | topic, map |
| `eye.parameters.0`, `eye.parameters.1` | `EyeParameters` | topic, map |
| `sim.eye.0`, `sim.eye.1` | `EyeImage` | topic, map, pixels |
| `notify.SUBJECT` | `Notification` | topic, map |
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from streaming.eye_message import (
    EyeImage,
    decode_eye_image,
    decode_eye_observation,
    encode_eye_image,
    encode_eye_observation,
)
from streaming.eye_parameters import decode_eye_parameters, encode_eye_parameters
from streaming.face_message import FaceState, decode_face_state, encode_face_state
from streaming.frame_message import FrameMessage, decode_frame, encode_frame
from streaming.records import EyeObservation, EyeParameters
from streaming.topics import (
    EYE_PARAMETERS,
    EYES,
    FACE_STATE,
    FORMAT_TOPICS,
    FRAMES,
    NOTIFY,
    SIMULATED_EYES,
    eye_parameters_topic,
    eye_topic,
    simulated_eye_topic,
)
from streaming.wire import FieldReader, MessageError, pack, unpack_fields, unpack_topic

__all__ = [
    "EyeImage",
    "FaceState",
    "FrameMessage",
    "Message",
    "MessageError",
    "Notification",
    "Sender",
    "decode",
    "encode",
    "topic_of",
]


@dataclass(frozen=True)
class Sender:
    """A client's connection to the control socket."""

    connection: str
    since_s: float  # first heard of, on the monotonic clock


@dataclass(frozen=True)
class Notification:
    """A word between programs: a subject such as `unvisor.pause`, and what belongs to it."""

    subject: str  # at most 121 characters; the topic is `notify.` + subject
    fields: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    sender: Sender | None = field(default=None, compare=False)  # never on the wire


Message = FrameMessage | FaceState | EyeObservation | EyeParameters | EyeImage | Notification

_WITH_PIXELS: dict[str, Callable[[FieldReader, bytes], Message]] = {
    **dict.fromkeys((*FRAMES, *FORMAT_TOPICS), decode_frame),
    **dict.fromkeys(SIMULATED_EYES, decode_eye_image),
}
_WITHOUT_PIXELS: dict[str, Callable[[FieldReader], Message]] = {
    FACE_STATE: decode_face_state,
    **dict.fromkeys(EYES, decode_eye_observation),
    **dict.fromkeys(EYE_PARAMETERS, decode_eye_parameters),
}


def topic_of(message: Message) -> str:
    """Topic under which a record travels."""
    if isinstance(message, FrameMessage):
        return message.topic
    if isinstance(message, FaceState):
        return FACE_STATE
    if isinstance(message, EyeObservation):
        return eye_topic(message.side)
    if isinstance(message, EyeParameters):
        return eye_parameters_topic(message.side)
    if isinstance(message, EyeImage):
        return simulated_eye_topic(message.side)
    return NOTIFY + message.subject


def encode(message: Message) -> list[bytes]:
    """Return the multipart message; raises `MessageError` when an array has the wrong shape."""
    if isinstance(message, FrameMessage):
        return encode_frame(message)
    if isinstance(message, FaceState):
        return encode_face_state(message)
    if isinstance(message, EyeObservation):
        return encode_eye_observation(message)
    if isinstance(message, EyeParameters):
        return encode_eye_parameters(message)
    if isinstance(message, EyeImage):
        return encode_eye_image(message)
    fields = {**message.fields, "subject": message.subject}
    return pack(topic_of(message), fields)


def decode(parts: Sequence[bytes]) -> Message:
    """Read one multipart message; raises `MessageError`, and nothing else, for a malformed one."""
    if not parts:
        raise MessageError("The message has no parts.")
    topic = unpack_topic(parts[0])
    wanted = 3 if topic in _WITH_PIXELS else 2
    if topic not in _WITH_PIXELS and topic not in _WITHOUT_PIXELS and not topic.startswith(NOTIFY):
        raise MessageError(f"The topic {topic!r} is unknown.")
    if len(parts) != wanted:
        raise MessageError(f"{topic!r} has {len(parts)} parts; {wanted} are needed.")
    fields = unpack_fields(topic, parts[1])
    if topic.startswith(NOTIFY):
        return _decode_notification(topic, fields)
    if fields.get("topic") != topic:
        named = reprlib.repr(fields.get("topic"))
        raise MessageError(f"The map of {topic!r} names another topic: {named}.")
    reader = FieldReader(topic, fields)
    if topic in _WITH_PIXELS:
        return _WITH_PIXELS[topic](reader, parts[2])
    return _WITHOUT_PIXELS[topic](reader)


def _decode_notification(topic: str, fields: dict[str, object]) -> Notification:
    subject = FieldReader(topic, fields).text("subject")
    if topic != NOTIFY + subject:
        raise MessageError(f"The map of {topic!r} has another subject: {subject!r}.")
    others = {key: value for key, value in fields.items() if key not in ("subject", "topic")}
    return Notification(subject, MappingProxyType(others))
