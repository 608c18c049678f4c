"""Beards grow where beards grow; prints stay within the mask and keep its folds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from models.face.mesh import CHIN, LEFT_EYE, NOSE_TIP, RIGHT_EYE
from training.face_masks.disguises import beard_on, photo_printed

ImageU8 = NDArray[np.uint8]
Mesh = NDArray[np.float32]


@pytest.mark.parametrize("seed", range(6))
def test_a_beard_grows_round_the_chin_and_leaves_eyes_and_nose(
    canonical_mesh: Mesh, seed: int
) -> None:
    skin = np.full((256, 256, 3), (140, 170, 220), np.uint8)
    bearded = beard_on(skin, canonical_mesh, np.random.default_rng(seed))
    is_hair = (bearded != skin).any(axis=2)
    x, y = canonical_mesh[CHIN, :2].astype(int)
    assert is_hair[y - 4 : y + 1, x - 3 : x + 4].all()
    assert not is_hair[: int(canonical_mesh[NOSE_TIP, 1])].all(axis=1).any()
    for point in (RIGHT_EYE.iris_centre, LEFT_EYE.iris_centre, NOSE_TIP):
        x, y = canonical_mesh[point, :2].astype(int)
        assert not is_hair[y, x]
    assert (bearded == beard_on(skin, canonical_mesh, np.random.default_rng(seed))).all()


def test_a_face_of_a_few_pixels_stays_as_it_is(
    canonical_mesh: Mesh, textured_image: ImageU8
) -> None:
    tiny = canonical_mesh * np.float32(0.01)
    bearded = beard_on(textured_image, tiny, np.random.default_rng(0))
    np.testing.assert_array_equal(bearded, textured_image)


def test_a_print_stays_within_the_mask_and_keeps_its_folds(textured_image: ImageU8) -> None:
    alpha = np.zeros((60, 80), np.uint8)
    alpha[10:50, 10:70], alpha[9, 10:70] = 255, 100
    folds = np.where(np.arange(60) % 12 < 6, 200, 60)[:, None, None]
    colour = np.broadcast_to(folds, (60, 80, 3)) * (alpha[..., None] / 255)
    plain = Patch(3, 5, colour.astype(np.uint8), alpha)
    seen = []
    for seed in range(12):
        patch = photo_printed(plain, textured_image, np.random.default_rng(seed))
        np.testing.assert_array_equal(patch.alpha, alpha)
        assert (patch.left, patch.top) == (3, 5)
        assert (patch.colour <= alpha[..., None]).all()
        rows = patch.colour[10:50, 10:70].mean(axis=(1, 2))
        assert np.corrcoef(rows, folds[10:50, 0, 0])[0, 1] > 0.5
        seen.append(patch.colour[10:50, 10:70].astype(float).std(axis=1).mean())
    assert max(seen) > 10  # a picture, no longer plain stripes


def test_nothing_is_printed_on_a_mask_outside_the_picture(textured_image: ImageU8) -> None:
    nothing = Patch(0, 0, np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4), np.uint8))
    assert photo_printed(nothing, textured_image, np.random.default_rng(0)) is nothing
