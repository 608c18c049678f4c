"""The network as reader of eye images: whatever arrives, it answers or counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hmd_capture.bench import drawn_eye
from hmd_capture.network_eyes import BLIND_NS, NetworkEyeReader
from streaming.errors import UserError
from streaming.messages import EyeImage, decode, encode
from streaming.records import EyeObservation, Side

READER = NetworkEyeReader()


def shot(image: np.ndarray, side: Side = Side.LEFT, time_ns: int = 5) -> EyeImage:
    return EyeImage(side, 0, time_ns, image, None)


def test_an_image_is_read_with_its_own_side_and_time() -> None:
    seen = READER.read(shot(drawn_eye(240, 240), Side.RIGHT, 123))
    assert isinstance(seen, EyeObservation)
    assert (seen.side, seen.capture_time_ns) == (Side.RIGHT, 123)


@settings(max_examples=40, deadline=None)
@given(
    image=arrays.arrays(
        dtype=st.sampled_from([np.uint8, np.uint16, np.float32, np.bool_]),
        shape=arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=48),
        fill=st.just(1),
    )
)
def test_anything_at_all_is_read_or_counted(image: np.ndarray) -> None:
    before = READER.rejected.total()
    seen = READER.read(shot(image))
    if seen is None:
        assert READER.rejected.total() == before + 1
    else:
        assert decode(encode(seen)).capture_time_ns == 5  # what is said can be sent


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((120, 160), np.uint16), "depth"),
        (np.zeros((120, 160, 4), np.uint8), "channels"),
        (np.zeros((4, 160), np.uint8), "size"),
        (np.zeros((0, 0), np.uint8), "size"),
    ],
)
def test_images_that_no_eye_camera_sends_are_counted_by_reason(
    image: np.ndarray, reason: str
) -> None:
    reader = NetworkEyeReader()
    assert reader.read(shot(image)) is None
    assert dict(reader.rejected) == {reason: 1}


def test_a_colour_image_is_read_as_its_grey_one() -> None:
    grey = drawn_eye(160, 120)
    first, second = (READER.read(shot(i)) for i in (grey, np.dstack([grey] * 3)))
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first.lids, second.lids, atol=0.5)


def test_an_eye_that_is_lost_on_purpose_stays_unread() -> None:
    reader = NetworkEyeReader(frozenset({Side.LEFT}))
    assert reader.read(shot(drawn_eye(128, 96), Side.LEFT)) is None
    assert reader.read(shot(drawn_eye(128, 96), Side.RIGHT)) is not None


def test_a_camera_that_shows_no_eye_for_long_is_named() -> None:
    reader = NetworkEyeReader()
    black = np.zeros((96, 128), np.uint8)
    for time_ns in (0, BLIND_NS):
        reader.read(shot(black, Side.LEFT, time_ns))
    assert reader.note == ""
    reader.read(shot(black, Side.LEFT, BLIND_NS + 1))
    assert "left eye camera" in reader.note
    assert "right" not in reader.note
    reader.read(shot(black, Side.LEFT, 7))  # the source began anew
    assert reader.note == ""


def test_a_missing_network_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reads eye images cannot be used.*missing"):
        NetworkEyeReader(network=tmp_path / "eye_net.onnx")
