"""A head with a marker on its headset before a camera, drawn for tests."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.marker.detector import MarkerChoice

FloatArray = NDArray[np.float64]

SPAN_M = 0.09  # outer eye corners
SIDE_M = 0.03  # of the marker
# On the headset's front, in spans on the head: a little left, above the eye line, before the face.
MARKER_ON_HEAD = np.array([0.15, -0.1, -0.85])


def turn(yaw_deg: float = 0, pitch_deg: float = 0, roll_deg: float = 0) -> FloatArray:
    """(3,3) rotation; x right, y down, z away from the camera."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    across = cv2.Rodrigues(np.array([0.0, -yaw, 0.0]))[0]
    down = cv2.Rodrigues(np.array([-pitch, 0.0, 0.0]))[0]
    return np.asarray(cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0] @ across @ down, np.float64)


@dataclass(frozen=True)
class View:
    """A camera looking at one head."""

    rotation: FloatArray  # (3,3) camera_from_head
    place: FloatArray  # (3,) m, midway between the outer eye corners
    marker_turn: FloatArray  # (3,3) head_from_marker: the sticker is never quite straight
    focal_px: float = 640.0
    size: tuple[int, int] = (640, 480)

    def seen(self, head: FloatArray) -> FloatArray:
        """Points (N,3) in spans on the head -> (N,2) px."""
        points = SPAN_M * head @ self.rotation.T + self.place
        middle = (np.array(self.size) - 1) / 2
        return points[:, :2] / points[:, 2:] * self.focal_px + middle

    def mesh(self, head: FloatArray) -> NDArray[np.float32]:
        """A true mesh (478,3) px, z on the same scale around an origin of its own."""
        z = (head @ self.rotation.T)[:, 2] * SPAN_M * self.focal_px / self.place[2]
        return np.column_stack([self.seen(head), z]).astype(np.float32)

    def on_marker(self, x_sides: float, y_sides: float) -> FloatArray:
        """A place on the sticker's plane, in its sides from its middle, in spans on the head."""
        offset = self.marker_turn @ np.array([x_sides, y_sides, 0.0]) * SIDE_M / SPAN_M
        return MARKER_ON_HEAD + offset

    def corners(self) -> FloatArray:
        """True corners (4,2) px of the marker."""
        square = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
        return self.seen(np.array([self.on_marker(x, y) for x, y in square]))


def view(
    yaw_deg: float = 0,
    pitch_deg: float = 0,
    roll_deg: float = 0,
    place: tuple[float, float, float] = (0.0, 0.0, 0.6),
) -> View:
    rotation = turn(yaw_deg, pitch_deg, roll_deg)
    return View(rotation, np.array(place), turn(6, -8, 4))


def draw(image: NDArray[np.uint8], seen: View, choice: MarkerChoice, blur_px: float = 0.0) -> None:
    """Stick the marker with its white border onto a frame (H,W,3), antialiased."""
    texture = np.kron(np.pad(choice.pattern, 1, constant_values=255), np.ones((16, 16), np.uint8))
    half = 0.5 + 1 / choice.cells
    square = [(-half, -half), (half, -half), (half, half), (-half, half)]
    corners = seen.seen(np.array([seen.on_marker(x, y) for x, y in square]))
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)) - 8, 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 8, 0, limit).astype(int)
    if (high - low).min() < 1:
        return
    fine = 4  # px of the texture's warp per px of the frame
    edge = texture.shape[0]
    source = np.array([(0, 0), (edge, 0), (edge, edge), (0, edge)], np.float32) - 0.5
    target = ((corners - low + 0.5) * fine - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    width, height = (int(v) for v in high - low)
    layers = []
    for layer in (texture, np.full_like(texture, 255)):
        large = cv2.warpPerspective(layer, matrix, (width * fine, height * fine))
        small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
        layers.append(cv2.GaussianBlur(small, (0, 0), blur_px) if blur_px else small)
    drawn, cover = layers
    part = image[low[1] : high[1], low[0] : high[0]]
    share = cover[..., None] / 255
    part[:] = np.clip(part * (1 - share) + drawn[..., None], 0, 255).astype(np.uint8)
