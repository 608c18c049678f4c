"""The wearer's lower face under a face mask: laid over what is seen of the upper one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from models.face.mesh import CHIN, NOSE_ROOT
from models.lower_face import NOSE_MIDDLE, LowerFace, lengthened

Mesh = NDArray[np.float32]


@pytest.mark.parametrize(
    "pose",
    [
        {"yaw_deg": 35.0},
        {"pitch_deg": -15.0},
        {"yaw_deg": -20.0, "roll_deg": 12.0, "span_px": 50.0, "centre": (90.0, 140.0)},
    ],
)
def test_a_turned_head_takes_its_lower_face_along(
    pose: dict[str, float], posed_mesh: Callable[..., Mesh], canonical_mesh: Mesh
) -> None:
    """The upper face of the same rigid head says where the lower one is."""
    truth = posed_mesh(**pose)
    visible = canonical_mesh[:, 1] < canonical_mesh[NOSE_MIDDLE, 1]
    guess = truth.copy()
    guess[~visible] += 15  # anybody's
    found = LowerFace(canonical_mesh).completed(guess, visible)
    np.testing.assert_allclose(found, truth, atol=0.05)


def test_a_narrower_guess_of_depth_costs_little(
    posed_mesh: Callable[..., Mesh], canonical_mesh: Mesh
) -> None:
    truth = posed_mesh(yaw_deg=20)
    visible = canonical_mesh[:, 1] < canonical_mesh[NOSE_MIDDLE, 1]
    flat = truth * np.array([1, 1, 0.8], np.float32)
    found = LowerFace(canonical_mesh).completed(flat, visible)
    off = np.linalg.norm((found - truth)[~visible, :2], axis=1)
    assert off.mean() < 0.04 * 80  # of the eye span


def test_only_hidden_points_are_lengthened_and_along_the_face(
    posed_mesh: Callable[..., Mesh], canonical_mesh: Mesh
) -> None:
    hidden = canonical_mesh[:, 1] >= canonical_mesh[NOSE_MIDDLE, 1]
    upright, lying = posed_mesh(), posed_mesh(roll_deg=90.0)
    for mesh in (upright, lying):
        found = lengthened(mesh, hidden, 0.1)
        assert np.array_equal(found[~hidden], mesh[~hidden])
        length, before = (np.linalg.norm(m[CHIN, :2] - m[NOSE_ROOT, :2]) for m in (found, mesh))
        assert length == pytest.approx(1.1 * before, rel=0.01)
    np.testing.assert_allclose(lengthened(upright, hidden, 0.1)[:, 0], upright[:, 0], atol=0.01)
