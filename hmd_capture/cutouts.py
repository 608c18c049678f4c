"""Headsets from a folder of pictures: RGBA cut-outs of one or more models at several views.

Files are called `NAME_yYAW_pPITCH.png`, angles in degrees: yaw positive when the front faces the
image's right, pitch positive when the headset looks down. Background has alpha 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from hmd_capture.head_pose import HeadPose, head_pose
from hmd_capture.headset_render import light_of

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

FILE_NAME = re.compile(r"(?P<name>.+)_y(?P<yaw>[+-]?\d+)_p(?P<pitch>[+-]?\d+)\.png")
HALF_WIDTH = 1.12  # of the body over half the face's width
BODY_MIDDLE = np.array([0.0, 0.04, -0.45])  # on the head, in spans
MIN_HALF_HEIGHT = 0.58  # spans: a flat model is enlarged until it hides brows and mid-nose


@dataclass(frozen=True)
class _View:
    yaw_deg: float
    pitch_deg: float
    colour: ImageU8  # (h,w,3) BGR times alpha
    alpha: ImageU8  # (h,w)


class CutoutHeadset:
    """One model of a folder, drawn by its nearest view, moved, sized and rolled with the head."""

    def __init__(self, folder: Path, seed: int, name: str | None = None) -> None:
        """Load a model by name, or one chosen by the seed.

        Raises FileNotFoundError if the folder holds no such cut-outs, ValueError for an unknown
        name, OSError for a file that is no RGBA picture.
        """
        found = sorted(folder.glob("*.png")) if folder.is_dir() else []
        matches = [match for path in found if (match := FILE_NAME.fullmatch(path.name))]
        names = sorted({match["name"] for match in matches})
        if not names:
            raise FileNotFoundError(f"{folder} holds no NAME_yYAW_pPITCH.png")
        if name is not None and name not in names:
            raise ValueError(f"no cut-outs of {name!r} in {folder}; known: {', '.join(names)}")
        self.name = name or str(np.random.default_rng(seed).choice(names))
        self._views = [_load(folder, match) for match in matches if match["name"] == self.name]
        frontal = min(self._views, key=lambda view: abs(view.yaw_deg) + abs(view.pitch_deg))
        self._middle_px, self._half_size_px = _body_of(frontal.alpha)

    def draw(self, mesh: Float32Array, image: ImageU8) -> Patch | None:
        """Draw over a (478,3) px mesh of an (H,W,3) image; None if all of it is outside."""
        pose = head_pose(mesh)
        view = min(
            self._views,
            key=lambda v: abs(v.yaw_deg - pose.yaw_deg) + abs(v.pitch_deg - pose.pitch_deg),
        )
        frame_from_view = self._placed(pose)
        height, width = view.alpha.shape
        corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)])
        outline = corners @ frame_from_view.T
        low = np.clip(np.floor(outline.min(axis=0)), 0, image.shape[1::-1])
        high = np.clip(np.ceil(outline.max(axis=0)) + 1, 0, image.shape[1::-1])
        left, top, right, bottom = (int(value) for value in (*low, *high))
        if right <= left or bottom <= top:
            return None
        patch_from_view = frame_from_view - np.array([[0, 0, left], [0, 0, top]])
        size = (right - left, bottom - top)
        # Reducing a picture by warping alone would leave out pixels and shimmer.
        scale = float(np.hypot(*frame_from_view[:, 0]))
        layers = _warped((view.colour, view.alpha), patch_from_view, size, scale)
        light = light_of(image)
        lit = cv2.convertScaleAbs(layers[0], alpha=light)
        return Patch(left, top, np.asarray(lit, np.uint8), layers[1])

    def _placed(self, pose: HeadPose) -> NDArray[np.float64]:
        """(2,3) similarity from a view's px to the frame's."""
        across_px = HALF_WIDTH * float(np.clip(pose.half_face_width, 0.68, 0.88)) * pose.span_px
        scale = across_px / self._half_size_px[0]
        scale = max(scale, MIN_HALF_HEIGHT * pose.span_px / self._half_size_px[1])
        turn = np.radians(pose.roll_deg)
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = pose.project(BODY_MIDDLE) - linear @ self._middle_px
        return np.column_stack([linear, middle])


def _load(folder: Path, match: re.Match[str]) -> _View:
    image = cv2.imread(str(folder / match.string), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        raise OSError(f"{folder / match.string} is no 8-bit RGBA picture")
    alpha = np.ascontiguousarray(image[..., 3]).astype(np.uint8)
    colour = (image[..., :3] * (alpha[..., None] / 255.0)).round().astype(np.uint8)
    return _View(float(match["yaw"]), float(match["pitch"]), colour, alpha)


def _body_of(alpha: ImageU8) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle and half size (x, y) of the body in a frontal view, straps over the head left out."""
    widths = (alpha > 127).sum(axis=1)
    rows = np.flatnonzero(widths >= 0.5 * max(1, widths.max()))
    columns = np.flatnonzero((alpha[rows] > 127).any(axis=0))
    low = np.array([columns.min(initial=alpha.shape[1]), rows.min()], np.float64)
    high = np.array([columns.max(initial=0), rows.max()], np.float64)
    return (low + high) / 2, np.maximum((high - low) / 2, 1.0)


def _warped(
    layers: tuple[ImageU8, ImageU8],
    patch_from_view: NDArray[np.float64],
    size: tuple[int, int],
    scale: float,
) -> tuple[ImageU8, ImageU8]:
    matrix = patch_from_view.copy()
    reduced = list(layers)
    while scale < 0.6:
        reduced = [np.asarray(cv2.pyrDown(layer), np.uint8) for layer in reduced]
        matrix[:, :2] *= 2
        scale *= 2
    colour, alpha = (
        np.asarray(cv2.warpAffine(layer, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
        for layer in reduced
    )
    return colour, alpha
