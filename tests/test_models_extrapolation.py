"""Continuing a view to another pose: colours go on changing as the other views show."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MeshMaker

from models.bank.extrapolation import ViewExtrapolator
from models.bank.look import look_of
from models.bank.references import ReferenceBank
from models.face.raster import FaceRaster
from models.reference import Reference

SIZE = 64


@pytest.fixture
def crop_mesh(posed_mesh: MeshMaker) -> MeshMaker:
    """Meshes in a crop of SIZE px."""

    def make(**pose: float) -> np.ndarray:
        return posed_mesh(**pose) * np.float32(SIZE / 256)

    return make


def shaded(mesh: np.ndarray, level: float) -> Reference:
    return Reference(np.full((SIZE, SIZE, 3), level, np.uint8), mesh)


def turning(crop_mesh: MeshMaker) -> list[Reference]:
    """2 grey levels per degree: the frontal view alone would stay at 100."""
    return [shaded(crop_mesh(yaw_deg=yaw), 100 + 2 * yaw) for yaw in (0.0, 30.0, -30.0)]


def continued(views: list[Reference], mesh: np.ndarray) -> np.ndarray:
    looks = [look_of(view.mesh) for view in views]
    model = ViewExtrapolator(views, looks, 0, FaceRaster(views[0].mesh, SIZE))
    return model.continued(views[0].image, look_of(mesh))


def test_in_its_own_pose_a_view_is_the_view(crop_mesh: MeshMaker) -> None:
    views = turning(crop_mesh)
    np.testing.assert_array_equal(continued(views, views[0].mesh), views[0].image)


@pytest.mark.parametrize("yaw", [-15.0, 15.0])
def test_light_that_changes_with_the_turn_goes_on_changing(
    crop_mesh: MeshMaker, yaw: float
) -> None:
    level = float(continued(turning(crop_mesh), crop_mesh(yaw_deg=yaw)).mean())
    assert level == pytest.approx(100 + 2 * yaw, abs=6)


def test_lids_change_no_colours(crop_mesh: MeshMaker) -> None:
    views = [shaded(crop_mesh(), 100), shaded(crop_mesh(yaw_deg=30.0, closed=1.0), 160)]
    assert np.abs(continued(views, crop_mesh(closed=1.0)).astype(int) - 100).max() <= 2


def test_what_comes_with_closed_lids_is_not_taken_for_the_turns(crop_mesh: MeshMaker) -> None:
    """A closed view that is turned, beside open ones from ahead and turned, which look alike."""
    closed = shaded(crop_mesh(yaw_deg=20.0, closed=1.0), 160)
    views = [closed, shaded(crop_mesh(), 60), shaded(crop_mesh(yaw_deg=20.0), 60)]
    assert continued(views, crop_mesh(closed=1.0)).min() > 130


def test_views_that_look_the_same_change_nothing(crop_mesh: MeshMaker) -> None:
    """Different colours of one look are noise; nothing is to be learnt from them."""
    views = [shaded(crop_mesh(), level) for level in (100, 130, 90)]
    np.testing.assert_array_equal(continued(views, crop_mesh(yaw_deg=20.0)), views[0].image)


def test_a_bank_draws_its_views_continued_and_keeps_them_as_they_are(crop_mesh: MeshMaker) -> None:
    bank = ReferenceBank(turning(crop_mesh), SIZE)
    for layer in bank.mixture(crop_mesh(yaw_deg=15.0)).layers:
        assert layer.picture.mean() == pytest.approx(130, abs=6)
        assert layer.reference.image.std() == 0  # as stored
