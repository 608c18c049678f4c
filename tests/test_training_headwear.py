"""Caps and headphones of the made-up scenes: the same ones in both pictures of a person."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hmd_capture.headset_render import ProceduralHeadset
from models.face.mesh import LEFT_EYE, NOSE_TIP, RIGHT_EYE
from models.headset.reader import HeadsetReader
from training.outlines import scenes
from training.outlines.scenes import OutlineScenes
from training.scenes.bare_faces import BareFace
from training.scenes.headwear import put_cap_on, put_headwear_on

MOUTH_CORNERS = (61, 291)
BARE = np.full((256, 256, 3), 128, np.uint8)


def changed(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((image != BARE).any(axis=2))


def test_a_seed_is_one_thing_that_turns_with_the_head(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    for seed in range(8):
        there, moved = (
            put_headwear_on(BARE, posed_mesh(centre=(x, 130.0)), seed) for x in (108.0, 138.0)
        )
        assert np.array_equal(there, put_headwear_on(BARE, posed_mesh(centre=(108.0, 130.0)), seed))
        left = np.abs(there[:, :200].astype(int) - moved[:, 30:230]).max(axis=2)
        assert (left > 40).sum() < 0.05 * changed(there).sum()
    kinds = [put_headwear_on(BARE, posed_mesh(), seed) for seed in range(8)]
    assert len({kind.tobytes() for kind in kinds}) == len(kinds)


def test_a_cap_covers_the_hair_and_neither_nose_nor_mouth(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    for seed in range(12):
        for yaw in (-25.0, 0.0, 25.0):
            mesh = posed_mesh(yaw_deg=yaw, centre=(128.0, 140.0))
            worn = changed(put_cap_on(BARE, mesh, np.random.default_rng(seed)))
            rows = np.flatnonzero(worn.any(axis=1))
            eyes = mesh[[RIGHT_EYE.outer_corner, LEFT_EYE.outer_corner], 1].mean()
            assert worn.sum() > 1500
            assert rows.min() < eyes - 60
            for point in (NOSE_TIP, *MOUTH_CORNERS):
                x, y = mesh[point, :2].round().astype(int)
                assert not worn[y, x]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_in_a_scene_both_pictures_wear_the_same_thing(
    share: float,
    posed_mesh,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []

    def noted(image: NDArray[np.uint8], mesh: object, seed: int) -> NDArray[np.uint8]:
        seeds.append(seed)
        return image

    monkeypatch.setattr(scenes, "HEADWEAR_SHARE", share)
    monkeypatch.setattr(scenes, "put_headwear_on", noted)
    face = BareFace(BARE, posed_mesh())
    OutlineScenes([[face, face]], [ProceduralHeadset(None, 0)], [], HeadsetReader(), 1).scene()
    assert len(seeds) == 2 * share
    assert len(set(seeds)) == share
