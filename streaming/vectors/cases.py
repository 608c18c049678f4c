"""What the vectors hold: good messages with their expected values, and bad ones with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgpack
import numpy as np

from streaming.face_message import FaceState
from streaming.frame_message import FrameMessage, encode_pixels
from streaming.messages import Notification, encode
from streaming.records import EyeObservation, Side, Status
from streaming.topics import FRAME_EYES, FRAME_FACE, FRAME_WORLD, VIDEO_FORMAT, format_topic
from streaming.vectors.pictures import (
    FOUR_SQUARES_BGR,
    FOUR_SQUARES_H264,
    FOUR_SQUARES_JPEG,
    numbered_bgr,
    numbered_grey,
)
from streaming.vectors.values import values_of
from streaming.wire import pack, unpack_fields

CAPTURE_NS = 12_345_678_901_234
SOME_POINTS = ((320.25, 180.5, -12.75), (0.0, 719.0, 3.5), (1279.0, 0.125, 0.0))


@dataclass(frozen=True)
class Vector:
    """One message as bytes and what reading it must give."""

    name: str
    shows: str  # what a client that reads this one has proved
    kind: str  # "frame" | "video" | "face_state" | "eye" | "notification" | "error"
    parts: Sequence[bytes]
    expected: Mapping[str, object]  # for an error: `about`, a word of its text, in any case
    pixels_bgr: Sequence[Sequence[int]] = field(default=())  # column, row, b, g, r, each ± 4


def all_vectors() -> list[Vector]:
    """Every vector, in the index's order."""
    return [*good_frames(), *face_states(), *words(), *broken()]


def good_frames() -> list[Vector]:
    """Images in every format, with small and with large numbers."""
    face = a_frame()
    bgr = encode_pixels(numbered_bgr(), "bgr", 85)
    world = replace(face, topic=FRAME_WORLD, width=3, height=2, format="bgr", pixels=bgr)
    grey = encode_pixels(numbered_grey(), "gray", 85)
    eye = replace(face, topic=FRAME_EYES[0], width=4, height=2, format="gray", pixels=grey)
    late = replace(face, index=2**40, timestamp=9.1e6, capture_time_ns=2**53 + 1)
    late = replace(late, publish_time_ns=2**53 + 3, status=(Status.STALE_EYES, Status.ONE_EYE))
    certain = replace(face, topic=format_topic("jpeg", FRAME_FACE))
    return [
        _frame("frame_face_jpeg", "a JPEG, rows from the top", face, FOUR_SQUARES_BGR),
        _frame("jpeg_face", "a topic whose format is certain", certain, FOUR_SQUARES_BGR),
        _frame("frame_world_bgr", "raw blue, green, red, rows from the top", world),
        _frame("frame_eye_gray", "one byte a pixel", replace(eye, synthesised=False)),
        _frame("frame_first", "small integers are one byte on the wire", _first(face)),
        _frame("frame_late", "large integers; nanoseconds beyond a double's 53 bits", late),
        *_from_other_senders(face),
        _video(face),
    ]


def face_states() -> list[Vector]:
    """The face as numbers: with landmarks, without a face, and one eye's observation."""
    state = a_state()
    nobody = replace(
        state,
        landmarks=np.zeros((0, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.zeros(2, np.float32),
        eye_ages_ns=(None, None),
        status=(Status.NO_FACE,),
        filler="none",
        synthesised=False,
    )
    ahead = replace(state, eye_ages_ns=(None, -1_000_000))
    delayed = replace(state, video_delay_ms=42.5)
    eye = an_observation()
    return [
        _state("face_state_delay", "what audio should wait for", delayed),
        _state("face_state", "landmarks, gaze, openness, ages", state),
        _state("face_state_nobody", "an empty list and two nils", nobody),
        _state("face_state_one_eye", "an age may be nil, and negative by a little", ahead),
        *_of_other_versions(state),
        Vector("eye_right", "one eye camera's observation", "eye", encode(eye), values_of(eye)),
    ]


def _of_other_versions(state: FaceState) -> list[Vector]:
    """As earlier publishers sent it, that did not know a key, and as later ones may."""
    topic, packed = encode(state)
    fields = unpack_fields(topic.decode(), packed)
    later = {**fields, "later": {"deep": [None, b"\x00", {"a": 1}]}}
    before = {key: value for key, value in fields.items() if key not in ("topic", "synthesised")}
    status = (Status.LIVE, Status.named("LATER_ONE"))
    says_more = replace(state, status=status)
    shows = "without `synthesised`: true unless the filler is none"
    parts = pack(topic.decode(), before)
    return [
        Vector("face_state_before", shows, "face_state", parts, values_of(state)),
        _state("face_state_later_status", "an unknown status is shown as it is", says_more),
        Vector(
            "face_state_extra_keys",
            "unknown keys are skipped",
            "face_state",
            [topic, msgpack.packb(later)],
            values_of(state),
        ),
    ]


def words() -> list[Vector]:
    """Notifications."""
    return [
        _word("notify_paused", "sending stopped", Notification("unvisor.paused")),
        _word(
            "notify_format",
            "the image format changed",
            Notification("frame_publishing.started", {"format": "jpeg"}),
        ),
    ]


def broken() -> list[Vector]:
    """Messages that a client must refuse, and survive."""
    topic, packed, jpeg = encode(a_frame())
    fields = unpack_fields(topic.decode(), packed)
    del fields["topic"]

    def changed(**changes: object) -> list[bytes]:
        return pack(FRAME_FACE, {**fields, **changes}, jpeg)

    vast = changed(width=16384, height=16384)
    raw = encode(replace(a_frame(), format="bgr", width=3, height=2, pixels=bytes(18)))
    return [
        _bad("bad_format", "says which format it cannot read", changed(format="future"), "future"),
        _bad("bad_parts", "an image without its pixels", [topic, packed], "parts"),
        _bad("bad_size", "fewer pixels than promised", [*raw[:2], bytes(17)], "17"),
        _bad("bad_jpeg", "no JPEG where one is promised", [topic, packed, b"GIF89a"], "jpeg"),
        _bad("bad_map", "the map is cut short", [topic, packed[:-3], jpeg], FRAME_FACE),
        _bad("bad_type", "text where a number belongs", changed(width="16"), "width"),
        _bad("bad_width", "a width that no buffer fits", changed(width=2**31), "width"),
        _bad("bad_pixels", "more pixels than anybody should allocate", vast, "pixels"),
        _bad("bad_topic", "an unknown topic", [b"frame.other", packed, jpeg], "frame.other"),
        _bad("bad_length", "a list longer than its message", _endless_list(), "face.state"),
    ]


def a_frame() -> FrameMessage:
    """`frame.face` as JPEG, an ordinary one."""
    return FrameMessage(
        topic=FRAME_FACE,
        width=16,
        height=16,
        index=4711,
        timestamp=12345.678901234,
        format="jpeg",
        capture_time_ns=CAPTURE_NS,
        publish_time_ns=CAPTURE_NS + 31_000_000,
        status=(Status.LIVE,),
        filler="unvisor",
        landmark_source="tracker",
        synthesised=True,
        pixels=FOUR_SQUARES_JPEG,
    )


def a_state() -> FaceState:
    """`face.state` with three landmarks (a real one has 478)."""
    return FaceState(
        index=4711,
        timestamp=12345.678901234,
        capture_time_ns=CAPTURE_NS,
        publish_time_ns=CAPTURE_NS + 31_000_000,
        landmarks=np.array(SOME_POINTS, np.float32),
        gaze=np.array([[0.125, -0.25], [0.0625, -0.25]], np.float32),
        openness=np.array([1.0, 0.5], np.float32),
        eye_ages_ns=(8_000_000, 300),
        frame_from_crop=np.array([[2.5, -0.125, 400.0], [0.125, 2.5, 100.5]], np.float32),
        status=(Status.LIVE, Status.WARMING),
        filler="unvisor",
        landmark_source="tracker",
        synthesised=True,
    )


def an_observation() -> EyeObservation:
    """`eye.0`: the right eye, half open."""
    return EyeObservation(
        side=Side.RIGHT,
        capture_time_ns=CAPTURE_NS,
        lids=np.arange(36, dtype=np.float32).reshape(2, 9, 2) / 4,
        pupil=np.array([96.5, 90.25, 30.0, 28.0, 12.5], np.float32),
        iris=np.array([96.0, 90.0, 80.0, 78.0, 0.0], np.float32),
        blink=0.5,
        confidence=1.0,
    )


def _first(face: FrameMessage) -> FrameMessage:
    return replace(
        face, index=0, timestamp=0.0, capture_time_ns=127, publish_time_ns=255, status=()
    )


def _video(face: FrameMessage) -> Vector:
    topic = format_topic(VIDEO_FORMAT, FRAME_FACE)
    unit = replace(face, topic=topic, format=VIDEO_FORMAT, width=32, height=32, unit=70_000)
    shows = "one H.264 access unit; a reader without a decoder says which format it cannot read"
    message = replace(unit, pixels=FOUR_SQUARES_H264, is_key=True)
    return Vector("h264_face", shows, "video", encode(message), values_of(message))


def _from_other_senders(face: FrameMessage) -> list[Vector]:
    """The same values, as later versions and other languages' packers may write them."""
    topic, packed, jpeg = encode(face)
    fields = unpack_fields(topic.decode(), packed)
    extra = {
        "later": {"list": [1, -1, None, True, "two"], "bytes": b"\x00\xff", "deep": {"a": [[]]}},
        "extension": msgpack.ExtType(5, b"abcd"),
    }
    whole = {**fields, "timestamp": 12}
    return [
        Vector(
            "frame_extra_keys",
            "unknown keys of any type are skipped",
            "frame",
            [topic, msgpack.packb({**extra, **fields}), jpeg],
            values_of(face),
        ),
        Vector(
            "frame_wide_numbers",
            "any integer width, and a whole number where a float belongs",
            "frame",
            [topic, _packed_wide(whole), jpeg],
            values_of(replace(face, timestamp=12.0)),
        ),
    ]


def _packed_wide(fields: Mapping[str, object]) -> bytes:
    """Pack with the longest header that the format allows for each map, text and whole number."""
    packed = b"\xdf" + len(fields).to_bytes(4, "big")  # map 32
    for key, value in fields.items():
        packed += b"\xdb" + len(key.encode()).to_bytes(4, "big") + key.encode()  # str 32
        if type(value) is int:
            packed += b"\xcf" + value.to_bytes(8, "big")  # uint 64
        else:
            packed += msgpack.packb(value)
    return packed


def _endless_list() -> list[bytes]:
    """A `face.state` whose landmarks claim 2^32 - 1 numbers and hold none."""
    packed = b"\x82\xa5topic\xaaface.state\xa9landmarks\xdd\xff\xff\xff\xff"
    return [b"face.state", packed]


def _frame(
    name: str, shows: str, frame: FrameMessage, pixels: Sequence[Sequence[int]] = ()
) -> Vector:
    return Vector(name, shows, "frame", encode(frame), values_of(frame), pixels)


def _state(name: str, shows: str, state: FaceState) -> Vector:
    return Vector(name, shows, "face_state", encode(state), values_of(state))


def _word(name: str, shows: str, word: Notification) -> Vector:
    return Vector(name, shows, "notification", encode(word), values_of(word))


def _bad(name: str, shows: str, parts: Sequence[bytes], about: str) -> Vector:
    return Vector(name, shows, "error", parts, {"about": about})
