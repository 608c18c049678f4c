from __future__ import annotations

import numpy as np

from models.mesh_filter import MeshFilter

FRAME_NS = 33_000_000
SPAN_PX = 80.0


def followed(meshes: np.ndarray, filter_: MeshFilter | None = None) -> np.ndarray:
    filter_ = filter_ or MeshFilter()
    return np.stack([filter_.steady(m, SPAN_PX, (i + 1) * FRAME_NS) for i, m in enumerate(meshes)])


def test_a_still_face_trembles_less() -> None:
    random = np.random.default_rng(0)
    noisy = (50 + random.normal(0, 0.5, (100, 478, 3))).astype(np.float32)
    steady = followed(noisy)
    assert steady[20:, :, :2].std(axis=0).mean() < 0.6 * noisy[20:, :, :2].std(axis=0).mean()


def test_a_moving_head_is_followed_within_a_fiftieth_of_its_span() -> None:
    path = np.arange(60)[:, None, None] * np.array([0.05 * SPAN_PX, 0.0, 0.0])
    meshes = (np.zeros((60, 478, 3)) + path).astype(np.float32)
    lag = meshes[-1] - followed(meshes)[-1]
    assert np.abs(lag).max() < 0.02 * SPAN_PX


def test_a_jaw_that_opens_fast_is_not_held_back() -> None:
    meshes = np.zeros((20, 478, 3), np.float32)
    meshes[10:, 152, 1] = 0.4 * SPAN_PX
    steady = followed(meshes)
    assert steady[12, 152, 1] > 0.9 * 0.4 * SPAN_PX


def test_after_a_reset_the_next_mesh_is_taken_as_it_is() -> None:
    filter_ = MeshFilter()
    followed(np.zeros((5, 478, 3), np.float32), filter_)
    filter_.reset()
    far = np.full((478, 3), 100, np.float32)
    assert np.array_equal(filter_.steady(far, SPAN_PX, 10 * FRAME_NS), far)


def test_time_that_stands_still_or_runs_back_changes_nothing_for_good() -> None:
    filter_ = MeshFilter()
    mesh = np.ones((478, 3), np.float32)
    filter_.steady(mesh, SPAN_PX, 5)
    assert np.isfinite(filter_.steady(mesh * 2, SPAN_PX, 5)).all()
    assert np.isfinite(filter_.steady(mesh * 3, SPAN_PX, 1)).all()
