"""Which frames of the bare face are kept as views, and at which resolution."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.profile import MAX_STORED_PX
from models.bank.choice import choose_views
from models.bank.look import look_of
from models.face.alignment import crop_from_mesh, cut_crop, mesh_to_crop, upright_box
from models.filling import Reference
from streaming.records import Float32Array, ImageU8

LEAST_STORED_PX = 128  # a smaller face is enlarged to what the smallest network takes
SHARP_ENOUGH = 0.6  # of the sharpest frames' sharpness; one blurred view can cost 2 dB
LEAST_USABLE_SHARE = 0.3  # of the frames, however they compare with the sharpest
LARGEST_LIGHT_RATIO = 1.3  # brightness of a view over the usual one, or the other way round
CLOSED_OPENNESS = 0.5  # both eyes together less open than this: a blink worth keeping


def choose_bank(
    frames: Sequence[ImageU8],
    meshes: Float32Array,
    best: int,
    openness: NDArray[np.float64],
) -> list[int]:
    """Frames to keep as views, `best` first.

    Args:
        frames: (H,W,3) uint8 BGR, each with a face.
        meshes: (T,478,3) px of the frames.
        best: the best frontal view.
        openness: (T,) of both eyes together, 0 = closed.
    """
    light = np.array([_brightness(f, m) for f, m in zip(frames, meshes, strict=True)])
    ratio = light / max(float(np.median(light)), 1.0)
    is_usual = np.maximum(ratio, 1 / np.maximum(ratio, 1e-3)) <= LARGEST_LIGHT_RATIO
    sharpness = np.array([face_sharpness(f, m) for f, m in zip(frames, meshes, strict=True)])
    enough = SHARP_ENOUGH * np.quantile(sharpness, 0.95)
    enough = min(enough, np.quantile(sharpness, 1 - LEAST_USABLE_SHARE))
    usable = is_usual & (sharpness >= enough)
    closed = int(np.where(usable, openness, np.inf).argmin())
    is_blink = bool(openness[closed] < CLOSED_OPENNESS)
    return choose_views([look_of(m) for m in meshes], usable, best, closed if is_blink else None)


def view_of(frame: ImageU8, mesh: Float32Array, stored_px: int | None = None) -> Reference:
    """The crop of a frame (H,W,3) that a profile keeps, with its mesh.

    `stored_px` None = as the camera resolved it, LEAST_STORED_PX to `MAX_STORED_PX`.
    """
    if stored_px is None:
        _, _, side = upright_box(crop_from_mesh(mesh, LEAST_STORED_PX), LEAST_STORED_PX)
        stored_px = min(max(side, LEAST_STORED_PX), MAX_STORED_PX)
    frame_from_crop = crop_from_mesh(mesh, stored_px)
    return Reference(
        cut_crop(frame, frame_from_crop, stored_px), mesh_to_crop(mesh, frame_from_crop)
    )


def face_sharpness(frame: ImageU8, mesh: Float32Array) -> float:
    """Variance of the Laplacian over the whole face at 128 px.

    That around the eyes hardly falls when a video's first frames are coarsely compressed, because
    their blocks have edges too, and falls when an eye closes.
    """
    frame_from_crop = crop_from_mesh(mesh, LEAST_STORED_PX)
    crop = cut_crop(frame, frame_from_crop, LEAST_STORED_PX)
    points = mesh_to_crop(mesh, frame_from_crop)[:, :2]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    part = crop[max(0, int(top)) : int(bottom) + 1, max(0, int(left)) : int(right) + 1]
    if part.size == 0:
        return 0.0
    return float(cv2.Laplacian(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())


def _brightness(frame: ImageU8, mesh: Float32Array) -> float:
    """Mean value (0..255) within the box of the face's inner half."""
    (left, top), (right, bottom) = np.quantile(mesh[:, :2], (0.25, 0.75), axis=0)
    part = frame[max(0, int(top)) : int(bottom) + 1, max(0, int(left)) : int(right) + 1]
    return float(part.mean()) if part.size else 0.0
