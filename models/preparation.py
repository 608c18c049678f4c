"""Input preparation: from a crop with a hole to what the network sees. Shared with training.

The reference is warped onto the current pose by the face mesh, pulled into register with the pixels
that are known around the hole, and blended in with a membrane. The network starts from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models import membrane, warp
from models.contract import CONTOURS, INPUT_CHANNELS, KNOWN_RGB, MASK, REFERENCE_RGB
from models.face_mesh import CONTOUR_LINES

ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

# Damped because the flow is measured beside the hole, not in it. Chosen on the val clips.
ALIGNMENT_GAIN = 0.7
LARGEST_ALIGNMENT_PX = 1.5  # at 128 px
CLEARANCE_RATIO = 0.03  # of the crop's side; nearer to the hole, flow patches see its edge


@dataclass(frozen=True)
class Reference:
    """One view of the bare face, in crop coordinates."""

    image: ImageU8  # (S,S,3) uint8 BGR
    mesh: Float32Array  # (478,3) px of `image`


@dataclass(frozen=True)
class Prepared:
    """One frame, ready for a filler."""

    crop: ImageU8  # (S,S,3) as given
    hidden: MaskU8  # (S,S) 1 = hidden
    mesh: Float32Array  # (478,3) px
    reference: ImageU8  # (S,S,3) warped and aligned reference, blended inside the hole


def warp_reference(reference: Reference, mesh: Float32Array) -> ImageU8:
    """Reference moved onto the pose of `mesh` (478,3) px, (S,S,3) uint8 BGR."""
    return warp.look_up(
        reference.image, warp.backward_map(mesh, reference.mesh, len(reference.image))
    )


def blend(warped: ImageU8, crop: ImageU8, hidden: MaskU8) -> ImageU8:
    """`warped` with its difference to `crop` at the hole's border continued into the hole."""
    known = hidden == 0
    if not known.any():
        return warped
    top, bottom, left, right = _box_around(hidden)
    part = np.s_[top:bottom, left:right]
    difference = crop[part].astype(np.float32) - warped[part]
    blended = warped.copy()
    corrected = warped[part] + membrane.extend(difference, known[part])
    blended[part] = np.clip(corrected + 0.5, 0, 255).astype(np.uint8)
    return blended


def prepare(crop: ImageU8, hidden: MaskU8, mesh: Float32Array, reference: Reference) -> Prepared:
    """Prepare one frame: `crop` (S,S,3) uint8 BGR, `hidden` (S,S) 1 = fill, `mesh` (478,3) px.

    What `crop` shows inside the hole is never read. Raises ValueError when sizes disagree.
    """
    size = len(reference.image)
    if crop.shape != (size, size, 3) or hidden.shape != (size, size):
        raise ValueError(
            f"crop {crop.shape} and mask {hidden.shape} do not fit a {size} px reference"
        )
    backward = warp.backward_map(mesh, reference.mesh, size)
    warped = warp.look_up(reference.image, backward)
    aligned = warp.look_up(reference.image, _aligned(backward, warped, crop, hidden))
    return Prepared(crop, hidden, mesh, blend(aligned, crop, hidden))


def network_input(prepared: Prepared) -> Float32Array:
    """The network's input (8,S,S) float32 in 0..1; see `models.contract` for the channels.

    The reference is given outside the hole too: there its difference to the known pixels tells how
    far geometry and light are still off.
    """
    size = len(prepared.crop)
    inputs = np.empty((INPUT_CHANNELS, size, size), np.float32)
    inputs[KNOWN_RGB] = planes(without(prepared.crop, prepared.hidden))
    inputs[MASK] = prepared.hidden
    inputs[CONTOURS] = contour_image(prepared.mesh, size)
    inputs[REFERENCE_RGB] = planes(prepared.reference)
    return inputs


def without(crop: ImageU8, hidden: MaskU8) -> ImageU8:
    """`crop` (S,S,3) with the hidden pixels black."""
    return np.asarray(cv2.bitwise_and(crop, crop, mask=1 - hidden), np.uint8)


def contour_image(mesh: Float32Array, size_px: int) -> MaskU8:
    """Landmark contours drawn one pixel wide, (S,S) uint8 in {0,1}."""
    image = np.zeros((size_px, size_px), np.uint8)
    points = np.clip(np.rint(mesh[:, :2]), -size_px, 2 * size_px).astype(np.int32)
    cv2.polylines(image, [points[list(line)] for line in CONTOUR_LINES], False, (1,))
    return image


def image_from_planes(planes: Float32Array) -> ImageU8:
    """Network colours (3,S,S) RGB 0..1 as (S,S,3) uint8 BGR, clipped."""
    scaled = np.clip(planes[::-1].transpose(1, 2, 0) * 255 + 0.5, 0, 255)
    return np.ascontiguousarray(scaled.astype(np.uint8))


def compose(fill: ImageU8, crop: ImageU8, hidden: MaskU8) -> ImageU8:
    """`fill` inside the hole, `crop` elsewhere, both (S,S,3)."""
    return np.asarray(cv2.copyTo(fill, hidden, crop.copy()), np.uint8)


def _aligned(
    backward: Float32Array, warped: ImageU8, crop: ImageU8, hidden: MaskU8
) -> Float32Array:
    """`backward`, moved by the flow between reference and frame around the hole."""
    size = len(crop)
    margin = 2 * round(CLEARANCE_RATIO * size) + 1
    near = cv2.dilate(hidden, np.ones((margin, margin), np.uint8)) == 0
    half = (-(-size // 2), -(-size // 2))
    weight = cv2.resize(near.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    if not (weight > 0).any():
        return backward
    seen = cv2.copyTo(warped, hidden, crop.copy())
    unknown_flow = np.zeros((size, size, 2), np.float32)
    flow = _flow_estimator().calc(
        cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY),
        cv2.cvtColor(warped, cv2.COLOR_BGR2GRAY),
        unknown_flow,
    )
    limit = LARGEST_ALIGNMENT_PX * size / 128
    length = np.maximum(cv2.magnitude(flow[..., 0], flow[..., 1]), limit)
    flow = flow * (near * limit / length)[..., None]
    coarse = np.asarray(cv2.resize(flow, half, interpolation=cv2.INTER_AREA), np.float32)
    coarse /= np.maximum(weight, 1e-6)[..., None]
    smooth = cv2.resize(membrane.extend(coarse, weight > 0), (size, size))
    moved = warp.identity_map(size) + ALIGNMENT_GAIN * smooth
    return warp.look_up(backward, np.asarray(moved, np.float32))


def _flow_estimator() -> cv2.DISOpticalFlow:
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    estimator.setFinestScale(1)  # half resolution: the map is smooth anyway, and it takes a quarter
    estimator.setGradientDescentIterations(8)
    estimator.setVariationalRefinementIterations(0)
    estimator.setPatchSize(8)
    estimator.setPatchStride(4)
    return estimator


def _box_around(hidden: MaskU8) -> tuple[int, int, int, int]:
    """Rows and columns of the hole and a rim of one known pixel where there is one."""
    left, top, width, height = cv2.boundingRect(hidden)
    bottom, right = top + height + 1, left + width + 1
    size_y, size_x = hidden.shape
    return max(top - 1, 0), min(bottom, size_y), max(left - 1, 0), min(right, size_x)


def planes(image: ImageU8) -> Float32Array:
    """(S,S,3) uint8 BGR as (3,S,S) float32 RGB in 0..1."""
    return np.multiply(image.transpose(2, 0, 1)[::-1], np.float32(1 / 255), dtype=np.float32)
