from __future__ import annotations

import dataclasses
from contextlib import suppress
from dataclasses import replace

import cv2
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.frame_message import encode_pixels
from streaming.messages import (
    EyeImage,
    FaceState,
    FrameMessage,
    Message,
    MessageError,
    Notification,
    decode,
    encode,
)
from streaming.records import EyeObservation, EyeParameters, Side, Status
from streaming.topics import EYE_PARAMETERS, EYES, FACE_STATE, FRAMES, SIMULATED_EYES

RNG = np.random.default_rng(5)


def gradient(height: int, width: int) -> np.ndarray:
    ramp = np.linspace(0, 255, width, dtype=np.float32)[None, :].repeat(height, axis=0)
    return np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 90)], axis=2).astype(np.uint8)


def a_frame(topic: str = "frame.world", image_format: str = "jpeg") -> FrameMessage:
    image = gradient(24, 32)
    return FrameMessage(
        topic=topic,
        width=32,
        height=24,
        index=300,
        timestamp=12.5,
        format=image_format,
        capture_time_ns=12_500_000_000,
        publish_time_ns=12_540_000_000,
        status=(Status.LIVE, Status.ONE_EYE),
        filler="warp-blend",
        landmark_source="oracle",
        synthesised=True,
        pixels=encode_pixels(image, image_format, 95),
    )


def a_state(landmarks: int = 478) -> FaceState:
    return FaceState(
        index=7,
        timestamp=1.0,
        capture_time_ns=1_000_000_000,
        publish_time_ns=1_030_000_000,
        landmarks=RNG.normal(100, 30, (landmarks, 3)).astype(np.float32),
        gaze=RNG.normal(0, 0.1, (2, 2)).astype(np.float32),
        openness=np.array([0.9, 0.1], np.float32),
        eye_ages_ns=(4_000_000, None),
        frame_from_crop=np.array([[1.5, 0, 10], [0, 1.5, 20]], np.float32),
        status=(Status.LIVE,),
        filler="unvisor",
        landmark_source="mediapipe",
        synthesised=True,
    )


def an_observation(side: Side = Side.LEFT) -> EyeObservation:
    return EyeObservation(
        side=side,
        capture_time_ns=123_456_789_012_345,
        lids=RNG.uniform(0, 120, (2, 9, 2)).astype(np.float32),
        pupil=np.array([60, 50, 11, 12, 30], np.float32),
        iris=np.array([60, 50, 31, 32, 30], np.float32),
        blink=0.25,
        confidence=0.75,
    )


def an_eye_image(side: Side = Side.RIGHT) -> EyeImage:
    image = RNG.integers(0, 255, (48, 64), dtype=np.uint8)
    return EyeImage(side, 41, 5_000_000_000, image, an_observation(side))


RECORDS: dict[str, Message] = {
    **{topic: a_frame(topic) for topic in FRAMES},
    "bgr": a_frame(image_format="bgr"),
    "gray": a_frame("frame.eye.0", "gray"),
    FACE_STATE: a_state(),
    "face.state without a face": a_state(landmarks=0),
    EYES[0]: an_observation(Side.RIGHT),
    EYES[1]: an_observation(Side.LEFT),
    EYE_PARAMETERS[0]: EyeParameters(Side.RIGHT, 77, 0.5, np.array([0.1, -0.2], np.float32)),
    EYE_PARAMETERS[1]: EyeParameters(Side.LEFT, 78, 1.0, None),
    "gaze alone": EyeParameters(Side.LEFT, 79, None, np.array([0.3, 0.0], np.float32)),
    SIMULATED_EYES[0]: an_eye_image(Side.RIGHT),
    SIMULATED_EYES[1]: replace(an_eye_image(Side.LEFT), truth=None),
    "notify": Notification("unvisor.pause", {"reason": "key", "n": 3}),
}


def assert_same(ours: object, theirs: object) -> None:
    assert type(ours) is type(theirs)
    if dataclasses.is_dataclass(ours):
        for field in dataclasses.fields(ours):
            assert_same(getattr(ours, field.name), getattr(theirs, field.name))
    elif isinstance(ours, np.ndarray):
        assert isinstance(theirs, np.ndarray)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    elif hasattr(ours, "items"):
        assert dict(ours.items()) == dict(theirs.items())  # type: ignore[attr-defined]
    else:
        assert ours == theirs


def as_plain(message: Message) -> Message:
    """A decoded notification holds a read-only view; compare its plain fields."""
    if isinstance(message, Notification):
        return Notification(message.subject, dict(message.fields))
    return message


@pytest.mark.parametrize("name", RECORDS)
def test_every_record_survives_the_wire_unchanged(name: str) -> None:
    message = RECORDS[name]
    assert_same(message, as_plain(decode(encode(message))))


def test_frames_keep_to_the_conventions_that_existing_clients_read() -> None:
    topic, fields, pixels = encode(a_frame())
    assert topic == b"frame.world"
    unpacked = msgpack.unpackb(fields)
    wanted = {"topic": str, "width": int, "height": int, "index": int, "format": str}
    assert {key: type(unpacked[key]) for key in wanted} == wanted
    assert unpacked["topic"] == "frame.world"
    assert pixels[:2] == b"\xff\xd8"
    packed_timestamp = b"\xa9timestamp\xcb"  # 0xcb: float64, which C# clients cast to double
    assert packed_timestamp in fields


def test_whole_seconds_still_travel_as_float64() -> None:
    assert b"\xa9timestamp\xcb" in encode(replace(a_frame(), timestamp=3))[1]


@pytest.mark.parametrize("image_format", ["jpeg", "bgr"])
def test_image_comes_back_from_its_bytes(image_format: str) -> None:
    message = decode(encode(a_frame(image_format=image_format)))
    assert isinstance(message, FrameMessage)
    assert cv2.PSNR(message.image(), gradient(24, 32)) > 30


def test_grey_image_comes_back_exactly() -> None:
    grey = RNG.integers(0, 255, (24, 32), dtype=np.uint8)
    frame = replace(a_frame(image_format="gray"), pixels=encode_pixels(grey, "gray", 90))
    np.testing.assert_array_equal(frame.image(), grey)


def test_broken_jpeg_is_a_message_error_and_not_a_crash() -> None:
    frame = replace(a_frame(), pixels=b"\xff\xd8" + bytes(200))
    with pytest.raises(MessageError, match="broken"):
        frame.image()


def test_jpeg_of_another_size_than_promised_is_refused() -> None:
    with pytest.raises(MessageError, match="32×23"):
        replace(a_frame(), height=23).image()


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded() -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    whole = cv2.imencode(".jpg", gradient(24, 32), options)[1].tobytes()
    assert replace(a_frame(), pixels=whole).image().shape == (24, 32, 3)
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(MessageError, match="scans"):
        replace(a_frame(), pixels=whole[:-2] + 40 * last_scan + whole[-2:]).image()


CHANGES = {
    "width": [0, -1, "32", 1.5, True, None, 10**6],
    "index": [-1, 2**63, 1.0],
    "timestamp": [float("nan"), float("inf"), "now", None],
    "format": ["png", 3, None],
    "capture_time_ns": [-1, 2**64 - 1, 1.5],
    "status": ["LIVE", ["alive"], ["\x1b[2J"], ["A" * 33], ["LIVE"] * 33, [""], [3], None],
    "filler": [None, 3, "x" * 1000],
    "landmarks": [["oracle"], None],
    "synthesised": [1, "yes", None],
    "topic": ["frame.face", None],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in CHANGES.items() for v in vs])
def test_frame_with_one_wrong_field_is_refused_by_name(key: str, value: object) -> None:
    topic, fields, pixels = encode(a_frame())
    changed = {**msgpack.unpackb(fields), key: value}
    with pytest.raises(MessageError, match=key):
        decode([topic, msgpack.packb(changed), pixels])


@pytest.mark.parametrize("record", [a_frame(), a_state()], ids=["frame", "state"])
def test_a_status_of_a_later_version_is_passed_on_as_it_came(
    record: FrameMessage | FaceState,
) -> None:
    topic, fields, *raw = encode(record)
    later = {**msgpack.unpackb(fields), "status": ["LATER_ONE", "LIVE"]}
    message = decode([topic, msgpack.packb(later), *raw])
    assert isinstance(message, FrameMessage | FaceState)
    assert [status.value for status in message.status] == ["LATER_ONE", "LIVE"]
    assert message.status[1] is Status.LIVE
    assert encode(message)[1] == msgpack.packb(later)
    assert len(set(Status)) == len(Status.__members__)  # it is none of those that we may say


@pytest.mark.parametrize(("filler", "wanted"), [("unvisor", True), ("none", False)])
def test_a_face_state_of_before_the_flag_counts_as_synthesised_if_there_was_a_filler(
    filler: str, wanted: bool
) -> None:
    topic, fields = encode(replace(a_state(), filler=filler))
    before = msgpack.unpackb(fields)
    del before["synthesised"]
    state = decode([topic, msgpack.packb(before)])
    assert isinstance(state, FaceState)
    assert state.synthesised is wanted


@pytest.mark.parametrize("value", [1, "yes", []])
def test_a_face_state_whose_flag_is_neither_true_nor_false_is_refused(value: object) -> None:
    topic, fields = encode(a_state())
    changed = {**msgpack.unpackb(fields), "synthesised": value}
    with pytest.raises(MessageError, match="synthesised"):
        decode([topic, msgpack.packb(changed)])


@pytest.mark.parametrize("name", ["frame.world", "bgr", FACE_STATE, EYES[0], SIMULATED_EYES[0]])
def test_no_field_can_be_left_out_but_the_truth_and_what_only_others_read(name: str) -> None:
    topic, fields, *raw = encode(RECORDS[name])
    whole = msgpack.unpackb(fields)
    optional = {"truth"} | ({"synthesised"} if name == FACE_STATE else set())
    optional |= {"timestamp"} if name != FACE_STATE and "eye" in name else set()
    for key in whole.keys() - optional:
        left = {other: value for other, value in whole.items() if other != key}
        with pytest.raises(MessageError, match=key):
            decode([topic, msgpack.packb(left), *raw])


@pytest.mark.parametrize(
    "change",
    [
        {"openness": 1.1},
        {"openness": -0.1},
        {"openness": "open"},
        {"gaze": [0.1]},
        {"gaze": [0.1, 1.6]},
        {"gaze": [0.1, float("nan")]},
        {"gaze": 0.1},
        {"openness": None, "gaze": None},
        {"capture_time_ns": -1},
    ],
)
def test_impossible_eye_parameters_are_refused(change: dict[str, object]) -> None:
    topic, fields = encode(RECORDS[EYE_PARAMETERS[0]])
    with pytest.raises(MessageError, match=r"gaze|openness|capture_time_ns"):
        decode([topic, msgpack.packb({**msgpack.unpackb(fields), **change})])


def test_eye_parameters_that_tell_nothing_are_not_sent() -> None:
    with pytest.raises(MessageError, match="neither"):
        encode(EyeParameters(Side.LEFT, 1, None, None))


@pytest.mark.parametrize("name", ["bgr", "gray", SIMULATED_EYES[0]])
def test_raw_part_of_the_wrong_length_is_refused(name: str) -> None:
    topic, fields, pixels = encode(RECORDS[name])
    for wrong in (pixels[:-1], pixels + b"x", b""):
        with pytest.raises(MessageError, match="bytes"):
            decode([topic, fields, wrong])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lids", [0.0] * 35),
        ("lids", [0.0] * 35 + [float("nan")]),
        ("lids", [0.0] * 35 + ["1"]),
        ("lids", [0.0] * 35 + [2**63]),
        ("pupil", [0, 0, -1, 1, 0]),
        ("blink", 1.01),
        ("confidence", -0.01),
    ],
)
def test_impossible_eye_is_refused(key: str, value: object) -> None:
    topic, fields = encode(an_observation())
    with pytest.raises(MessageError, match=key):
        decode([topic, msgpack.packb({**msgpack.unpackb(fields), key: value})])


@pytest.mark.parametrize(
    "change",
    [
        {"landmarks": np.full((478, 3), np.nan, np.float32)},
        {"landmarks": np.zeros((478, 2), np.float32)},
        {"gaze": np.zeros(2, np.float32)},
    ],
)
def test_wrong_arrays_are_refused_before_they_are_sent(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(MessageError, match=next(iter(change))):
        encode(replace(a_state(), **change))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"frame.world"],
        [b"frame.world", b"\x80"],
        [b"face.state", b"\x80", b"extra"],
        [b"frame.elsewhere", b"\x80", b""],
        [b"\xff\xfe", b"\x80"],
        [b"x" * 1000, b"\x80"],
        [b"notify.a", b"\x81\xa7subject\xa1b"],
        [b"notify.a", b"\x81\x01\x02"],
        [b"notify.a", b"\x91" * 2000],
        [b"notify.a", b"\x81\xa7subject" + b"\x91" * 900 + b"\xc0"],
        [b"notify.a", b"\xc1"],
        [b"notify.a", b"\xdf\xff\xff\xff\xff"],
        [b"notify.a", bytes(200_000)],
    ],
)
def test_malformed_envelope_is_a_message_error(parts: list[bytes]) -> None:
    with pytest.raises(MessageError):
        decode(parts)


TOPICS = st.sampled_from([*FRAMES, FACE_STATE, *EYES, *EYE_PARAMETERS, *SIMULATED_EYES, "notify.a"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def only_message_errors(parts: list[bytes]) -> None:
    """Any other exception fails the test."""
    with suppress(MessageError):
        decode(parts)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=4))
def test_random_parts_raise_nothing_but_message_errors(parts: list[bytes]) -> None:
    only_message_errors(parts)


@settings(max_examples=200, deadline=None)
@given(TOPICS, st.binary(max_size=200), st.lists(st.binary(max_size=50), max_size=2))
def test_random_maps_under_real_topics_raise_nothing_but_message_errors(
    topic: str, fields: bytes, raw: list[bytes]
) -> None:
    only_message_errors([topic.encode(), fields, *raw])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(RECORDS)), st.data())
def test_real_messages_with_one_hostile_value_raise_nothing_but_message_errors(
    name: str, draw: st.DataObject
) -> None:
    topic, fields, *raw = encode(RECORDS[name])
    whole = msgpack.unpackb(fields)
    whole[draw.draw(st.sampled_from(sorted(whole)))] = draw.draw(VALUES)
    only_message_errors([topic, msgpack.packb(whole), *raw])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(RECORDS)), st.integers(0, 10**6), st.integers(0, 255))
def test_real_messages_with_one_changed_byte_raise_nothing_but_message_errors(
    name: str, position: int, value: int
) -> None:
    topic, fields, *raw = encode(RECORDS[name])
    broken = bytearray(fields)
    broken[position % len(broken)] = value
    only_message_errors([topic, bytes(broken), *raw])


@settings(deadline=None)
@given(st.text(max_size=100), st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_any_notification_either_travels_whole_or_is_refused_by_its_sender(
    subject: str, fields: dict[str, object]
) -> None:
    fields = {key: value for key, value in fields.items() if key not in ("subject", "topic")}
    try:
        parts = encode(Notification(subject, fields))
    except MessageError:
        return
    received = decode(parts)
    assert isinstance(received, Notification)
    assert received.subject == subject
    assert received.fields.keys() == fields.keys()
