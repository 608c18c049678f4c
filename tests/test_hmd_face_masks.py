"""Simulated face masks: they lie where masks lie, follow the face, and a seed fixes them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MeshMaker
from numpy.typing import NDArray

from hmd_capture.face_masks.cut import KINDS, SCARVES
from hmd_capture.face_masks.drawing import FaceMask
from hmd_capture.face_masks.patterns import HELD_BACK, TRAINED
from hmd_capture.simulated import covered
from models.face.mesh import CHIN, EYES, FOREHEAD_TOP, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER

MOUTH = (*LIPS_OUTER_UPPER, *LIPS_OUTER_LOWER)


def is_hidden(mask: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.bool_]:
    columns, rows = np.rint(points[:, :2]).astype(int).T
    return np.asarray(mask[rows, columns] == 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("yaw_deg", [-25.0, 0.0, 25.0])
def test_a_mask_hides_the_mouth_and_chin_but_no_eye(
    kind: str, yaw_deg: float, posed_mesh: MeshMaker
) -> None:
    mesh = posed_mesh(yaw_deg=yaw_deg, span_px=70.0)
    for seed in range(4):
        hidden = FaceMask(kind, seed).hole(mesh, (256, 256))
        assert is_hidden(hidden, mesh[list(MOUTH)]).mean() > 0.9
        assert is_hidden(hidden, mesh[[CHIN]] - (0, 2, 0)).all()
        lids = [point for eye in EYES for line in eye.lids for point in line]
        assert not is_hidden(hidden, mesh[[*lids, FOREHEAD_TOP]]).any()


def test_a_scarf_covers_the_neck_and_a_mask_does_not(canonical_mesh: NDArray[np.float32]) -> None:
    neck = canonical_mesh[[CHIN]] + np.array([0, 24, 0], np.float32)
    for kind in KINDS:
        hidden = FaceMask(kind, 1).hole(canonical_mesh, (256, 256))
        assert is_hidden(hidden, neck).all() == (kind in SCARVES)


def test_a_seed_fixes_the_picture_and_another_changes_it(
    canonical_mesh: NDArray[np.float32], textured_image: NDArray[np.uint8]
) -> None:
    def worn(seed: int) -> NDArray[np.uint8]:
        patch = FaceMask(None, seed).draw(canonical_mesh, textured_image)
        return covered(textured_image, patch)[0]

    np.testing.assert_array_equal(worn(3), worn(3))
    assert (worn(3) != worn(4)).any()


def test_the_drawing_covers_what_the_hole_says(
    canonical_mesh: NDArray[np.float32], textured_image: NDArray[np.uint8]
) -> None:
    mask = FaceMask("surgical", 2)
    patch = mask.draw(canonical_mesh, textured_image)
    assert patch is not None
    camera, hidden = covered(textured_image, patch)
    np.testing.assert_array_equal(hidden == 1, (camera != textured_image).any(axis=2))
    hole = mask.hole(canonical_mesh, (256, 256))
    assert (hole <= hidden).all()
    assert 0 < hidden.sum() - hole.sum() < 0.15 * hole.sum()  # the anti-aliased rim
    assert (patch.colour <= patch.alpha[..., None]).all()


def test_patterns_of_the_test_split_are_never_trained_on() -> None:
    assert not set(TRAINED) & set(HELD_BACK)


def test_a_face_outside_the_frame_wears_nothing_visible(
    posed_mesh: MeshMaker, textured_image: NDArray[np.uint8]
) -> None:
    assert FaceMask("cloth", 0).draw(posed_mesh(centre=(900, 900)), textured_image) is None


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="surgical"):
        FaceMask("balaclava")
