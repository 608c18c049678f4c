"""Draws a procedural headset over a face, in the pose of its mesh."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Canvas, Patch
from hmd_capture.head_pose import (
    CAMERA_DISTANCE_SPANS,
    HeadPose,
    head_pose,
    least_hidden_box,
)
from hmd_capture.headset_shape import HeadsetShape, HeadsetStyle, fitted, front_texture, styled

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

# The way light travels from, in the frame: above, a little from the image's left.
TOWARDS_LIGHT = np.array([-0.30, -0.70, -0.65])
AMBIENT, DIFFUSE = 0.50, 0.55
FACING = 1e-3  # faces seen more edge-on than this are left out
USUAL_BRIGHTNESS = 118.0  # mean grey value of a frame in which the colours need no change


class Headset(Protocol):
    """Something that can be drawn over a face."""

    def draw(self, mesh: Float32Array, image: ImageU8) -> Patch | None:
        """Draw over a (478,3) px mesh of an (H,W,3) image; None if all of it is outside."""
        ...


class ProceduralHeadset:
    """A headset drawn from a style; the same seed draws the same headset."""

    def __init__(self, style_name: str | None, seed: int) -> None:
        """Choose by name, or by seed alone if None. Raises ValueError for an unknown name."""
        rng = np.random.default_rng(seed)
        self.style: HeadsetStyle = styled(style_name, rng)
        self._textures = front_texture(self.style, rng)

    def draw(self, mesh: Float32Array, image: ImageU8) -> Patch | None:
        """Draw over a (478,3) px mesh of an (H,W,3) image; None if all of it is outside."""
        pose = head_pose(mesh)
        shape = fitted(self.style, pose.half_face_width)
        rings_px = pose.project(shape.rings)
        bands_px = [pose.project(band) for band in shape.bands]
        box_px = least_hidden_box(mesh)
        outlines = [rings_px.reshape(-1, 2), *(band.reshape(-1, 2) for band in bands_px), box_px]
        canvas = Canvas.over(np.concatenate(outlines), image.shape)
        if canvas is None:
            return None
        for band, band_px in zip(shape.bands, bands_px, strict=True):
            canvas.strip(band_px, _shaded(pose, band, self.style.strap))
        # Light seal and silhouette first: no skin may show between the faces drawn on top.
        canvas.polygon(box_px, self.style.foam)
        canvas.polygon(_hull(rings_px), self.style.foam)
        self._draw_body(canvas, pose, shape, rings_px)
        return canvas.reduced(light_of(image))

    def _draw_body(
        self, canvas: Canvas, pose: HeadPose, shape: HeadsetShape, rings_px: FloatArray
    ) -> None:
        for index, colour in enumerate(shape.ring_colours):
            between = slice(index, index + 2)
            colours = _shaded(pose, _closed(shape.rings[between]), colour)
            canvas.strip(_closed(rings_px[between]), colours)
        forward = -pose.frame_from_head[:, 2]
        if forward[2] >= 0:
            return  # turned away: the front is out of sight
        light = AMBIENT + DIFFUSE * max(0.0, float(forward @ TOWARDS_LIGHT))
        canvas.polygon(
            _hull(rings_px[-1]), [min(255.0, light * value) for value in self.style.plate]
        )
        canvas.picture(self._textures, pose.project(shape.front_corners), light)


def light_of(image: ImageU8) -> float:
    """Return how bright an (H,W,3) frame is compared with an ordinary one, 0.55..1.2."""
    step = max(1, min(image.shape[:2]) // 24)
    return float(np.clip(image[::step, ::step].mean() / USUAL_BRIGHTNESS, 0.55, 1.2))


def _closed(lines: FloatArray) -> FloatArray:
    return np.concatenate([lines, lines[:, :1]], axis=1)


def _hull(points_px: FloatArray) -> FloatArray:
    hull = cv2.convexHull(points_px.reshape(-1, 2).astype(np.float32))
    return np.asarray(hull.reshape(-1, 2), np.float64)


def _shaded(
    pose: HeadPose, edges: FloatArray, colour: FloatArray | tuple[float, float, float]
) -> FloatArray:
    """Colours (K-1,3) of the quads between two lines (2,K,3); NaN where they face away."""
    turned = pose.turned(edges)
    along = turned[0, 1:] - turned[1, :-1]
    across = turned[1, 1:] - turned[0, :-1]
    normals = np.cross(across, along)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = AMBIENT + DIFFUSE * np.clip(normals @ TOWARDS_LIGHT, 0, None)
    # Perspective: what is seen depends on the line of sight, not on the viewing axis alone.
    middle = turned.mean(axis=0)
    sight = (middle[1:] + middle[:-1]) / 2 + (0, 0, CAMERA_DISTANCE_SPANS)
    shown = np.einsum("ij,ij->i", normals, sight) < -FACING
    colours = np.minimum(255, light[:, None] * np.asarray(colour))
    return np.where(shown[:, None], colours, np.nan)
