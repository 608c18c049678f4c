from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.composite import _blend, composite, hidden_in_frame, open_hole
from models import warp
from models.bank.layers import Layer
from models.detail import Detail
from models.face.alignment import HeadBox, cut_crop, frame_from_box
from models.preparation import Drawn
from models.reference import Reference

SIZE = 64


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """A noisy frame, a headset somewhere in it, and a crop that may reach over the border."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(40, 220)), draw(st.integers(40, 220))
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(1, 3))):
        centre = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        axes = draw(st.integers(1, 40)), draw(st.integers(1, 40))
        cv2.ellipse(mask, centre, axes, draw(st.integers(0, 90)), 0, 360, (1,), -1)
    centre_px = np.array([draw(st.floats(0, width)), draw(st.floats(0, height))], np.float32)
    box = HeadBox(centre_px, draw(st.floats(20, 300)))
    return frame, mask, frame_from_box(box, SIZE)


def fill_from_known(crop: NDArray[np.uint8], hidden: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A filler that, like the real ones, looks at nothing but the known pixels."""
    known = crop * (1 - hidden)[..., None]
    blurred = cv2.blur(known, (15, 15))
    return np.where(hidden[..., None] > 0, blurred, crop).astype(np.uint8)


def restore(
    frame: NDArray[np.uint8], mask: NDArray[np.uint8], frame_from_crop: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    hole = open_hole(mask, frame_from_crop, SIZE)
    crop = cut_crop(frame, frame_from_crop, SIZE)
    result = composite(frame, fill_from_known(crop, hole.crop_hidden), hole)
    return result, hidden_in_frame(hole, frame.shape)


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_outside_the_hole_every_pixel_is_the_cameras_own(
    scene: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]],
) -> None:
    frame, mask, frame_from_crop = scene
    result, hidden = restore(frame, mask, frame_from_crop)
    assert (result[hidden == 0] == frame[hidden == 0]).all()


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_no_headset_pixel_is_blended_in(
    scene: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]],
) -> None:
    """Whatever the headset looks like, what is filled in comes out the same."""
    frame, mask, frame_from_crop = scene
    other = frame.copy()
    other[mask > 0] = 255 - frame[mask > 0]
    result, hidden = restore(frame, mask, frame_from_crop)
    other_result, _ = restore(other, mask, frame_from_crop)
    assert (result[hidden > 0] == other_result[hidden > 0]).all()


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_every_headset_pixel_is_filled_inside_the_crop_and_beside_it(
    scene: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]],
) -> None:
    """A turned head's headset stuck out of the crop and stayed in view as a sliver."""
    frame, mask, frame_from_crop = scene
    _, hidden = restore(frame, mask, frame_from_crop)
    assert hidden[mask > 0].all()


def test_what_sticks_out_of_the_crop_takes_the_colour_around_it() -> None:
    frame = np.full((200, 200, 3), 90, np.uint8)
    mask = np.zeros((200, 200), np.uint8)
    mask[90:110, 20:120] = 1
    frame[mask > 0] = 250
    result, _ = restore(frame, mask, frame_from_box(HeadBox(np.array([130, 100]), 120.0), SIZE))
    assert abs(result[100, 40].astype(int) - 90).max() <= 2


def test_between_fill_and_camera_lies_a_ramp_on_known_pixels_only() -> None:
    frame = np.zeros((200, 200, 3), np.uint8)
    mask = np.zeros((200, 200), np.uint8)
    mask[80:120, 60:140] = 1
    hole = open_hole(mask, frame_from_box(HeadBox(np.array([100, 100]), 160.0), SIZE), SIZE)
    result = composite(frame, np.full((SIZE, SIZE, 3), 200, np.uint8), hole)
    row = result[100, :, 0]
    assert (row[57:143] == 200).all()  # mask and margin: the fill alone
    assert (np.diff(row[142:148].astype(int)) < 0)[:5].all()
    assert (row[147:] == 0).all()


def test_a_face_larger_than_the_crop_gets_the_stored_views_detail() -> None:
    side = 4 * SIZE
    fine = np.random.default_rng(2).integers(0, 256, (side, side, 3), np.uint8)
    small = np.asarray(cv2.resize(fine, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)
    view = Reference(small, np.zeros((478, 3), np.float32))
    layers, still = (Layer(view, fine, view.image),), warp.identity_map(SIZE)
    detail = Detail(Drawn(layers, (still,), small))
    mask = np.zeros((side, side), np.uint8)
    mask[80:170, 60:200] = 1
    hole = open_hole(mask, frame_from_box(HeadBox(np.array([side / 2] * 2), side), SIZE), SIZE)
    result = composite(np.zeros_like(fine), small, hole, detail)
    assert np.abs(result[mask > 0].astype(int) - fine[mask > 0]).max() <= 1
    plain = composite(np.zeros_like(fine), small, hole)
    assert np.abs(plain[mask > 0].astype(int) - fine[mask > 0]).mean() > 20


def test_without_a_headset_the_frame_stays_as_it_is() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8)
    result, hidden = restore(
        frame, np.zeros((50, 60), np.uint8), frame_from_box(HeadBox(np.array([30, 25]), 40.0), SIZE)
    )
    assert (result == frame).all()
    assert not hidden.any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3)])
def test_frames_of_one_pixel_do_no_harm(shape: tuple[int, int, int]) -> None:
    frame = np.full(shape, 9, np.uint8)
    result, _ = restore(
        frame, np.ones(shape[:2], np.uint8), frame_from_box(HeadBox(np.array([0, 0]), 20.0), SIZE)
    )
    assert result.shape == shape


def test_the_feathers_mix_is_rounded_exactly() -> None:
    camera, weight = np.meshgrid(np.arange(256), np.arange(256))
    for fill in (0, 1, 127, 254, 255):
        expected = (fill * weight + camera * (255 - weight) + 127) // 255
        images = [np.repeat(x[..., None], 3, 2).astype(np.uint8) for x in (camera, expected)]
        filled = np.full_like(images[0], fill)
        assert np.array_equal(_blend(images[0], filled, weight.astype(np.uint8)), images[1])
