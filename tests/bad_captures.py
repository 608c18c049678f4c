"""Bad captures made of good ones: what people do wrong in front of a camera, done to real clips.

Drawn otherwise than what CoverNet was trained on (`training/face_covers`): other shapes, and hands
with fingers of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.eyes.measures import mesh_apertures
from hmd_capture.head_pose import head_pose
from models.face.mesh import EYES, FOREHEAD_TOP, LEFT_SIDE, RIGHT_SIDE
from streaming.records import Float32Array, ImageU8

Choose = Callable[[Float32Array], bool]  # by the mesh
Degrade = Callable[[ImageU8, Float32Array], ImageU8]  # (256,256,3) and its mesh


@dataclass(frozen=True)
class BadCapture:
    """One way to spoil a capture, and the gates whose advice is right for it."""

    name: str
    degrade: Degrade
    right: frozenset[str]
    choose: Choose | None = None  # which frames of a clip are bad by themselves


def u8(values: object) -> ImageU8:
    return np.clip(np.asarray(values, np.float64) + 0.5, 0, 255).astype(np.uint8)


def blurred(sigma: float) -> Degrade:
    return lambda image, mesh: u8(cv2.GaussianBlur(image, (0, 0), sigma))


def moved(image: ImageU8, mesh: Float32Array) -> ImageU8:
    kernel = np.zeros((27, 27), np.float32)
    cv2.line(kernel, (0, 8), (26, 18), 1.0, 2)
    return u8(cv2.filter2D(image, -1, kernel / kernel.sum()))


def scaled(blue: float, green: float, red: float) -> Degrade:
    return lambda image, mesh: u8(image * np.array([blue, green, red]))


def noisy_dark(image: ImageU8, mesh: Float32Array) -> ImageU8:
    noise = np.random.default_rng(int(image.sum()) % 1000).normal(0, 5, image.shape)
    return u8(image * 0.12 + noise)


def grey(image: ImageU8, mesh: Float32Array) -> ImageU8:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)


def over_exposed(image: ImageU8, mesh: Float32Array) -> ImageU8:
    return u8(image * 2.4 + 40)


def side_lit(image: ImageU8, mesh: Float32Array) -> ImageU8:
    across = np.arange(image.shape[1])[None, :, None] - mesh[4, 0]
    return u8(image * (0.1 + 0.9 / (1 + np.exp(-across / 8))))


def small(share: float) -> Degrade:
    """Somebody at the far end of a room."""

    def degrade(image: ImageU8, mesh: Float32Array) -> ImageU8:
        room = np.full((360, 480, 3), image[:20].reshape(-1, 3).mean(axis=0), np.uint8)
        side = round(256 * share)
        room[120 : 120 + side, 200 : 200 + side] = cv2.resize(
            image, (side, side), interpolation=cv2.INTER_AREA
        )
        return room

    return degrade


def beside(image: ImageU8, mesh: Float32Array) -> ImageU8:
    """The face leaves the picture at its side."""
    middle = int(mesh[4, 0])
    return np.ascontiguousarray(image[:, max(0, middle - 22) :])


def too_near(image: ImageU8, mesh: Float32Array) -> ImageU8:
    """The forehead leaves the picture at its top."""
    top = int((mesh[FOREHEAD_TOP, 1] + mesh[EYES[0].upper_lid[4], 1]) / 2)
    return cv2.resize(image[top:], None, fx=2, fy=2).astype(np.uint8)


def with_friend(image: ImageU8, mesh: Float32Array) -> ImageU8:
    return np.hstack([image, image[:, ::-1]])


def friend_behind(image: ImageU8, mesh: Float32Array) -> ImageU8:
    behind = np.full_like(image, 90)
    behind[40:220, 38:218] = cv2.resize(image[:, ::-1], (180, 180), interpolation=cv2.INTER_AREA)
    return np.hstack([image, behind])


def as_it_is(image: ImageU8, mesh: Float32Array) -> ImageU8:
    return image


def is_profile(mesh: Float32Array) -> bool:
    return abs(head_pose(mesh).yaw_deg) > 42


def is_asleep(mesh: Float32Array) -> bool:
    return max(mesh_apertures(mesh)) < 0.06 and abs(head_pose(mesh).yaw_deg) < 20


def surgical_mask(image: ImageU8, mesh: Float32Array) -> ImageU8:
    outline = mesh[[6, 117, 93, 58, 172, 150, 176, 152, 400, 379, 397, 288, 323, 346], :2]
    masked = image.copy()
    cv2.fillPoly(masked, [np.round(outline).astype(np.int32)], (205, 180, 150), cv2.LINE_AA)
    for share in (0.35, 0.55, 0.75):
        ends = mesh[[93, 323], :2] * (1 - share) + mesh[[172, 397], :2] * share
        start, end = np.round(ends).astype(int).tolist()
        cv2.line(masked, start, end, (180, 155, 125), 1, cv2.LINE_AA)
    return masked


def hand(image: ImageU8, mesh: Float32Array) -> ImageU8:
    """A hand over mouth and nose, as when somebody yawns."""
    covered = np.zeros(image.shape[:2], np.uint8)
    mouth = mesh[13, :2]
    span = float(np.linalg.norm(mesh[LEFT_SIDE, :2] - mesh[RIGHT_SIDE, :2]))
    for index in range(4):
        tip = mouth + span * np.array([-0.28, -0.16 + 0.14 * index])
        root = mouth + span * np.array([0.55, -0.1 + 0.14 * index])
        start, end = np.round(tip).astype(int).tolist(), np.round(root).astype(int).tolist()
        cv2.line(covered, start, end, 255.0, round(0.13 * span), cv2.LINE_AA)
    palm = np.round(mouth + span * np.array([0.62, 0.15])).astype(int).tolist()
    cv2.ellipse(covered, palm, (round(0.3 * span), round(0.36 * span)), 20, 0, 360, 255.0, -1)
    columns, rows = np.round(mesh[[50, 280], :2]).astype(int).T
    skin = np.median(image[rows, columns], axis=0)
    depth = np.minimum(cv2.distanceTransform(covered, cv2.DIST_L2, 3) / (0.06 * span), 1)
    share = covered[..., None] / 255
    return u8(image * (1 - share) + skin * (0.7 + 0.3 * depth[..., None]) * share)


def hair_curtain(image: ImageU8, mesh: Float32Array) -> ImageU8:
    """A long fringe of many strands down to the nose."""
    random = np.random.default_rng(5)
    hair = image.copy()
    left, right = mesh[RIGHT_SIDE, 0], mesh[LEFT_SIDE, 0]
    top, low = mesh[FOREHEAD_TOP, 1] - 12, mesh[5, 1]
    for x in np.linspace(left, right, 150):
        shade = random.uniform(0.6, 1.3) * np.array([22.0, 32.0, 48.0])
        end = (round(x + random.normal(0, 5)), round(low + random.normal(0, 6)))
        cv2.line(hair, (round(x), round(top)), end, shade.tolist(), 2, cv2.LINE_AA)
    return hair


def lenses(mesh: Float32Array) -> NDArray[np.uint8]:
    shape = np.zeros((256, 256), np.uint8)
    for eye in EYES:
        corners = mesh[[eye.inner_corner, eye.outer_corner], :2]
        middle, width = corners.mean(axis=0), float(np.linalg.norm(corners[1] - corners[0]))
        low = middle - np.array([0.85, 0.4]) * width
        high = middle + np.array([0.85, 0.65]) * width
        start, end = np.round(low).astype(int).tolist(), np.round(high).astype(int).tolist()
        cv2.rectangle(shape, start, end, 255.0, -1)
    return u8(cv2.GaussianBlur(shape, (0, 0), 1))


def sunglasses(image: ImageU8, mesh: Float32Array) -> ImageU8:
    share = lenses(mesh)[..., None] / 255 * 0.93
    return u8(image * (1 - share) + np.array([25.0, 22.0, 20.0]) * share)


def mirroring_glasses(image: ImageU8, mesh: Float32Array) -> ImageU8:
    """The window is seen in the glasses: a bright slanted patch on each lens."""
    light = np.zeros((256, 256), np.uint8)
    for eye in EYES:
        x, y = mesh[[eye.inner_corner, eye.outer_corner], :2].mean(axis=0)
        width = float(np.linalg.norm(mesh[eye.outer_corner, :2] - mesh[eye.inner_corner, :2]))
        patch = np.array([[-0.5, -0.35], [0.35, -0.35], [0.6, 0.4], [-0.25, 0.4]]) * width + (x, y)
        cv2.fillPoly(light, [np.round(patch).astype(np.int32)], 255.0, cv2.LINE_AA)
    share = (cv2.GaussianBlur(light, (0, 0), 1.0) / 255)[..., None] * 0.95
    return u8(image * (1 - share) + 250 * share)


def away(image: ImageU8, mesh: Float32Array) -> ImageU8:
    """Nobody sits there: the picture's upper edge, stretched."""
    return cv2.resize(image[:12], (256, 256)).astype(np.uint8)


def _bad(name: str, degrade: Degrade, *right: str, choose: Choose | None = None) -> BadCapture:
    return BadCapture(name, degrade, frozenset(right), choose)


BAD_CAPTURES = (
    _bad("out of focus", blurred(5), "blurred"),
    _bad("slightly out of focus", blurred(3.2), "blurred"),
    _bad("shaken", moved, "blurred"),
    _bad("dark", scaled(0.25, 0.25, 0.25), "too dark"),
    _bad("dark and noisy", noisy_dark, "too dark", "no face"),
    _bad("over-exposed", over_exposed, "too bright"),
    _bad("lit from one side", side_lit, "uneven light", "too dark"),
    _bad("green light", scaled(0.55, 1.25, 0.6), "wrong colour"),
    _bad("blue light", scaled(1.5, 0.75, 0.5), "wrong colour"),
    _bad("grey camera", grey, "no colour"),
    _bad("far away", small(0.4), "too far"),
    _bad("at the side", beside, "cut off", "no face"),
    _bad("too near", too_near, "cut off", "no face"),
    _bad("two people", with_friend, "two faces"),
    _bad("somebody behind", friend_behind, "two faces"),
    _bad("eyes shut", as_it_is, "eyes closed", choose=is_asleep),
    _bad("profile", as_it_is, "turned too far", "turned away", "no face", choose=is_profile),
    _bad("medical mask", surgical_mask, "face covered"),
    _bad("hand over the mouth", hand, "face covered"),
    _bad("hair over the eyes", hair_curtain, "eyes covered", "face covered", "no face"),
    _bad("sunglasses", sunglasses, "eyes covered"),
    _bad("mirroring glasses", mirroring_glasses, "glare", "eyes covered"),
    _bad("nobody", away, "no face"),
)
