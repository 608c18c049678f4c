"""Continuing a view to another pose: colours go on changing as the other views show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.bank.extrapolation import ViewExtrapolator, apertures
from models.bank.look import look_of
from models.bank.references import ReferenceBank
from models.face_mesh import NOSE_TIP
from models.face_raster import FaceRaster
from models.reference import Reference
from streaming.records import Float32Array

SIZE = 64
MeshMaker = Callable[..., Float32Array]


@pytest.fixture
def crop_mesh(posed_mesh: MeshMaker) -> Callable[..., Float32Array]:
    """Meshes in a crop of SIZE px."""

    def make(**pose: float) -> Float32Array:
        return posed_mesh(**pose) * np.float32(SIZE / 256)

    return make


def shaded(mesh: Float32Array, level: float) -> Reference:
    return Reference(np.full((SIZE, SIZE, 3), level, np.uint8), mesh)


def extrapolator(views: list[Reference], index: int = 0) -> ViewExtrapolator:
    looks = [look_of(view.mesh) for view in views]
    return ViewExtrapolator(views, looks, index, FaceRaster(views[index].mesh, SIZE))


def test_in_its_own_pose_a_view_is_the_view(crop_mesh: MeshMaker) -> None:
    views = [shaded(crop_mesh(yaw_deg=yaw), 100 + 2 * yaw) for yaw in (0.0, 15.0, -15.0)]
    same = extrapolator(views).picture(look_of(views[0].mesh))
    np.testing.assert_array_equal(same, views[0].image)


def test_light_that_changes_with_the_turn_goes_on_changing(crop_mesh: MeshMaker) -> None:
    """2 grey levels per degree: the frontal view alone would stay at 100."""
    views = [shaded(crop_mesh(yaw_deg=yaw), 100 + 2 * yaw) for yaw in (0.0, 30.0, -30.0)]
    model = extrapolator(views)
    levels = [
        float(model.picture(look_of(crop_mesh(yaw_deg=yaw))).mean()) for yaw in (-15.0, 0.0, 15.0)
    ]
    assert levels == pytest.approx([70, 100, 130], abs=6)


def test_lids_change_the_eyes_and_nothing_else(crop_mesh: MeshMaker) -> None:
    views = [shaded(crop_mesh(), 100), shaded(crop_mesh(closed=1.0), 160)]
    half = extrapolator(views).picture(look_of(crop_mesh(closed=0.5)))
    assert 115 < half.max() < 155
    nose = crop_mesh()[NOSE_TIP, 1::-1].astype(int)
    assert half[tuple(nose)].max() <= 101


def test_views_that_look_the_same_change_nothing(crop_mesh: MeshMaker) -> None:
    """Different colours of one look are noise; nothing is to be learnt from them."""
    views = [shaded(crop_mesh(), level) for level in (100, 130, 90)]
    turned = extrapolator(views).picture(look_of(crop_mesh(yaw_deg=20.0)))
    np.testing.assert_array_equal(turned, views[0].image)


def test_apertures_are_shares_of_the_eyes_width(crop_mesh: MeshMaker) -> None:
    opened, shut = (apertures(look_of(crop_mesh(closed=closed))) for closed in (0.0, 1.0))
    assert (opened > 0.15).all()
    assert (shut < 0.05).all()
    np.testing.assert_allclose(
        apertures(look_of(crop_mesh(span_px=90.0, roll_deg=10.0))), opened, atol=0.02
    )


def test_a_bank_draws_its_views_continued_and_keeps_them_as_they_are(crop_mesh: MeshMaker) -> None:
    views = [shaded(crop_mesh(yaw_deg=yaw), 100 + 2 * yaw) for yaw in (0.0, 30.0, -30.0)]
    layers = ReferenceBank(views, SIZE).mixture(crop_mesh(yaw_deg=15.0)).layers
    for layer in layers:
        assert layer.picture.mean() == pytest.approx(130, abs=6)
        assert layer.reference.image.std() == 0  # as stored
