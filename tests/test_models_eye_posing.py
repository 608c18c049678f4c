from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.eyes.posing import with_eyes_of
from models.face.mesh import EYES
from models.reference import Reference

SKIN, WHITE, IRIS = 150, 240, 20


LARGE = {"span_px": 180.0, "centre": (128.0, 128.0)}  # eyes of some 55 px


@pytest.fixture
def reference(posed_mesh) -> Reference:  # type: ignore[no-untyped-def]
    """A face of even skin with white eyeballs and black irises."""
    canonical_mesh = posed_mesh(**LARGE)
    image = np.full((256, 256, 3), SKIN, np.uint8)
    for eye in EYES:
        outline = canonical_mesh[[*eye.upper_lid, *eye.lower_lid[::-1]], :2]
        opening = np.zeros((256, 256), np.uint8)
        cv2.fillPoly(opening, [np.round(outline * 16).astype(np.int32)], (1,), shift=4)
        opening = cv2.erode(opening, np.ones((3, 3), np.uint8))  # lids have an edge
        image[opening > 0] = WHITE
        iris = np.zeros_like(opening)
        x, y = canonical_mesh[eye.iris_centre, :2]
        cv2.circle(iris, (round(float(x)), round(float(y))), 4, (1,), -1)
        image[(iris > 0) & (opening > 0)] = IRIS
    return Reference(image, canonical_mesh)


def whites(image: np.ndarray) -> int:
    return int((image[..., 0] > (SKIN + WHITE) // 2).sum())


def irises(image: np.ndarray) -> int:
    return int((image[..., 0] < (SKIN + IRIS) // 2).sum())


def test_lids_slide_over_the_eyeball(reference: Reference, posed_mesh) -> None:  # type: ignore[no-untyped-def]
    areas = []
    for closed in (0.0, 0.5, 1.0):
        posed = with_eyes_of(reference, posed_mesh(closed=closed, **LARGE))
        areas.append((whites(posed.image), irises(posed.image)))
    assert areas[0][0] == pytest.approx(whites(reference.image), rel=0.15)
    assert 0.25 * areas[0][0] < areas[1][0] < 0.8 * areas[0][0]
    assert areas[2][0] < 0.05 * areas[0][0]
    assert areas[2][1] == 0


def test_the_posed_mesh_has_the_wanted_lids(reference: Reference, posed_mesh) -> None:  # type: ignore[no-untyped-def]
    wanted = posed_mesh(closed=0.7, **LARGE)
    posed = with_eyes_of(reference, wanted)
    for eye in EYES:
        points = [*eye.upper_lid, *eye.lower_lid]
        assert posed.mesh[points, :2] == pytest.approx(wanted[points, :2], abs=0.7)
    others = np.setdiff1d(
        np.arange(478),
        [p for e in EYES for p in (*e.upper_lid, *e.lower_lid, e.iris_centre, *e.iris_ring)],
    )
    assert (posed.mesh[others] == reference.mesh[others]).all()


@pytest.mark.parametrize("side_px", [4.0, -4.0])
def test_an_eyeball_turns_under_closing_lids(
    reference: Reference, posed_mesh, side_px: float
) -> None:  # type: ignore[no-untyped-def]
    straight = posed_mesh(closed=0.55, **LARGE)
    turned = straight.copy()
    for eye in EYES:
        turned[[eye.iris_centre, *eye.iris_ring], 0] += side_px
    before, after = (with_eyes_of(reference, mesh).image for mesh in (straight, turned))
    middle = len(before) // 2
    for half in (np.s_[:, :middle, 0], np.s_[:, middle:, 0]):  # one eye each
        places = [np.argwhere(image[half] < 60).mean(axis=0) for image in (before, after)]
        assert places[1] - places[0] == pytest.approx([0, side_px], abs=1.5)


def test_eyes_that_hardly_change_are_not_drawn_anew(reference: Reference, posed_mesh) -> None:  # type: ignore[no-untyped-def]
    posed = with_eyes_of(reference, posed_mesh(closed=0.1, **LARGE))
    assert (posed.image == reference.image).all()
    assert (posed.mesh == reference.mesh).all()


def test_a_turned_head_of_another_size_closes_the_same_eyes(
    reference: Reference, posed_mesh
) -> None:  # type: ignore[no-untyped-def]
    turned = posed_mesh(yaw_deg=20, roll_deg=15, span_px=40, centre=(60, 60), closed=1.0)
    posed = with_eyes_of(reference, turned)
    assert whites(posed.image) < 0.1 * whites(reference.image)


def test_pixels_away_from_the_eyes_stay_and_the_reference_is_not_touched(
    reference: Reference, posed_mesh
) -> None:  # type: ignore[no-untyped-def]
    kept = reference.image.copy()
    posed = with_eyes_of(reference, posed_mesh(closed=1.0, **LARGE))
    assert (reference.image == kept).all()
    eyes = np.concatenate([reference.mesh[list(eye.upper_lid), :2] for eye in EYES])
    top, bottom = int(eyes[:, 1].min()) - 25, int(eyes[:, 1].max()) + 25
    assert (posed.image[:top] == kept[:top]).all()
    assert (posed.image[bottom:] == kept[bottom:]).all()
