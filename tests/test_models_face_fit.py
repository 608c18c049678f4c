from __future__ import annotations

import numpy as np
import pytest

from models.face_fit import OWN_SHARE, WearerFit

EVEN = np.full(478, 0.01, np.float32)


def misread(mesh: np.ndarray, lift: float) -> np.ndarray:
    """What a network would say that places the upper face too low."""
    wrong = mesh.copy()
    upper = mesh[:, 1] < np.median(mesh[:, 1])
    wrong[upper, 1] += lift
    return wrong


def test_what_is_misread_of_the_reference_is_put_right_in_another_pose(  # type: ignore[no-untyped-def]
    posed_mesh,
) -> None:
    reference = posed_mesh()
    fit = WearerFit(reference, [misread(reference, 6.0)])
    truth = posed_mesh(roll_deg=25.0, centre=(300.0, 200.0), span_px=160.0)
    # The same error, turned and enlarged with the head.
    turn = np.radians(25.0)
    low = np.array([-np.sin(turn), np.cos(turn)]) * 6.0 * 2
    upper = reference[:, 1] < np.median(reference[:, 1])
    reading = truth.copy()
    reading[upper, :2] += low.astype(np.float32)
    before = np.linalg.norm(reading - truth, axis=1)[upper].mean()
    after = np.linalg.norm(fit.fitted(reading, EVEN) - truth, axis=1)[upper].mean()
    assert after == pytest.approx((1 - OWN_SHARE) * before, rel=0.25)


def test_without_readings_nothing_is_changed(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    mesh = posed_mesh(yaw_deg=15.0)
    assert np.allclose(WearerFit(posed_mesh()).fitted(mesh, EVEN), mesh, atol=1e-3)


def test_points_that_are_hardly_known_do_not_tilt_the_correction(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    reference = posed_mesh()
    fit = WearerFit(reference, [misread(reference, 6.0)])
    spread = EVEN.copy()
    spread[:60] = 10.0
    wild = reference.copy()
    wild[:60] += 80.0
    calm = fit.fitted(reference, EVEN) - reference
    moved = fit.fitted(wild, spread) - wild
    assert np.abs(moved - calm).max() < 0.5


def test_a_flat_mesh_is_no_reason_to_fail() -> None:
    flat = np.zeros((478, 3), np.float32)
    flat[:, 0], flat[:, 1] = np.arange(478) % 22, np.arange(478) // 22
    assert np.isfinite(WearerFit(flat, [flat + 1]).fitted(flat * 3, EVEN)).all()
