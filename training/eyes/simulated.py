"""Eye images of the product's own simulated headset, and pictures that show no eye at all."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.eye_camera import SimulatedEyeCamera
from hmd_capture.head_pose import head_pose
from models.face.mesh import EYES
from streaming.records import EyeObservation, Side
from training.clips.faces import FaceClips
from training.eyes.samples import IRIS, PUPIL, SCLERA, EyeSample, ImageU8

Float32Array = NDArray[np.float32]

CLOSED_FROM = 0.4  # blink from which every frame is taken
WORTH_LOOKING = 0.19  # gap over the eye's width: above it a blink of CLOSED_FROM cannot be
LEAST_CONFIDENCE = 0.3  # of the labels; below it the fusion does not look at them either
NO_EYE_PX = 128
SIDES = (Side.RIGHT, Side.LEFT)


def simulated_eyes(
    clips: FaceClips, split: str, every: int, seed: int, limit: int = 0
) -> Iterator[EyeSample]:
    """Both eyes of every n-th frame, and of every frame in which they are closing.

    Between them come grey patches of faces and of what is around them, away from the eyes.

    Raises:
        FaceDataError: the split is empty or a clip cannot be read.
    """
    random = np.random.default_rng(seed)
    for number, row in enumerate(clips.rows(split)[: limit or None]):
        cameras = [SimulatedEyeCamera(side, number) for side in SIDES]
        meshes = clips.meshes(row)
        for index, (frame, mesh) in enumerate(zip(clips.stream(row), meshes, strict=False)):
            yield from _eyes(cameras, frame, mesh, index % every == 0, row.identity)
            patch = _eyeless(frame, mesh, random) if index % (2 * every) == 0 else None
            if patch is not None:
                yield _nothing(patch)


def _eyes(
    cameras: Sequence[SimulatedEyeCamera],
    frame: ImageU8,
    mesh: Float32Array,
    is_its_turn: bool,
    subject: str,
) -> Iterator[EyeSample]:
    pose = head_pose(mesh)
    for camera in cameras:
        if not is_its_turn and _gap(mesh, camera.side) > WORTH_LOOKING:
            continue  # not closing either
        image, seen = camera.look(frame, mesh, pose, 0)
        if is_its_turn or seen.blink >= CLOSED_FROM:
            yield _sample(image, seen, subject)


def made_up_nothing(count: int, seed: int, split: str) -> Iterator[EyeSample]:
    """Black, white, grey, noise, gradients and blobs: other ones in every split."""
    random = np.random.default_rng((seed, zlib.crc32(split.encode())))
    for _ in range(count):
        kind = int(random.integers(4))
        level = float(random.choice([0, 255, random.uniform(0, 255)]))
        image = np.full((NO_EYE_PX, NO_EYE_PX), level, np.float32)
        if kind == 1:
            image += random.normal(0, random.uniform(2, 80), image.shape)
        elif kind == 2:
            x, y = np.meshgrid(*[np.linspace(-1, 1, NO_EYE_PX)] * 2)
            image += 120 * (random.normal() * x + random.normal() * y + random.normal() * x * y)
        elif kind == 3:
            coarse = random.uniform(0, 255, [int(random.integers(2, 20))] * 2).astype(np.float32)
            size = (NO_EYE_PX, NO_EYE_PX)
            image = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)
        yield _nothing(np.asarray(np.clip(image, 0, 255), np.uint8))


def _sample(image: ImageU8, seen: EyeObservation, subject: str) -> EyeSample:
    if seen.confidence < LEAST_CONFIDENCE:
        return EyeSample(
            image, "simulated unsure", confidence=seen.confidence, source="sim", subject=subject
        )
    return EyeSample(
        image=image,
        group="simulated closing" if seen.blink >= CLOSED_FROM else "simulated open",
        lids=seen.lids,
        pupil=seen.pupil,
        iris=seen.iris,
        labels=_labels(image, seen),
        known_masks=(True, True, True),
        blink=seen.blink,
        confidence=seen.confidence,
        pupil_is_true=True,
        blink_is_true=True,
        source="sim",
        subject=subject,
    )


def _labels(image: ImageU8, seen: EyeObservation) -> ImageU8:
    labels = np.zeros(image.shape, np.uint8)
    opening = np.zeros(image.shape, np.uint8)
    contour = np.concatenate([seen.lids[0], seen.lids[1][::-1]])
    cv2.fillPoly(opening, [np.asarray(np.round(contour * 16), np.int32)], (1.0,), shift=4)
    labels[opening > 0] = SCLERA
    for ellipse, value in ((seen.iris, IRIS), (seen.pupil, PUPIL)):
        x, y, first, second, angle = (float(v) for v in ellipse)
        inside = np.zeros(image.shape, np.uint8)
        cv2.ellipse(inside, ((x, y), (first, second), angle), (1.0,), -1)
        labels[(inside & opening) > 0] = value
    return labels


def _gap(mesh: Float32Array, side: Side) -> float:
    """Gap of the lids over the eye's width in the frame: cheaper than an eye image."""
    points = EYES[side.eye_index]
    upper, lower = mesh[list(points.upper_lid), :2], mesh[list(points.lower_lid), :2]
    width = max(float(np.linalg.norm(upper[8] - upper[0])), 1e-6)
    return float(np.linalg.norm(upper[2:7] - lower[2:7], axis=1).mean()) / width


def _eyeless(frame: ImageU8, mesh: Float32Array, random: np.random.Generator) -> ImageU8 | None:
    """A random square of a frame that is either much larger than an eye or shows none."""
    height, width = frame.shape[:2]
    side = int(random.uniform(0.12, 1.0) * min(height, width))
    left, top = (int(random.integers(0, size - side + 1)) for size in (width, height))
    for eye in EYES:
        points = mesh[[*eye.upper_lid, *eye.lower_lid, *eye.iris_ring], :2]
        low, high = points.min(0), points.max(0)
        touches = (high > (left, top)).all() and (low < (left + side, top + side)).all()
        if touches and float(high[0] - low[0]) > 0.2 * side:
            return None
    patch = frame[top : top + side, left : left + side]
    grey = cv2.transform(patch, np.array([[0.05, 0.30, 0.65]]))
    return np.asarray(cv2.resize(grey, (NO_EYE_PX, NO_EYE_PX)), np.uint8)


def _nothing(image: ImageU8) -> EyeSample:
    return EyeSample(image, "nothing", confidence=0.0, source="nothing")
