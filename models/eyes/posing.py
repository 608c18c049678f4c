"""Opening, closing and turning the eyes of a reference picture before it is warped.

A mesh warp is smooth: it cannot slide a lid over an eyeball, it can only squeeze both. So lids are
moved where the picture was taken, in the eye's own axes: the skin above and below an eye stretches
to where the lids are to be, and between the lids the eyeball shows, turned as the irises say.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import EYES, LEFT_EYE, NOSE_BRIDGE, RIGHT_EYE, EyePoints
from models.reference import Reference
from models.warp import look_up

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

# Lengths in widths of the eye, from the line of its corners.
SKIN_TOP, SKIN_BOTTOM = -0.5, 0.34  # the skin beyond stays where it is; chosen on val clips
LEAST_SKIN = 0.08  # what always gives way beside a lid
SIDE = 0.62  # the part of the picture that is drawn anew, to either side
MARGIN = 0.1
LID_EDGE = 0.02  # nearer to the lid than this a reference shows lashes, no eyeball
LARGEST_TURN = 0.3
# How far lids close, in widths of the eye, from which they are moved a little, and wholly: drawn
# anew an eye loses a little. On val clips, one view: LPIPS .0216 over all frames (.0255 when always
# moved, .0214 never); blinks keep 1.1 of the 1.2 dB that moving gains around the eyes.
CLOSING = (0.07, 0.13)
MIN_WIDTH_PX = 4.0
FINE_PX = 256  # drawn at least as finely as a crop of this side, then averaged
# Points of the face around an eye that neither lid nor iris moves.
SURROUNDINGS = {
    RIGHT_EYE: (
        *RIGHT_EYE.brow_upper,
        *RIGHT_EYE.brow_lower,
        117,
        118,
        119,
        193,
        168,
        *NOSE_BRIDGE,
    ),
    LEFT_EYE: (*LEFT_EYE.brow_upper, *LEFT_EYE.brow_lower, 346, 347, 348, 417, 168, *NOSE_BRIDGE),
}


@dataclass(frozen=True)
class _Axes:
    """An eye's own axes in a picture: origin between the corners, one unit = the eye's width."""

    origin: Float32Array  # (2,) px
    along: Float32Array  # (2,) towards the image's right, unit length
    across: Float32Array  # (2,) down
    width: float  # px

    @classmethod
    def of(cls, mesh: Float32Array, eye: EyePoints) -> _Axes:
        first, last = mesh[eye.upper_lid[0], :2], mesh[eye.upper_lid[-1], :2]
        chord = last - first
        width = max(float(np.linalg.norm(chord)), 1e-3)
        along = chord / np.float32(width)
        across = np.array([-along[1], along[0]], np.float32)
        return cls((first + last) / 2, along, across, width)

    def scaled(self, scale: float) -> _Axes:
        """The same in the picture at another size."""
        return _Axes(self.origin * np.float32(scale), self.along, self.across, self.width * scale)

    def coordinates(self, points: Float32Array) -> Float32Array:
        offset = points - self.origin
        placed = np.stack([offset @ self.along, offset @ self.across], -1)
        return np.asarray(placed / np.float32(self.width), np.float32)

    def pixels(self, x: Float32Array, y: Float32Array) -> Float32Array:
        placed = x[..., None] * self.along + y[..., None] * self.across
        return np.asarray(self.origin + self.width * placed, np.float32)


@dataclass(frozen=True)
class _Lids:
    """Lids and iris in an eye's own axes."""

    upper: Float32Array  # (9,2)
    lower: Float32Array  # (9,2)
    iris: Float32Array  # (2,)


def with_eyes_of(reference: Reference, mesh: Float32Array) -> Reference:
    """`reference` with lids and irises as `mesh` (478,3) has them; the head stays as it is.

    The mesh may be of any other picture size. Eyes further open than the reference's keep the
    reference's lids: what these hide is not known.
    """
    return EyePoser(reference, reference.image).posed(mesh)[0]


class EyePoser:
    """Poses the eyes of one view for frame after frame."""

    def __init__(self, reference: Reference, full: ImageU8) -> None:
        """`full` (R,R,3) is the reference's picture at another size, or the same."""
        self._reference, self._full = reference, full
        eyes = [_Eye.of(reference.mesh, eye) for eye in EYES]
        self._eyes = [eye for eye in eyes if eye.axes.width >= MIN_WIDTH_PX]

    def posed(self, mesh: Float32Array) -> tuple[Reference, ImageU8]:
        """`with_eyes_of`, and the same of the full picture; themselves where nothing changes."""
        changes = [(eye, eye.wanted(mesh)) for eye in self._eyes]
        changes = [(eye, wanted) for eye, wanted in changes if wanted is not eye.own]
        if not changes:
            return self._reference, self._full
        source, full = self._reference.image, self._full
        is_same, scale = full is source, len(full) / len(source)
        image, posed = source.copy(), self._reference.mesh.copy()
        finer = image if is_same else full.copy()
        for eye, wanted in changes:
            _draw(image, source, eye.axes, eye.own, wanted)
            if not is_same:
                _draw(finer, full, eye.axes.scaled(scale), eye.own, wanted)
            eye.move(posed, wanted)
        return Reference(image, posed, self._reference.matte), finer


@dataclass(frozen=True)
class _Eye:
    """One eye of a view, with what does not change from frame to frame."""

    points: EyePoints
    axes: _Axes
    own: _Lids
    turn_from_points: NDArray[np.float64]  # (2,N): surroundings of another mesh to its turn (2,2)

    @classmethod
    def of(cls, mesh: Float32Array, points: EyePoints) -> _Eye:
        around = mesh[list(SURROUNDINGS[points]), :2]
        solved = np.linalg.pinv(np.column_stack([around, np.ones(len(around))]))[:2]
        axes = _Axes.of(mesh, points)
        return cls(points, axes, _lids(mesh, points, axes), solved)

    def wanted(self, mesh: Float32Array) -> _Lids:
        """Where lids and iris are to be for a frame's `mesh`; `own` if they can stay."""
        return _as_far_as_needed(_no_wider(self._seen(mesh), self.own), self.own)

    def move(self, mesh: Float32Array, wanted: _Lids) -> None:
        """Put the points of the view's `mesh` (478,3) there."""
        lines = ((self.points.upper_lid, wanted.upper), (self.points.lower_lid, wanted.lower))
        for line, lid in lines:
            mesh[list(line), :2] = self.axes.pixels(lid[:, 0], lid[:, 1])
        turn = self.axes.pixels(*wanted.iris) - self.axes.pixels(*self.own.iris)
        mesh[[self.points.iris_centre, *self.points.iris_ring], :2] += turn

    def _seen(self, mesh: Float32Array) -> _Lids:
        """The eye of `mesh` as the view's camera would see it: a turned head is narrower."""
        turn = self.turn_from_points @ mesh[list(SURROUNDINGS[self.points]), :2]
        here = _Axes.of(mesh, self.points)
        down = self.axes.across @ turn
        across = float(here.along[0] * down[1] - here.along[1] * down[0])
        narrower = here.width / self.axes.width / max(across, 1e-3)
        scale = np.array([1, np.clip(narrower, 0.4, 2.5)], np.float32)
        seen = _lids(mesh, self.points, here)
        return _Lids(seen.upper * scale, seen.lower * scale, seen.iris * scale)


def _lids(mesh: Float32Array, eye: EyePoints, axes: _Axes) -> _Lids:
    points = mesh[:, :2]
    return _Lids(
        axes.coordinates(points[list(eye.upper_lid)]),
        axes.coordinates(points[list(eye.lower_lid)]),
        axes.coordinates(points[eye.iris_centre]),
    )


def _no_wider(wanted: _Lids, own: _Lids) -> _Lids:
    """`wanted`, where the reference shows what is to be seen there."""
    upper, lower = wanted.upper.copy(), wanted.lower.copy()
    upper[:, 1] = np.maximum(upper[:, 1], _at(own.upper, upper[:, 0]))
    lower[:, 1] = np.maximum(np.minimum(lower[:, 1], _at(own.lower, lower[:, 0])), upper[:, 1])
    turn = np.clip(wanted.iris - own.iris, -LARGEST_TURN, LARGEST_TURN)
    return _Lids(upper, lower, own.iris + turn)


def _as_far_as_needed(wanted: _Lids, own: _Lids) -> _Lids:
    """Eyes that hardly close stay the picture's own, and `own` is returned: a warp moves them."""
    start, whole = CLOSING
    share = np.float32(np.clip((_gap(own) - _gap(wanted) - start) / (whole - start), 0, 1))
    if share == 0:
        return own
    return _Lids(
        own.upper + share * (wanted.upper - own.upper),
        own.lower + share * (wanted.lower - own.lower),
        own.iris + share * (wanted.iris - own.iris),
    )


def _gap(lids: _Lids) -> float:
    return float(np.mean(lids.lower[2:7, 1] - lids.upper[2:7, 1]))


def _draw(image: ImageU8, source: ImageU8, axes: _Axes, own: _Lids, wanted: _Lids) -> None:
    """Draw one eye anew into `image` from `source`, both (S,S,3)."""
    size = len(source)
    xs = np.array([-SIDE, SIDE, -SIDE, SIDE], np.float32)
    ys = np.array([SKIN_TOP, SKIN_TOP, SKIN_BOTTOM, SKIN_BOTTOM], np.float32)
    corners = axes.pixels(xs, ys + np.sign(ys) * MARGIN)
    left, top = np.clip(np.floor(corners.min(0)), 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)) + 1, 0, size).astype(int)
    if right <= left or bottom <= top:
        return
    fine = max(1, round(FINE_PX / size))
    columns = left + (np.arange((right - left) * fine) + 0.5) / fine - 0.5
    rows = top + (np.arange((bottom - top) * fine) + 0.5) / fine - 0.5
    pixels = np.stack(np.meshgrid(columns, rows), -1).astype(np.float32)
    places = axes.coordinates(pixels)
    x, y = _origins(places[..., 0], places[..., 1], own, wanted)
    drawn = look_up(source, axes.pixels(x, y))
    part = cv2.resize(drawn, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    image[top:bottom, left:right] = part


def _origins(
    x: Float32Array, y: Float32Array, own: _Lids, wanted: _Lids
) -> tuple[Float32Array, Float32Array]:
    """Where in the reference's eye each place (x, y) of the posed eye comes from."""
    own_upper, own_lower = _at(own.upper, x), _at(own.lower, x)
    upper, lower = _at(wanted.upper, x), _at(wanted.lower, x)
    top = np.minimum(SKIN_TOP, np.minimum(own_upper, upper) - LEAST_SKIN)
    bottom = np.maximum(SKIN_BOTTOM, np.maximum(own_lower, lower) + LEAST_SKIN)
    above = top + (y - top) * (own_upper - top) / (upper - top)
    below = bottom - (bottom - y) * (bottom - own_lower) / (bottom - lower)
    turn = wanted.iris - own.iris
    middle = (own_upper + own_lower) / 2
    highest = np.minimum(own_upper + LID_EDGE, middle)
    lowest = np.maximum(own_lower - LID_EDGE, middle)
    ball = np.clip(y - turn[1], highest, lowest)
    is_ball = (y >= upper) & (y <= lower)
    origin_y = np.where(is_ball, ball, np.where(y < upper, above, below))
    is_beyond = (y <= top) | (y >= bottom)
    origin_x = np.where(is_ball, np.clip(x - turn[0], -0.47, 0.47), x)
    return (
        np.asarray(np.where(is_beyond, x, origin_x), np.float32),
        np.asarray(np.where(is_beyond, y, origin_y), np.float32),
    )


def _at(lid: Float32Array, x: Float32Array) -> Float32Array:
    """Height of a lid (9,2) at places along the eye."""
    order = np.argsort(lid[:, 0], kind="stable")
    return np.asarray(np.interp(x, lid[order, 0], lid[order, 1]), np.float32)
