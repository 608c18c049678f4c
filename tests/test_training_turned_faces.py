"""Faces turned to a side: the mesh turns in space and the picture keeps to it."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from conftest import MeshMaker

from hmd_capture.head_pose import head_pose
from models.face.mesh import LEFT_SIDE, NOSE_TIP, RIGHT_SIDE
from training.scenes.bare_faces import BareFace
from training.scenes.turned_faces import LONGEST_TURN_DEG, ROOM, YAW_DEG, turned, with_turned

SIDE_PX = 256
MARGIN_PX = round(ROOM * SIDE_PX)
SEEN = (61, 291, 152, 10, 151, 50, 280, NOSE_TIP)  # mouth, chin, forehead, cheeks, nose


def shown_as_colours(mesh: np.ndarray) -> BareFace:
    """A face whose colour at each place tells where on the face the place lies."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.uint8)
    return BareFace(np.dstack([columns, rows, np.full_like(rows, 90)]), mesh)


@pytest.mark.parametrize("start_deg", [0.0, 12.0, -8.0])
@pytest.mark.parametrize("by_deg", [-40.0, -15.0, 30.0])
def test_mesh_turns_by_what_was_asked_for(
    posed_mesh: MeshMaker, start_deg: float, by_deg: float
) -> None:
    mesh = posed_mesh(yaw_deg=start_deg)
    face = turned(shown_as_colours(mesh), by_deg)
    before, after = head_pose(mesh), head_pose(face.mesh)
    assert after.yaw_deg == pytest.approx(before.yaw_deg + by_deg, abs=0.5)
    assert after.span_px == pytest.approx(before.span_px, rel=1e-4)  # rigid, not squeezed
    assert after.roll_deg == pytest.approx(before.roll_deg, abs=3)


def test_picture_keeps_to_the_mesh(posed_mesh: MeshMaker) -> None:
    mesh = posed_mesh()
    face = turned(shown_as_colours(mesh), 25)
    for point in SEEN:
        x, y = face.mesh[point, :2].round().astype(int)
        source = face.image[y, x, :2].astype(float)
        assert np.linalg.norm(source - mesh[point, :2]) < 5


def test_the_side_that_turns_away_is_squeezed_and_the_room_stays(posed_mesh: MeshMaker) -> None:
    mesh = posed_mesh()
    face = turned(shown_as_colours(mesh), 35)  # to the picture's right
    nose, right, left = (face.mesh[point, 0] for point in (NOSE_TIP, RIGHT_SIDE, LEFT_SIDE))
    assert left - nose < 0.4 * (nose - right)
    assert face.image.shape == (SIDE_PX + 2 * MARGIN_PX, SIDE_PX + 2 * MARGIN_PX, 3)
    room = np.s_[MARGIN_PX:-MARGIN_PX, MARGIN_PX : MARGIN_PX + 4]
    away = np.abs(face.image[room].astype(int) - shown_as_colours(mesh).image[:, :4])
    assert away.mean() < 25


def test_nothing_turned_is_the_face_itself(posed_mesh: MeshMaker) -> None:
    face = shown_as_colours(posed_mesh(yaw_deg=10))
    same = turned(face, 0)
    np.testing.assert_allclose(same.mesh - [MARGIN_PX, MARGIN_PX, 0], face.mesh, atol=1e-3)
    inside = same.image[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    assert cv2.absdiff(inside, face.image).max() <= 1


def test_a_share_of_the_faces_follows_turned_and_further_in_their_own_direction(
    posed_mesh: MeshMaker,
) -> None:
    faces = [shown_as_colours(posed_mesh(yaw_deg=yaw)) for yaw in (-30.0, 0.0, 20.0, 0.0) * 8]
    shown = list(with_turned(faces, 0.5, np.random.default_rng(1)))
    again = list(with_turned(faces, 0.5, np.random.default_rng(1)))
    assert [face.mesh[0, 0] for face in shown] == [face.mesh[0, 0] for face in again]
    kept = {id(face) for face in faces}
    assert sum(id(face) in kept for face in shown) == len(faces)  # none is left out
    made = [(a, b) for a, b in pairwise(shown) if id(b) not in kept]
    assert 8 <= len(made) <= 24
    for face, other in made:
        before, after = head_pose(face.mesh).yaw_deg, head_pose(other.mesh).yaw_deg
        assert abs(after) <= YAW_DEG[1] + 1
        assert abs(after - before) <= LONGEST_TURN_DEG + 1
        if abs(before) > 6:
            assert np.sign(after) == np.sign(before)
