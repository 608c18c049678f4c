"""The face as the identity network sees it: turned upright, of one size, nothing but the face.

A similarity brings eye corners, nose base and mouth corners onto fixed places, those of dlib's face
chips (King 2009; 150 px, padding 0.25). Hair, room and clothes around the face and whatever the
headset hides are blanked: what is compared must be the person, not the scene. Two windows on that
plane are looked at: BARE, the whole face, and LOWER, what a headset leaves in view.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import FACE_OVAL, LEFT_EYE, NOSE_BASE, RIGHT_EYE

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

WIDTH_PX = 150
# Mesh points that are brought onto TEMPLATE_PX: means over the frontal frames of the train clips.
ALIGNED_POINTS = (
    *(RIGHT_EYE.outer_corner, RIGHT_EYE.inner_corner, LEFT_EYE.inner_corner, LEFT_EYE.outer_corner),
    *(NOSE_BASE[4], NOSE_BASE[3], NOSE_BASE[5]),
    *(61, 291),  # mouth corners
)
TEMPLATE_PX = np.array(
    [
        *((37.6, 49.5), (60.6, 50.8), (89.4, 50.8), (112.4, 49.5)),
        *((75.0, 87.5), (60.4, 85.9), (89.6, 85.9)),
        *((54.0, 107.5), (96.0, 107.5)),
    ]
)
OVAL_SHARE = 0.94  # of the face oval, towards its middle: landmarks err, background must stay out
HIDDEN_MARGIN_PX = 5  # around the outline of the headset: its rim is not skin


@dataclass(frozen=True)
class Window:
    """A band of rows of the chip's plane, all of its width."""

    name: str
    top_px: int
    rows: int


BARE = Window("bare", 0, 150)
LOWER = Window("lower", 70, 100)  # from above the nose's base to below an open mouth's chin
WINDOWS = (BARE, LOWER)


@dataclass(frozen=True)
class FaceChip:
    """One window of a face, ready for the network."""

    image: ImageU8  # (R,150,3) BGR, 0 where not visible
    visible: NDArray[np.uint8]  # (R,150) 1 = the face's own pixel

    @property
    def visible_share(self) -> float:
        """Share of the window that shows face, 0..1."""
        return float(self.visible.mean())


def chip_from_frame(mesh: Float32Array) -> NDArray[np.float64]:
    """(2,3) similarity: px of the mesh's image -> px of the chip's plane.

    Least squares (Umeyama 1991) over `ALIGNED_POINTS` of a mesh (478,>=2).

    Raises:
        ValueError: the mesh is shrunk to a point or not finite.
    """
    points = mesh[list(ALIGNED_POINTS), :2].astype(np.float64)
    centre, place = points.mean(axis=0), TEMPLATE_PX.mean(axis=0)
    x, y = (points - centre).T
    u, v = (TEMPLATE_PX - place).T
    size = float((x * x + y * y).sum())
    if not np.isfinite(size) or size < 1e-6:
        raise ValueError("the mesh has no extent: no face was found")
    cos, sin = float((x * u + y * v).sum()) / size, float((x * v - y * u).sum()) / size
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, place - linear @ centre])


def cut_chip(
    image: ImageU8,
    mesh: Float32Array,
    window: Window,
    hidden: NDArray[np.uint8] | None = None,
    matrix: NDArray[np.float64] | None = None,
) -> FaceChip:
    """Cut a window out of an (H,W,3) image of a face whose (478,>=2) px mesh is given.

    `hidden` (H,W) is 1 where the headset is, None: nowhere. `matrix` replaces `chip_from_frame`.
    """
    matrix = (chip_from_frame(mesh) if matrix is None else matrix).copy()
    matrix[1, 2] -= window.top_px
    visible = _oval(mesh, matrix, window)
    inside = _warped(np.full(image.shape[:2], 255, np.uint8), matrix, window)
    visible[inside < 255] = 0
    if hidden is not None and hidden.any():
        cover = _warped(hidden * np.uint8(255), matrix, window)
        around = np.ones((2 * HIDDEN_MARGIN_PX + 1,) * 2, np.uint8)
        visible[cv2.dilate(cover, around) > 0] = 0
    cut = _warped(image, matrix, window)
    cut[visible == 0] = 0
    return FaceChip(cut, visible)


def network_input(chip: FaceChip) -> Float32Array:
    """(1,4,R,150): RGB in 0..1, and 1 where visible."""
    planes = cv2.dnn.blobFromImage(chip.image, 1 / 255, swapRB=True)
    seen = chip.visible[None, None].astype(np.float32)
    return np.concatenate([planes, seen], axis=1)


def sharpness(chip: FaceChip) -> float:
    """Variance of the Laplacian over the visible face, per its variance of grey: blur lowers it."""
    grey = cv2.cvtColor(chip.image, cv2.COLOR_BGR2GRAY)
    inner = cv2.erode(chip.visible, np.ones((7, 7), np.uint8)) > 0
    if np.count_nonzero(inner) < 100:
        return 0.0
    edges = cv2.Laplacian(grey, cv2.CV_32F)[inner]
    return float(edges.var() / max(float(grey[inner].var()), 1.0))


def _oval(mesh: Float32Array, matrix: NDArray[np.float64], window: Window) -> NDArray[np.uint8]:
    outline = mesh[list(FACE_OVAL), :2] @ matrix[:, :2].T + matrix[:, 2]
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    outline = middle + OVAL_SHARE * (outline - middle)
    visible = np.zeros((window.rows, WIDTH_PX), np.uint8)
    corners = np.clip(np.round(outline * 16), -1e6, 1e6).astype(np.int32)
    cv2.fillPoly(visible, [corners], (1,), cv2.LINE_8, 4)
    return visible


def _warped(image: ImageU8, matrix: NDArray[np.float64], window: Window) -> ImageU8:
    """Into the window; large images are halved first, else the warp leaves out pixels."""
    matrix = matrix.copy()
    scale = float(np.hypot(*matrix[:, 0]))
    while scale < 0.5 and min(image.shape[:2]) > 2:
        image = np.asarray(cv2.pyrDown(image), np.uint8)
        matrix[:, :2] *= 2
        scale *= 2
    size = (WIDTH_PX, window.rows)
    return np.asarray(cv2.warpAffine(image, matrix, size), np.uint8)
