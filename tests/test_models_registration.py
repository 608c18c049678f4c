from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_models_preparation import SIZE, crop_mesh, hole, smooth_image

from models import preparation, registration
from models.bank.references import ReferenceBank
from models.face.raster import FaceRaster
from models.preparation import Reference
from models.weights_error import WeightsError

NOTHING_HIDDEN = np.zeros((SIZE, SIZE), np.uint8)


def test_a_shifted_picture_is_seen_as_that_shift(canonical_mesh: np.ndarray) -> None:
    mesh, image = crop_mesh(canonical_mesh), smooth_image()
    moved = np.roll(image, 1, axis=1)  # each pixel of `image` is found one further right
    shift = registration.observed_shift(image, moved, NOTHING_HIDDEN, mesh)
    found = registration.shift_px(shift, mesh)
    assert np.abs(np.median(found, 0) - (1, 0)).max() < 0.3


def test_a_brighter_picture_is_seen_as_that_tint(canonical_mesh: np.ndarray) -> None:
    mesh, image = crop_mesh(canonical_mesh), smooth_image() // 2
    tint = registration.observed_tint(image + 20, image, hole(), mesh)
    seen = registration.visible_points(mesh, hole())
    assert np.abs(tint[seen] - 20).max() < 2


def test_hidden_pixels_do_not_reach_what_is_observed(canonical_mesh: np.ndarray) -> None:
    mesh, image, warped = crop_mesh(canonical_mesh), smooth_image(), smooth_image(1)
    other = image.copy()
    other[hole() == 1] = 255
    for observe in (registration.observed_shift, registration.observed_tint):
        assert np.array_equal(
            observe(image, warped, hole(), mesh), observe(other, warped, hole(), mesh)
        )


def test_points_under_and_beside_the_hole_and_outside_the_crop_are_not_seen(
    canonical_mesh: np.ndarray,
) -> None:
    mesh = crop_mesh(canonical_mesh, shift=(50, 0))
    seen = registration.visible_points(mesh, hole())
    column, row = np.rint(mesh[:468, :2]).astype(int).T
    outside = (column < 1) | (column > SIZE - 2)
    assert outside.any()
    assert not seen[outside].any()
    near = ~outside & (row >= 39) & (row <= 75) & (column >= 24) & (column <= 105)
    assert near.any()
    assert not seen[near].any()
    assert seen.any()


@pytest.mark.parametrize("field", ["shift", "tint"])
def test_a_field_of_the_model_is_recovered_from_its_visible_part(
    field: str, canonical_mesh: np.ndarray
) -> None:
    whole = registration.load_prior()
    prior, still = getattr(whole, field), np.zeros(len(whole.pose_basis), np.float32)
    seen = registration.visible_points(crop_mesh(canonical_mesh), hole())
    amplitude = 2 * np.sqrt(prior.variance[0])
    truth = (amplitude * prior.basis[0]).reshape(468, -1)
    inferred = prior.infer(np.where(seen[:, None], truth, 1e6), seen, still)
    left = np.square(inferred - truth)[~seen].sum() / np.square(truth)[~seen].sum()
    assert left < 0.1  # of the hidden energy; the rest is the shrinkage that noise asks for


def test_without_a_change_of_pose_and_nothing_seen_off_nothing_is_moved(
    canonical_mesh: np.ndarray,
) -> None:
    prior, mesh = registration.load_prior(), crop_mesh(canonical_mesh)
    pose = prior.pose_change(crop_mesh(canonical_mesh, (9, -5), 1.3), mesh)
    assert np.abs(pose).max() < 0.05  # place and size are no pose
    seen = registration.visible_points(mesh, hole())
    moved = prior.shift.infer(np.zeros((468, 2), np.float32), seen, np.zeros_like(pose))
    assert np.array_equal(moved, np.zeros_like(moved))


def test_registration_pulls_a_misplaced_reference_into_place(canonical_mesh: np.ndarray) -> None:
    """The mesh says "nothing moved", the pixels say "one pixel to the right"."""
    mesh, image = crop_mesh(canonical_mesh), smooth_image()
    reference = Reference(np.roll(image, 1, axis=1), mesh)
    oval = (slice(45, 70), slice(45, 85))

    def error(filled: np.ndarray) -> float:
        return float(((filled[oval].astype(float) - image[oval]) ** 2).mean())

    warped = preparation.warp_reference(reference, mesh)
    mixture = ReferenceBank([reference], SIZE).mixture(mesh)
    raster = FaceRaster(mesh, SIZE)
    registered, _ = preparation.registered(image, hole(), mesh, mixture, raster)
    assert error(registered) < 0.75 * error(warped)  # shrunk towards "nothing moved"


def test_a_missing_or_damaged_prior_says_how_to_restore_it(tmp_path: Path) -> None:
    (tmp_path / "registration.npz").write_bytes(b"not a file of arrays")
    for name in ("registration.npz", "absent.npz"):
        with pytest.raises(WeightsError, match="git checkout"):
            registration.load_prior(tmp_path / name)
