"""Headsets that nobody sells, and outlines of known ones changed: labels stay exact."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from hmd_capture.canvas import Patch
from hmd_capture.headset_render import ProceduralHeadset
from training.scenes.face_props import put_headphones_on
from training.scenes.headset_designs import random_style
from training.scenes.headset_parts import (
    bent,
    recoloured_parts,
    redesigned,
    softened,
    with_rim,
    with_side_parts,
)

SHAPE = (256, 256)
Change = Callable[[Patch, np.random.Generator], Patch]


def drawn(mesh: np.ndarray, seed: int = 0) -> Patch:
    patch = ProceduralHeadset(None, seed).draw(mesh, np.full((*SHAPE, 3), 128, np.uint8))
    assert patch is not None
    return patch


def in_frame(patch: Patch) -> tuple[np.ndarray, np.ndarray]:
    """Colour times coverage, and coverage, in a frame."""
    colour, alpha = np.zeros((*SHAPE, 3), np.uint8), np.zeros(SHAPE, np.uint8)
    height, width = patch.alpha.shape
    area = np.s_[patch.top : patch.top + height, patch.left : patch.left + width]
    assert alpha[area].shape == (height, width), "it lies in the frame"
    colour[area], alpha[area] = patch.colour, patch.alpha
    return colour, alpha


def test_made_up_headsets_differ_and_hide_the_eyes(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    mesh = posed_mesh()
    random = np.random.default_rng(3)
    image = np.full((*SHAPE, 3), 128, np.uint8)
    areas, colours = [], []
    for _ in range(12):
        patch = ProceduralHeadset.of_style(random_style(random), random).draw(mesh, image)
        colour, alpha = in_frame(patch)
        for point in (33, 133, 362, 263, 468, 473):
            x, y = mesh[point, :2].round().astype(int)
            assert alpha[y, x] == 255
        areas.append((alpha > 127).sum())
        colours.append(colour[alpha == 255].mean())
    assert max(areas) > 1.25 * min(areas)
    assert np.ptp(colours) > 60


@pytest.mark.parametrize("change", [bent, recoloured_parts, with_side_parts, with_rim])
def test_no_change_gives_more_light_than_coverage(change: Change, posed_mesh) -> None:  # type: ignore[no-untyped-def]
    patch = drawn(posed_mesh())
    for seed in range(8):
        changed = change(patch, np.random.default_rng(seed))
        assert changed.colour.dtype == changed.alpha.dtype == np.uint8
        assert changed.colour.shape == (*changed.alpha.shape, 3)
        assert (changed.colour <= changed.alpha[..., None]).all()


@pytest.mark.parametrize("change", [with_side_parts, with_rim])
def test_added_parts_take_nothing_of_the_coverage_away(change: Change, posed_mesh) -> None:  # type: ignore[no-untyped-def]
    patch = drawn(posed_mesh())
    grown = 0
    for seed in range(8):
        changed = change(patch, np.random.default_rng(seed))
        assert (changed.alpha.astype(int) >= patch.alpha.astype(int) - 1).all()
        grown += int((changed.alpha > 127).sum() > (patch.alpha > 127).sum())
    assert grown >= 4


def test_parts_in_other_colours_leave_the_outline(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    patch = drawn(posed_mesh())
    changed = recoloured_parts(patch, np.random.default_rng(1))
    assert np.array_equal(changed.alpha, patch.alpha)
    assert np.abs(changed.colour.astype(int) - patch.colour).mean() > 5


def test_a_headset_of_one_colour_gets_another() -> None:
    alpha = np.zeros((40, 60), np.uint8)
    alpha[8:32, 8:52] = 255
    patch = Patch(9, 9, np.dstack([alpha // 5] * 3), alpha)
    for seed in range(6):
        changed = recoloured_parts(patch, np.random.default_rng(seed))
        assert np.ptp(changed.colour[14:26, 14:46].reshape(-1, 3), axis=0).max() <= 1
        assert changed.colour[20, 30].max() > 0


def test_a_redesigned_headset_stays_in_the_frame_and_in_its_place(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    for place in ((128.0, 115.0), (20.0, 115.0), (128.0, 20.0), (250.0, 240.0)):
        mesh = posed_mesh(centre=place)
        patch = drawn(mesh)
        before = in_frame(patch)[1] > 127
        for seed in range(6):
            after = in_frame(redesigned(patch, SHAPE, np.random.default_rng(seed)))[1] > 127
            assert (after & before).sum() > 0.8 * before.sum()
            assert after.sum() < 1.6 * before.sum()


def test_a_headset_out_of_focus_touches_more_and_hides_as_much(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    patch = drawn(posed_mesh())
    colour, alpha = in_frame(patch)
    for seed in range(6):
        soft_colour, soft = in_frame(softened(patch, SHAPE, np.random.default_rng(seed)))
        assert (soft_colour <= soft[..., None]).all()
        assert (soft > 0).sum() > (alpha > 0).sum()
        assert int(soft.sum()) == pytest.approx(int(alpha.sum()), rel=0.01)
        assert int(soft_colour.sum()) == pytest.approx(int(colour.sum()), rel=0.02)


def test_a_headset_far_away_is_left_as_it_is(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    tiny = Patch(3, 4, np.full((8, 9, 3), 50, np.uint8), np.full((8, 9), 255, np.uint8))
    for change in (redesigned, softened):
        assert change(tiny, SHAPE, np.random.default_rng(0)) is tiny


def test_headphones_leave_the_middle_of_the_face_bare(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    mesh = posed_mesh()
    image = np.full((*SHAPE, 3), 128, np.uint8)
    for seed in range(6):
        worn = put_headphones_on(image, mesh, np.random.default_rng(seed))
        changed = np.abs(worn.astype(int) - image).max(axis=2) > 0
        assert changed.sum() > 300
        inner = cv2.convexHull(mesh[[33, 263, 61, 291, 4], :2].copy()).astype(np.int32)
        face = cv2.fillConvexPoly(np.zeros(SHAPE, np.uint8), inner, (1.0,)) > 0
        assert not (changed & face).any()
