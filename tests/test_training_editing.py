"""Landmarks are edited where nothing is seen, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from test_models_preparation import crop_mesh

from models import registration
from models.face_mesh import IRIS_START
from training.coverings import headset_mask
from training.editing.landmarks import perturbed, swapped

SIZE = 128


@pytest.fixture
def worn(canonical_mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Meshes of a head that drifts, and the headset's mask over each."""
    meshes = np.stack([crop_mesh(canonical_mesh, (shift, 0)) for shift in (0, 2, 4)])
    return meshes, np.stack([headset_mask(mesh, SIZE) for mesh in meshes])


def moved_by(meshes: np.ndarray, edited: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.linalg.norm((edited - meshes)[..., :2], axis=-1)
    return distance


def test_visible_points_stay_and_hidden_ones_move_smoothly(
    worn: tuple[np.ndarray, np.ndarray],
) -> None:
    meshes, hidden = worn
    edited = perturbed(meshes, hidden, sigma=0.1, seed=1)
    distance = moved_by(meshes, edited)[0, :IRIS_START]
    seen = registration.visible_points(meshes[0], hidden[0])
    assert distance[seen].max() < 1e-4
    span = np.linalg.norm(meshes[0, 33, :2] - meshes[0, 263, :2])
    assert 0.01 < np.sqrt((distance[~seen] ** 2).mean()) / span < 0.2
    points = meshes[0, :IRIS_START, :2]
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) < 0.05 * span
    move = (edited - meshes)[0, :IRIS_START, :2]
    jumps = np.linalg.norm(move[:, None] - move[None], axis=-1)[near]
    assert jumps.max() < 0.5 * distance.max()


def test_a_perturbation_goes_with_the_face_and_is_repeatable(
    worn: tuple[np.ndarray, np.ndarray],
) -> None:
    meshes, hidden = worn
    edited = perturbed(meshes, hidden, 0.1, seed=1)
    assert np.array_equal(edited, perturbed(meshes, hidden, 0.1, seed=1))
    assert not np.allclose(edited, perturbed(meshes, hidden, 0.1, seed=2))
    assert np.abs((edited - meshes)[0] - (edited - meshes)[2]).max() < 0.6
    assert np.array_equal(perturbed(meshes, hidden, 0.0), meshes)


def test_swapping_takes_the_other_faces_points_under_the_covering(
    worn: tuple[np.ndarray, np.ndarray],
) -> None:
    meshes, hidden = worn
    raised = meshes[0].copy()
    brow = 66
    around = np.linalg.norm(raised[:, :2] - raised[brow, :2], axis=1) < 12
    raised[around, 1] -= 5
    # The other one stands elsewhere, nearer and tilted: only the shape is to be taken.
    turn = 1.3 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]], np.float32)
    other = raised.copy()
    other[:, :2] = raised[:, :2] @ turn.T + 7
    other[:, 2] *= 1.3
    edited = swapped(meshes, hidden, other[None])
    assert edited[0, brow, 1] - meshes[0, brow, 1] == pytest.approx(-5, abs=0.7)
    seen = registration.visible_points(meshes[0], hidden[0])
    assert moved_by(meshes, edited)[0, :IRIS_START][seen].max() < 1e-4
    assert np.abs(swapped(meshes, hidden, meshes) - meshes).max() < 1e-3
