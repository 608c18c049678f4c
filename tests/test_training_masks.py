"""The kinds of holes: where they lie, how they move, and that a seed fixes them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.masks import MASKS
from training.masks.boxes import LARGEST_SPEED, MovingBox, StaticBox
from training.masks.coverings import headset_mask
from training.masks.free_form import CURVE, OBJECT, FreeForm
from training.masks.headset import PROTOCOL_HEADSET, HeadsetHole

FRAMES = 12


def meshes(size_px: int = 128, frames: int = FRAMES) -> NDArray[np.float32]:
    """A flat face that moves to the right by 1/128 of the side a frame."""
    face = np.random.default_rng(3).uniform(0.35, 0.65, (478, 3))
    face[33, :2], face[263, :2] = (0.38, 0.45), (0.62, 0.45)
    face[234, :2], face[454, :2] = (0.3, 0.5), (0.7, 0.5)
    moved = np.repeat(face[None], frames, axis=0)
    moved[..., 0] += np.arange(frames)[:, None] / 128
    return (moved * size_px).astype(np.float32)


def boxes(masks: NDArray[np.uint8]) -> NDArray[np.int_]:
    """(T,4) left, top, width, height of what is hidden."""
    found = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        found.append([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1])
    return np.array(found)


@pytest.mark.parametrize("kind", sorted(MASKS))
def test_equal_generators_give_equal_holes_and_others_give_others(kind: str) -> None:
    def drawn(seed: int) -> NDArray[np.uint8]:
        return MASKS[kind].masks(meshes(), 128, np.random.default_rng(seed))

    masks = drawn(5)
    assert masks.shape == (FRAMES, 128, 128)
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 1}
    np.testing.assert_array_equal(masks, drawn(5))
    assert any((masks != drawn(seed)).any() for seed in (6, 7, 8, 9))


@pytest.mark.parametrize("kind", sorted(MASKS))
def test_a_generator_hides_the_same_place_at_every_size(kind: str) -> None:
    small = MASKS[kind].masks(meshes(64), 64, np.random.default_rng(5))
    large = MASKS[kind].masks(meshes(128), 128, np.random.default_rng(5))
    differing = small != large[:, ::2, ::2]
    assert differing.mean() < 0.03  # borders only
    assert small.mean() == pytest.approx(large.mean(), rel=0.1)


def test_a_static_box_is_one_square_of_the_published_sides() -> None:
    sides, lefts = [], []
    for seed in range(200):
        masks = StaticBox().masks(meshes(frames=2), 128, np.random.default_rng(seed))
        np.testing.assert_array_equal(masks[0], masks[1])
        left, top, width, height = boxes(masks)[0]
        assert width == height
        assert masks[0].sum() == width * height
        assert min(left, top) >= 0
        assert max(left + width, top + height) <= 128
        sides.append(width)
        lefts.append(left / (128 - width))
    assert (min(sides), max(sides)) == (48, 64)
    assert np.mean(sides) == pytest.approx(56, abs=1)
    assert np.mean(lefts) == pytest.approx(0.5, abs=0.06)


def test_a_moving_box_keeps_its_side_and_moves_no_faster_than_allowed() -> None:
    moved = 0
    for seed in range(20):
        masks = MovingBox().masks(meshes(frames=60), 128, np.random.default_rng(seed))
        found = boxes(masks)
        assert len(np.unique(found[:, 2:])) == 1
        steps = np.abs(np.diff(found[:, :2], axis=0))
        assert steps.max() <= np.ceil(LARGEST_SPEED * 128)
        assert found[:, :2].min() >= 0
        assert (found[:, :2] + found[:, 2:]).max() <= 128
        moved += int(np.ptp(found[:, :2], axis=0).max() > 20)
    assert moved >= 18


def test_the_headset_of_the_protocols_is_the_one_definition() -> None:
    masks = PROTOCOL_HEADSET.masks(meshes(), 128, np.random.default_rng(0))
    expected = [headset_mask(mesh, 128) for mesh in meshes()]
    np.testing.assert_array_equal(masks, expected)


def test_a_headset_keeps_its_proportions_and_moves_with_the_head() -> None:
    found = boxes(HeadsetHole(1.0).masks(meshes(), 128, np.random.default_rng(11)))
    assert found[-1, 0] - found[0, 0] == pytest.approx(FRAMES - 1, abs=1)
    assert np.ptp(found[:, 2:], axis=0).max() <= 1


@pytest.mark.parametrize(("kind", "most"), [(CURVE, 0.4), (OBJECT, 0.7)])
def test_strokes_hide_something_in_every_frame_and_change(kind: object, most: float) -> None:
    for seed in range(10):
        source = FreeForm((kind,))  # type: ignore[arg-type]
        masks = source.masks(meshes(), 128, np.random.default_rng(seed))
        shares = masks.mean((1, 2))
        assert shares.min() > 0.005
        assert shares.max() < most
        assert (masks[1:] != masks[:-1]).any((1, 2)).all()
