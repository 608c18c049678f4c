"""Input preparation: from a crop with a hole to what the network sees. Shared with training.

The reference is warped onto the current pose by the face mesh, pulled into register with the pixels
that are known around the hole, and blended in with a membrane. The network starts from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models import registration, warp
from models.background.plate import Behind, PlateCrop, draw_matte
from models.bank.layers import Layer, Mixture, Window, backward_maps, draw, window_around
from models.blending import blend
from models.contract import CONTOURS, INPUT_CHANNELS, KNOWN_RGB, MASK, REFERENCE_RGB
from models.exposure import observed_gain, relit
from models.face.mesh import CONTOUR_LINES
from models.face.raster import FaceRaster
from models.memory.session import SessionMemory
from models.reference import Reference as Reference

ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """How a reference was drawn onto a frame, so that it can be drawn again at another size."""

    layers: tuple[Layer, ...]
    maps: tuple[Float32Array, ...]  # one (S,S,2) per layer, px of its reference
    image: ImageU8  # (S,S,3) what they give, before any change of colour
    sharp: Window | None = None  # what was drawn of it as sharp as the views are
    matte: Float32Array | None = None  # (S,S) 1 = the person, in place; None = not known
    behind: Behind | None = None  # the room that was drawn behind them


@dataclass(frozen=True)
class Prepared:
    """One frame, ready for a filler."""

    crop: ImageU8  # (S,S,3) as given
    hidden: MaskU8  # (S,S) 1 = hidden
    mesh: Float32Array  # (478,3) px
    reference: ImageU8  # (S,S,3) warped and aligned reference, blended inside the hole
    drawn: Drawn


def warp_reference(reference: Reference, mesh: Float32Array) -> ImageU8:
    """Reference moved onto the pose of `mesh` (478,3) px, (S,S,3) uint8 BGR."""
    raster = FaceRaster(mesh, len(reference.image))
    return warp.look_up(reference.image, warp.backward_map(mesh, reference.mesh, raster))


def prepare(
    crop: ImageU8,
    hidden: MaskU8,
    mesh: Float32Array,
    mixture: Mixture,
    plate: PlateCrop | None = None,
    memory: SessionMemory | None = None,
) -> Prepared:
    """Prepare one frame from a mixture of views, before the room of `plate` if given.

    What `crop` shows inside the hole is never read. With the `memory` of the frames before,
    registration, light and what is drawn are steadier; `models.preparer` also asks it for the
    landmarks.

    Args:
        crop: (S,S,3) uint8 BGR.
        hidden: (S,S) 1 = fill.
        mesh: (478,3) px.
        mixture: of views of S px.
        plate: what is known of the room behind this crop.
        memory: of the session that the frame is the next of.

    Raises:
        ValueError: sizes disagree.
    """
    size = len(mixture.layers[0].reference.image)
    if crop.shape != (size, size, 3) or hidden.shape != (size, size):
        raise ValueError(
            f"crop {crop.shape} and mask {hidden.shape} do not fit a {size} px reference"
        )
    raster = FaceRaster(mesh, size)
    aligned, drawn = registered(crop, hidden, mesh, mixture, raster, plate, memory)
    blended = blend(aligned, crop, hidden, memory)
    if memory is not None:
        blended = memory.fill.step(blended, crop, hidden, mesh, raster)
    return Prepared(crop, hidden, mesh, blended, drawn)


def registered(
    crop: ImageU8,
    hidden: MaskU8,
    mesh: Float32Array,
    mixture: Mixture,
    raster: FaceRaster,
    plate: PlateCrop | None = None,
    memory: SessionMemory | None = None,
) -> tuple[ImageU8, Drawn]:
    """The views warped, then relit, shifted and tinted as the known pixels ask for, (S,S,3).

    `raster` is that of `mesh`; the others are the arguments of `prepare`.
    """
    prior = registration.load_prior()
    layers, pose = mixture.layers, mixture.pose_change
    maps = backward_maps(layers, mesh, raster)
    image = draw(layers, maps)
    seen = registration.visible_points(mesh, hidden)
    if not seen.any():
        return image, Drawn(layers, tuple(maps), image)
    # What is read around a point beside the hole reaches into it: the view stands for it there.
    gain = observed_gain(compose(image, crop, hidden), image, mesh, seen)
    gain = memory.exposure.step(gain) if memory else gain
    observed = registration.observed_shift(crop, relit(image, gain), hidden, mesh)
    shift = prior.shift.infer(observed, seen, pose, memory.shift if memory else None)
    moved = raster.enlarged(raster.spread(registration.shift_px(shift, mesh)))
    moved += warp.identity_map(len(crop))
    maps = [warp.look_up(backward, moved) for backward in maps]
    sharp = window_around(hidden)
    image = draw(layers, maps, sharp=sharp)
    in_light = relit(image, gain)
    observed = registration.observed_tint(crop, in_light, hidden, mesh)
    tint = prior.tint.infer(observed, seen, pose, memory.tint if memory else None)
    tinted = in_light + raster.enlarged(raster.spread(tint))
    matte = draw_matte(layers, maps)
    behind = None
    if plate is not None and matte is not None:
        behind = Behind(plate.image, plate.share(matte))
        tinted = behind.under(tinted)
    aligned = np.clip(tinted + 0.5, 0, 255).astype(np.uint8)
    return aligned, Drawn(layers, tuple(maps), image, sharp, matte, behind)


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
    red, green, blue = np.maximum(planes, 0)
    # It rounds, and clips above.
    return np.asarray(cv2.convertScaleAbs(cv2.merge([blue, green, red]), alpha=255), np.uint8)


def compose(fill: ImageU8, crop: ImageU8, hidden: MaskU8) -> ImageU8:
    """`fill` inside the hole, `crop` elsewhere, both (S,S,3)."""
    return np.asarray(cv2.copyTo(fill, hidden, crop.copy()), np.uint8)


def planes(image: ImageU8) -> Float32Array:
    """(S,S,3) uint8 BGR as (3,S,S) float32 RGB in 0..1."""
    return np.asarray(cv2.dnn.blobFromImage(image, 1 / 255, swapRB=True)[0], np.float32)
