"""A mouth that nobody sees comes from one view in which it rests, and stays that view's."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MeshMaker
from numpy.typing import NDArray
from test_models_bank import at, flat
from test_models_preparation import SIZE, crop_mesh, hole

from models import preparation
from models.bank.mouth import (
    AT_REST,
    FADE_STEP,
    LIPS,
    MOUTH_CORNERS,
    MouthHolder,
    is_mouth_hidden,
    mouth_gap,
    resting_views,
)
from models.bank.references import ReferenceBank
from models.face.mesh import CHIN, LIPS_INNER_LOWER, LIPS_OUTER_LOWER, NOSE_TIP
from models.lower_face import resting_mesh
from models.preparer import Preparer

Mesh = NDArray[np.float32]


def with_mouth(mesh: Mesh, gap: float, width: float = 1.0) -> Mesh:
    """A mesh with the lower lip moved down until the lips are `gap` apart, of the mouth's width."""
    changed = mesh.copy()
    corners = mesh[list(MOUTH_CORNERS)]
    middle, span = corners.mean(0), float(np.linalg.norm(corners[1] - corners[0]))
    changed[list(LIPS), 0] = middle[0] + (mesh[list(LIPS), 0] - middle[0]) * width
    down = (gap - mouth_gap(mesh)) * span
    changed[list(LIPS_INNER_LOWER[1:-1]), 1] += down
    changed[list(LIPS_OUTER_LOWER[1:-1]), 1] += down
    return changed


def mouth_hole(mesh: Mesh) -> NDArray[np.uint8]:
    hidden = np.zeros((SIZE, SIZE), np.uint8)
    left, top = mesh[list(LIPS), :2].min(0).astype(int) - 12
    right, bottom = mesh[list(LIPS), :2].max(0).astype(int) + 12
    hidden[top:bottom, left:right] = 1
    return hidden


def test_views_with_closed_mouths_rest_and_talking_or_smiling_ones_do_not(
    canonical_mesh: Mesh,
) -> None:
    closed, open_, breath = (with_mouth(canonical_mesh, gap) for gap in (0.0, 0.4, 0.04))
    smile = with_mouth(canonical_mesh, 0.0, width=1.3)
    assert resting_views([open_, closed, open_, breath, smile]) == [1, 3]


def test_somebody_who_never_closed_the_mouth_gets_the_most_closed_one(canonical_mesh: Mesh) -> None:
    gaps = (0.5, 0.3, 0.21, 0.2)
    assert resting_views([with_mouth(canonical_mesh, gap) for gap in gaps]) == [2, 3]


def test_lips_behind_a_mask_are_hidden_and_those_under_a_headset_are_not(
    canonical_mesh: Mesh,
) -> None:
    mesh = crop_mesh(canonical_mesh)
    assert is_mouth_hidden(mesh, mouth_hole(mesh))
    assert not is_mouth_hidden(mesh, hole())


def test_one_view_is_held_until_another_is_clearly_nearer(canonical_mesh: Mesh) -> None:
    holder = MouthHolder([canonical_mesh] * 2, [at(0.0), at(10.0)])
    assert holder.step(at(3.0)) == ((0, 1.0),)
    assert [holder.step(at(pose)) for pose in (5.5, 4.5, 5.5)] == [((0, 1.0),)] * 3
    assert holder.step(at(7.0)) == ((0, 1.0), (1, FADE_STEP))


def test_another_view_takes_over_step_by_step_even_if_the_head_turns_back(
    canonical_mesh: Mesh,
) -> None:
    holder = MouthHolder([canonical_mesh] * 2, [at(0.0), at(10.0)])
    holder.step(at(0.0))
    holder.step(at(10.0))
    shares = [holder.step(at(0.0))[-1] for _ in range(round(1 / FADE_STEP) - 1)]
    assert [view for view, _ in shares] == [1] * len(shares)
    assert np.diff([share for _, share in shares]) == pytest.approx(FADE_STEP)
    assert shares[-1][1] == 1.0
    assert holder.step(at(0.0))[-1][0] == 0


def test_a_hidden_mouth_is_drawn_from_the_resting_view_and_the_rest_from_the_nearest(
    posed_mesh: MeshMaker,
) -> None:
    talking = crop_mesh(with_mouth(posed_mesh(), 0.4))
    resting = crop_mesh(with_mouth(posed_mesh(yaw_deg=15.0), 0.0))
    bank = ReferenceBank([flat(talking, 60), flat(resting, 160)], SIZE)
    mesh, crop = crop_mesh(posed_mesh()), np.full((SIZE, SIZE, 3), 60, np.uint8)
    mixtures = [bank.mixture(mesh, no_mouth=no_mouth) for no_mouth in (False, True)]
    seen, unseen = (
        preparation.prepare(crop, hidden, mesh, mixture).drawn.image
        for hidden, mixture in zip((hole(), mouth_hole(mesh)), mixtures, strict=True)
    )
    change = unseen.astype(int) - seen
    column, row = np.rint(mesh[list(LIPS), :2].mean(0)).astype(int)
    assert change[row, column].min() > 20
    assert np.abs(change[: int(mesh[NOSE_TIP, 1])]).max() == 0
    assert np.abs(change[int(mesh[CHIN, 1]) :]).max() == 0


def test_the_lower_face_takes_its_mouth_from_a_turned_view_and_its_outline_from_the_first(
    posed_mesh: MeshMaker,
) -> None:
    talking = with_mouth(posed_mesh(), 0.4)
    resting = with_mouth(posed_mesh(yaw_deg=20.0, span_px=50.0), 0.0)
    found = resting_mesh([talking, resting])
    assert mouth_gap(found) < AT_REST < mouth_gap(talking)
    assert np.linalg.norm(found[CHIN] - talking[CHIN]) < 2
    assert resting_mesh([resting, talking]) is resting


def test_a_jaw_closes_with_the_mouth_where_a_view_in_the_same_pose_shows_it(
    posed_mesh: MeshMaker,
) -> None:
    talking, resting = with_mouth(posed_mesh(), 0.4), with_mouth(posed_mesh(), 0.0)
    talking[CHIN, 1] += 9
    found = resting_mesh([talking, posed_mesh(yaw_deg=25.0), resting])
    np.testing.assert_allclose(found[CHIN], resting[CHIN], atol=0.05)


def test_landmarks_behind_a_mask_are_taken_as_they_are_laid(canonical_mesh: Mesh) -> None:
    mesh, crop = crop_mesh(canonical_mesh), np.full((SIZE, SIZE, 3), 60, np.uint8)
    off = mesh + np.random.default_rng(3).normal(0, 1.5, mesh.shape).astype(np.float32)
    preparer = Preparer(ReferenceBank([flat(mesh, 60)], SIZE))
    np.testing.assert_array_equal(preparer.step(crop, mouth_hole(off), off).mesh, off)
    assert np.abs(preparer.step(crop, hole(), off).mesh - off).max() > 0.1  # under a headset not
