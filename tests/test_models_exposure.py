"""Views in another light than the session's."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MeshMaker
from hypothesis import given, settings
from hypothesis import strategies as st
from test_models_preparation import SIZE, crop_mesh, hole, smooth_image

from models.bank.references import ReferenceBank
from models.exposure import LARGEST_GAIN, observed_gain, relit
from models.preparer import Preparer
from models.reference import Reference
from models.registration import visible_points


def lit(image: np.ndarray, gain: tuple[float, float, float]) -> np.ndarray:
    return np.clip(image * np.array(gain) + 0.5, 0, 255).astype(np.uint8)


def face(seed: int = 1) -> np.ndarray:
    """Brighter than black and darker than white in any light of these tests."""
    return (50 + smooth_image(seed) * 0.3).astype(np.uint8)


@pytest.mark.parametrize("gain", [(0.6, 0.6, 0.6), (1.6, 1.6, 1.6), (0.8, 1.0, 1.3)])
def test_another_lamp_is_found_and_undone(
    gain: tuple[float, float, float], posed_mesh: MeshMaker
) -> None:
    mesh, view = crop_mesh(posed_mesh()), face()
    crop = lit(view, gain)
    found = observed_gain(crop, view, mesh, visible_points(mesh, hole()))
    assert np.exp(found) == pytest.approx(np.array(gain), rel=0.08)
    assert np.abs(relit(view, found).astype(int) - crop).max() < 12


def test_a_hand_at_the_chin_is_no_lamp(posed_mesh: MeshMaker) -> None:
    mesh, view = crop_mesh(posed_mesh()), face()
    seen = visible_points(mesh, hole())
    crop = view.copy()
    crop[int(np.quantile(mesh[:468][seen][:, 1], 0.8)) :] = 20
    assert np.abs(observed_gain(crop, view, mesh, seen)).max() < 0.02


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_black_and_white_frames_give_bounded_gains(shown: int, known: int) -> None:
    grey = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in (shown, known)]
    mesh = np.full((478, 3), SIZE / 2, np.float32)
    gain = observed_gain(*grey, mesh, np.ones(468, bool))
    assert np.abs(gain).max() <= np.log(LARGEST_GAIN) + 1e-6
    assert relit(grey[1], gain).shape == (SIZE, SIZE, 3)


def test_a_session_in_dim_light_is_filled_from_a_bright_capture(posed_mesh: MeshMaker) -> None:
    mesh, view = crop_mesh(posed_mesh()), face()
    preparer = Preparer(ReferenceBank([Reference(view, mesh)], SIZE))
    for lamp in (1.0, 0.55, 0.55):
        crop = lit(view, (lamp, lamp, lamp))
        filled = preparer.step(crop, hole(), mesh).reference
        assert np.abs(filled.astype(int) - crop)[hole() == 1].mean() < 2
