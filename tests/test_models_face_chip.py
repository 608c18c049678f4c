"""What the identity network sees: the face, upright and alone; and that the network reads it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import MeshMaker
from numpy.typing import NDArray

from models.face.geometry import FEATURES, lower_face_shape
from models.identity.face_chip import (
    ALIGNED_POINTS,
    BARE,
    LOWER,
    TEMPLATE_PX,
    WIDTH_PX,
    Window,
    chip_from_frame,
    cut_chip,
    sharpness,
)
from models.identity.reader import SHIPPED_FACE_PRINT, FacePrintReader
from models.weights_error import WeightsError

Picture = NDArray[np.uint8]


def headset(mesh: NDArray[np.float32]) -> Picture:
    hidden = np.zeros((256, 256), np.uint8)
    top, bottom = mesh[105, 1] - 10, mesh[4, 1]
    hidden[int(top) : int(bottom)] = 1
    return hidden


@pytest.mark.parametrize(("roll", "span", "x"), [(0, 80, 128), (25, 60, 100), (-40, 30, 180)])
def test_eyes_and_mouth_come_to_their_places_wherever_the_face_is(
    posed_mesh: MeshMaker, roll: float, span: float, x: float
) -> None:
    mesh = posed_mesh(roll_deg=roll, span_px=span, centre=(x, 110))
    matrix = chip_from_frame(mesh)
    placed = mesh[list(ALIGNED_POINTS), :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(placed - TEMPLATE_PX).max() < 8  # px of 150: people differ
    cos, sin = matrix[0, 0], matrix[1, 0]
    assert np.degrees(np.arctan2(sin, cos)) == pytest.approx(-roll, abs=1.5)


def test_a_mesh_without_extent_is_refused() -> None:
    with pytest.raises(ValueError, match="no face"):
        chip_from_frame(np.ones((478, 3), np.float32))


@pytest.mark.parametrize("window", [BARE, LOWER], ids=["bare", "lower"])
def test_room_hair_and_headset_never_reach_the_network(
    canonical_mesh: NDArray[np.float32], textured_image: Picture, window: Window
) -> None:
    """What is compared must be the person, not the scene."""
    hidden = headset(canonical_mesh)
    face = np.zeros((256, 256), np.uint8)
    hull = cv2.convexHull(canonical_mesh[:468, :2].copy()).astype(np.int32)
    cv2.fillConvexPoly(face, hull, (1,))
    other = textured_image.copy()
    other[(face == 0) | (hidden > 0)] = 17
    one = cut_chip(textured_image, canonical_mesh, window, hidden)
    two = cut_chip(other, canonical_mesh, window, hidden)
    assert one.image.shape == (window.rows, WIDTH_PX, 3)
    assert np.array_equal(one.image, two.image)
    assert 0.05 < one.visible_share < 0.6
    assert not one.image[one.visible == 0].any()


def test_a_face_half_out_of_the_frame_shows_only_what_is_inside(
    posed_mesh: MeshMaker, textured_image: Picture
) -> None:
    inside = cut_chip(textured_image, posed_mesh(), BARE)
    half = cut_chip(textured_image, posed_mesh(centre=(5, 115)), BARE)
    assert half.visible_share < 0.7 * inside.visible_share


def test_blur_lowers_sharpness(
    canonical_mesh: NDArray[np.float32], textured_image: Picture
) -> None:
    noisy = cv2.add(
        textured_image, np.random.default_rng(0).integers(0, 30, (256, 256, 3), np.uint8)
    )
    blurred = np.asarray(cv2.GaussianBlur(noisy, (0, 0), 5), np.uint8)
    sharp, soft = (sharpness(cut_chip(p, canonical_mesh, BARE)) for p in (noisy, blurred))
    assert sharp > 20 * soft


def test_proportions_belong_to_the_face_and_not_to_its_pose(posed_mesh: MeshMaker) -> None:
    front = lower_face_shape(posed_mesh())
    turned = lower_face_shape(posed_mesh(yaw_deg=30, roll_deg=15, span_px=45, centre=(90, 140)))
    assert front.shape == (FEATURES,)
    assert np.abs(front - turned).max() < 1e-3
    wide = posed_mesh()
    wide[[61, 291], 0] += (-8, 8)
    assert np.abs(lower_face_shape(wide) - front).max() > 0.1


@pytest.fixture(scope="module")
def reader() -> FacePrintReader:
    return FacePrintReader()


@pytest.mark.parametrize("window", ["bare", "lower"])
def test_an_embedding_is_a_unit_vector_that_survives_turning_and_size(
    reader: FacePrintReader, posed_mesh: MeshMaker, textured_image: Picture, window: str
) -> None:
    chosen = BARE if window == "bare" else LOWER
    mesh = posed_mesh()
    turn = cv2.getRotationMatrix2D((128, 115), -20, 0.8)  # counter-clockwise positive in OpenCV
    turned = np.asarray(cv2.warpAffine(textured_image, turn, (256, 256)), np.uint8)
    moved = mesh.copy()
    moved[:, :2] = mesh[:, :2] @ turn[:, :2].T + turn[:, 2]
    one = reader.read(cut_chip(textured_image, mesh, chosen), chosen)
    two = reader.read(cut_chip(turned, moved.astype(np.float32), chosen), chosen)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-4)
    assert one @ two > 0.9


def test_a_chip_of_the_other_window_is_refused(
    reader: FacePrintReader, canonical_mesh: NDArray[np.float32], textured_image: Picture
) -> None:
    with pytest.raises(ValueError, match="lower"):
        reader.read(cut_chip(textured_image, canonical_mesh, BARE), LOWER)


def test_a_damaged_network_is_refused_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "face_print.onnx"
    path.write_bytes(SHIPPED_FACE_PRINT.read_bytes()[:-1])
    manifest = json.loads(SHIPPED_FACE_PRINT.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="restore it"):
        FacePrintReader(path)
