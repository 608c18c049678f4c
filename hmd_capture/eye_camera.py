"""A simulated eye camera: looks at one eye of a bare face from below, in infrared-like grey.

The camera is fixed to the head, so its picture does not move when the head does; what it shows is
cut from the camera frame, and the labels are the mesh's points in the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.head_pose import HeadPose
from models.face.mesh import EYES, EyePoints
from streaming.records import EyeObservation, Float32Array, ImageU8, Side

FloatArray = NDArray[np.float64]

IMAGE_SIZE_PX = (128, 96)  # width, height
# The part of the face that fills the image, in spans from the middle of the eye: corners in the
# order top left, top right, bottom right, bottom left. The camera sits below and looks up, so the
# lower edge is nearer to it and shows less of the face.
FIELD = np.array([(-0.27, -0.175), (0.27, -0.175), (0.205, 0.165), (-0.205, 0.165)])
PUPIL_OF_IRIS = 0.42  # a mesh has no pupil: its diameter is taken as this part of the iris's
# Mean gap of the lids over the eye's width, as the camera sees it: open and closed. Measured
# on webcam clips; each wearer differs, which is what the eye calibration is for.
GAP_OPEN, GAP_CLOSED = 0.22, 0.09
MAX_TURN_DEG = 55.0  # beyond this the far eye is only guessed by the mesh
FULL_DETAIL_PX = 24.0  # an eye this wide in the frame gives trustworthy labels
NOISE_IMAGES = 8
PUPIL_GREY, IRIS_FLOOR = 22.0, 46.0
# Seen from the side the face's plane is a line, and nothing of the eye is in the frame.
MIN_AREA_PX, MIN_AREA_SPANS = 0.01, 0.01


@dataclass(frozen=True)
class EyeLabels:
    """What the mesh says about one eye, in px of the eye image."""

    lids: Float32Array  # (2,9,2)
    iris: Float32Array  # (5,) centre x, y, axes, angle in degrees
    pupil: Float32Array  # (5,)
    blink: float  # 0 open … 1 closed
    confidence: float  # 0..1


# What is said of an eye that the frame does not show.
BLIND = EyeLabels(
    lids=np.zeros((2, 9, 2), np.float32),
    iris=np.zeros(5, np.float32),
    pupil=np.zeros(5, np.float32),
    blink=0.0,
    confidence=0.0,
)


class SimulatedEyeCamera:
    """One eye's camera; the same seed and the same frames give the same images."""

    def __init__(self, side: Side, seed: int) -> None:
        """Place it at the wearer's right or left eye."""
        self.side = side
        self._points: EyePoints = EYES[side.eye_index]
        rng = np.random.default_rng((seed, side.eye_index))
        width, height = IMAGE_SIZE_PX
        self._noise = [
            rng.normal(0.0, 2.5, (height, width)).astype(np.float32) for _ in range(NOISE_IMAGES)
        ]
        self._vignette = _vignette(rng)
        self._glint = rng.uniform(-0.3, 0.3, 2)  # where the infrared light is reflected
        self._taken = 0

    def look(
        self, image: ImageU8, mesh: Float32Array, pose: HeadPose, capture_time_ns: int
    ) -> tuple[ImageU8, EyeObservation]:
        """Return the (96,128) grey eye image and its labels as an observation.

        `image` is the bare (H,W,3) BGR frame, `mesh` its (478,3) px mesh, `pose` that mesh's pose.
        """
        corners = self._corners_px(mesh, pose)
        if _area(corners) < max(MIN_AREA_PX, MIN_AREA_SPANS * pose.span_px**2):
            labels, picture = BLIND, self._dark()
        else:
            eye_from_frame = _homography(corners)
            labels = self._labels(mesh, pose, eye_from_frame, corners, image.shape)
            picture = self._picture(image, eye_from_frame, corners, labels)
        observation = EyeObservation(
            side=self.side,
            capture_time_ns=capture_time_ns,
            lids=labels.lids,
            pupil=labels.pupil,
            iris=labels.iris,
            blink=labels.blink,
            confidence=labels.confidence,
        )
        return picture, observation

    def _corners_px(self, mesh: Float32Array, pose: HeadPose) -> FloatArray:
        """Where the image's corners are in the frame, (4,2) px."""
        eye = mesh[[self._points.inner_corner, self._points.outer_corner], :2].mean(axis=0)
        field = np.column_stack([FIELD, np.zeros(4)])
        return np.asarray(eye + pose.turned(field)[:, :2] * pose.span_px)

    def _labels(
        self,
        mesh: Float32Array,
        pose: HeadPose,
        eye_from_frame: FloatArray,
        corners: FloatArray,
        frame_shape: tuple[int, ...],
    ) -> EyeLabels:
        points = self._points
        order = [*points.upper_lid, *points.lower_lid, *points.iris_ring]
        own = cv2.perspectiveTransform(mesh[None, order, :2].astype(np.float64), eye_from_frame)[0]
        lids = np.asarray(own[:18].reshape(2, 9, 2), np.float32)
        iris = _ellipse(own[18:])
        pupil = iris.copy()
        pupil[2:4] *= PUPIL_OF_IRIS
        return EyeLabels(
            lids=lids,
            iris=iris,
            pupil=pupil,
            blink=_blink(lids),
            confidence=_confidence(pose, points, corners, frame_shape),
        )

    def _picture(
        self,
        image: ImageU8,
        eye_from_frame: FloatArray,
        corners: FloatArray,
        labels: EyeLabels,
    ) -> ImageU8:
        width, height = IMAGE_SIZE_PX
        region, offset, scale = _region(image, corners)
        # Region px -> frame px -> eye image px.
        frame_from_region = np.array(
            [[scale, 0, offset[0]], [0, scale, offset[1]], [0, 0, 1.0]], np.float64
        )
        grey = cv2.warpPerspective(
            cv2.transform(region, np.array([[0.05, 0.30, 0.65]])),  # infrared is nearest to red
            eye_from_frame @ frame_from_region,
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        exposed = _exposed(grey.astype(np.float32))
        self._draw_pupil(exposed, labels)
        return self._developed(exposed * self._vignette)

    def _dark(self) -> ImageU8:
        return self._developed(np.full(IMAGE_SIZE_PX[::-1], 16, np.float32))

    def _developed(self, exposed: Float32Array) -> ImageU8:
        """Add the sensor's noise."""
        self._taken += 1
        noisy = exposed + self._noise[self._taken % NOISE_IMAGES]
        return np.asarray(np.clip(noisy, 0, 255), np.uint8)

    def _draw_pupil(self, grey: Float32Array, labels: EyeLabels) -> None:
        """Darken the pupil and add the lamp's reflection where the lids leave them in view."""
        opening = np.concatenate([labels.lids[0], labels.lids[1][::-1]])
        seen = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(seen, [_fixed(opening)], (255.0,), cv2.LINE_AA, shift=4)
        pupil = np.zeros(grey.shape, np.uint8)
        x, y, across, along, angle = (float(value) for value in labels.pupil)
        if not (0 < across < 200 and 0 < along < 200 and abs(x) < 500 and abs(y) < 500):
            return  # a mesh gone wild, far outside the image
        cv2.ellipse(pupil, ((x, y), (across, along), angle), (255.0,), -1, cv2.LINE_AA)
        share = cv2.GaussianBlur(cv2.min(pupil, seen), (3, 3), 0).astype(np.float32) / 255
        grey *= 1 - share
        grey += PUPIL_GREY * share
        spot = np.array([x, y]) + self._glint * across
        if cv2.pointPolygonTest(opening, (float(spot[0]), float(spot[1])), False) > 0:
            centre = (round(float(spot[0]) * 16), round(float(spot[1]) * 16))
            cv2.circle(grey, centre, 24, (235.0,), -1, cv2.LINE_AA, shift=4)


def _area(corners: FloatArray) -> float:
    """Signed area of the eye camera's field in the frame, px²; negative when seen from behind."""
    across, along = corners[2] - corners[0], corners[3] - corners[1]
    return float(across[0] * along[1] - across[1] * along[0]) / 2


def _homography(corners: FloatArray) -> FloatArray:
    """Eye image px from frame px."""
    width, height = IMAGE_SIZE_PX
    image = np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), image), np.float64)


def _region(image: ImageU8, corners: FloatArray) -> tuple[ImageU8, tuple[int, int], float]:
    """The part of the frame that the eye image needs, reduced if it is much larger.

    Returns the part, its offset in the frame and the frame's px per px of the part.
    """
    height, width = image.shape[:2]
    limits = (width - 1, height - 1)
    left, top = (int(v) for v in np.clip(np.floor(corners.min(axis=0)) - 2, 0, limits))
    right, bottom = (int(v) for v in np.clip(np.ceil(corners.max(axis=0)) + 3, 1, limits) + 1)
    region = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    scale = max(region.shape[:2]) / (1.5 * IMAGE_SIZE_PX[0])
    if scale <= 1.5:
        return region, (left, top), 1.0
    size = (max(1, round(region.shape[1] / scale)), max(1, round(region.shape[0] / scale)))
    small = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), (left, top), region.shape[1] / size[0]


def _exposed(grey: Float32Array) -> Float32Array:
    """The camera's automatic exposure: bright skin, dark iris, whatever the room's light."""
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    gain = min(42.0 / max(deviation, 1e-3), 4.0)
    # In infrared only the pupil is black, even where the iris is brown.
    return np.asarray(np.maximum(138.0 + (grey - mean) * gain, IRIS_FLOOR), np.float32)


def _vignette(rng: np.random.Generator) -> Float32Array:
    width, height = IMAGE_SIZE_PX
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    x, y = x - rng.uniform(-0.15, 0.15), y - rng.uniform(0.0, 0.25)  # the lamps are below
    return np.asarray(1.06 - 0.22 * (x**2 + y**2), np.float32)


def _ellipse(ring: FloatArray) -> Float32Array:
    """OpenCV's (5,) ellipse through the four iris points: right, top, left, bottom."""
    across, along = ring[0] - ring[2], ring[1] - ring[3]
    angle = np.degrees(np.arctan2(across[1], across[0]))
    centre = ring.mean(axis=0)
    axes = np.linalg.norm(across), np.linalg.norm(along)
    return np.array([*centre, *axes, (angle + 90) % 180 - 90], np.float32)


def _blink(lids: Float32Array) -> float:
    gap = np.linalg.norm(lids[0, 2:7] - lids[1, 2:7], axis=1).mean()
    width = max(float(np.linalg.norm(lids[0, 8] - lids[0, 0])), 1e-6)
    return float(np.clip((GAP_OPEN - gap / width) / (GAP_OPEN - GAP_CLOSED), 0.0, 1.0))


def _confidence(
    pose: HeadPose, points: EyePoints, corners: FloatArray, frame_shape: tuple[int, ...]
) -> float:
    """How far the labels can be trusted: eye in the frame, large enough, not turned away."""
    limits = np.array(frame_shape[1::-1], np.float64) - 1
    low, high = corners.min(axis=0), corners.max(axis=0)
    inside = np.clip(np.minimum(high, limits) - np.maximum(low, 0), 0, None) / (high - low + 1e-9)
    detail = min(1.0, 0.3 * pose.span_px / FULL_DETAIL_PX)
    # The eye on the side the head turns to is the far one.
    is_image_left = points.outer_corner == EYES[0].outer_corner
    away = -pose.yaw_deg if is_image_left else pose.yaw_deg
    facing = float(np.clip((MAX_TURN_DEG - away) / 15.0, 0.0, 1.0))
    return float(inside.prod()) * detail * facing


def _fixed(points: Float32Array) -> NDArray[np.int32]:
    return np.asarray(np.round(np.clip(points, -2000, 2000) * 16), np.int32)
