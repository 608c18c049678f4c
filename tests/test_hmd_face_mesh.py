"""Mesh topology and the bare-face mesher."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from models.face import mediapipe_mesh
from models.face import mesh as face_mesh
from models.face.mediapipe_mesh import FaceMesher


def edges(*lines):
    return {frozenset(pair) for line in lines for pair in pairwise(line)}


def published(connections):
    return {frozenset(pair) for pair in connections}


def test_lines_are_the_published_connections():
    connections = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    nose = (face_mesh.NOSE_BRIDGE, face_mesh.NOSE_BASE, face_mesh.NOSE_WINGS)
    for ours, theirs in (
        (edges(*face_mesh.RIGHT_EYE.lids), connections.FACEMESH_RIGHT_EYE),
        (edges(*face_mesh.LEFT_EYE.lids), connections.FACEMESH_LEFT_EYE),
        (edges(*face_mesh.IRIS_LINES), connections.FACEMESH_IRISES),
        (edges(*face_mesh.LIP_LINES), connections.FACEMESH_LIPS),
        (edges(face_mesh.FACE_OVAL), connections.FACEMESH_FACE_OVAL),
        (edges(*nose), connections.FACEMESH_NOSE),
    ):
        assert ours == published(theirs)


def test_lids_run_from_the_images_left_to_its_right(canonical_mesh):
    for eye in face_mesh.EYES:
        for lid in eye.lids:
            assert len(lid) == 9
            assert (np.diff(canonical_mesh[list(lid), 0]) > 0).all()


def test_right_is_the_wearers_right(canonical_mesh):
    right, left = (canonical_mesh[eye.iris_centre, 0] for eye in face_mesh.EYES)
    assert right < left  # on the image's left when the image is not mirrored
    assert canonical_mesh[face_mesh.RIGHT_SIDE, 0] < canonical_mesh[face_mesh.LEFT_SIDE, 0]


@pytest.fixture(scope="module")
def drawn_face():
    return mediapipe_mesh._drawn_face()


def test_a_face_is_found_and_its_parts_are_where_they_were_drawn(drawn_face):
    with FaceMesher(tracking=False) as mesher:
        (mesh,) = mesher.meshes(drawn_face)
    assert mesh.shape == (478, 3)
    assert mesh.dtype == np.float32
    for eye, x in zip(face_mesh.EYES, (76, 116), strict=True):
        np.testing.assert_allclose(mesh[eye.iris_centre, :2], (x, 86), atol=8)


def test_faces_are_given_in_pixels_of_the_image_however_large(drawn_face):
    large = np.zeros((2000, 3000, 3), np.uint8)
    large[:] = 200
    large[300 : 300 + 1152, 900 : 900 + 1152] = drawn_face.repeat(6, axis=0).repeat(6, axis=1)
    with FaceMesher(tracking=False) as mesher:
        (mesh,) = mesher.meshes(large)
    middle = mesh[[eye.iris_centre for eye in face_mesh.EYES], :2].mean(axis=0)
    np.testing.assert_allclose(middle, (900 + 6 * 96, 300 + 6 * 86), atol=60)


def test_two_faces_are_told_apart(drawn_face):
    with FaceMesher(tracking=False, max_faces=2) as mesher:
        assert len(mesher.meshes(np.concatenate([drawn_face, drawn_face], axis=1))) == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (4320, 7680), (300, 20)])
def test_images_without_a_face_give_none_whatever_their_size(shape):
    with FaceMesher() as mesher:
        assert mesher.meshes(np.zeros((*shape, 3), np.uint8)) == []


def test_wrong_images_and_a_closed_mesher_are_refused():
    mesher = FaceMesher()
    with pytest.raises(RuntimeError, match="with FaceMesher"):
        mesher.meshes(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="at least one"):
        FaceMesher(max_faces=0)
    with mesher, pytest.raises(ValueError, match="uint8 BGR"):
        mesher.meshes(np.zeros((64, 64), np.uint8))
    mesher.close()


def test_mediapipe_keeps_quiet(capfd, drawn_face):
    with FaceMesher() as mesher:
        mesher.meshes(drawn_face)
    captured = capfd.readouterr()
    assert "WARNING" not in captured.err
    assert "delegate" not in captured.err
