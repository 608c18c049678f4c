from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hmd_capture.headset_render import ProceduralHeadset
from models.headset.reader import HeadsetReader
from training.headset.mesh_errors import regress, worn_frames


def test_errors_that_follow_what_is_seen_are_told_from_it_and_noise_is_not() -> None:
    random = np.random.default_rng(2)
    coordinates = random.normal(0, 0.1, (400, 3)).astype(np.float32)
    truth = random.normal(0, 1, (2, 10))
    errors = 0.3 + coordinates[:, :2] @ truth + random.normal(0, 0.01, (400, 10))
    usual, by_shift = regress(coordinates, errors.astype(np.float32))
    assert np.allclose(usual, 0.3, atol=0.01)
    assert np.allclose(by_shift[:2], truth, atol=0.1)
    assert np.abs(by_shift[2]).max() < 0.02


def test_frames_of_a_bare_clip_are_read_with_headsets_on(
    textured_image: NDArray[np.uint8], canonical_mesh: NDArray[np.float32]
) -> None:
    images, meshes = np.stack([textured_image] * 4), np.stack([canonical_mesh] * 4)
    headsets = [ProceduralHeadset("visor", 0)]
    made = [
        list(worn_frames(images, meshes, 2, headsets, HeadsetReader(), np.random.default_rng(1)))
        for _ in range(2)
    ]
    assert [worn.error.shape for worn in made[0]] == [(478, 2)] * 2
    assert np.array_equal(made[0][1].coordinates, made[1][1].coordinates)
    assert not np.array_equal(made[0][0].error, made[0][1].error)
