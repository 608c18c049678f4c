"""A marker on the headset guides the tracker: exact pose where the network can only guess.

While both are seen, it is learned where the face's points are on the marker's axes. Then the
marker carries the points that the headset hides, the network those it sees; and a head that was
lost is found again where the marker is.
"""

from __future__ import annotations

import logging

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.lens.lens import CalibratedLens
from edge.marker.detector import MarkerChoice, MarkerDetector
from edge.marker.layout import FaceLayout, Sighting
from edge.marker.pose import Lens, MarkerPose, nominal_lens, square_poses
from hmd_capture.head_pose import head_pose
from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.headset.head_crop import HeadCrop, crop_of_mesh
from models.headset.reader import HeadsetReading
from models.warp import look_up
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]

CORNER_PX = 0.15  # expected error of a corner: measured below that, but a sticker is not quite flat
TRUSTED_FACE = 0.7  # probability from which the network's mesh is learned from
WORN = 0.5  # headset probability below which nothing is hidden
OFF_NS = 500_000_000  # unworn for so long: the headset was taken off
RAMP_S = 0.25  # from the network's points to the marker's and back
HEAD_REACH = 0.7  # of the crop's side: how far from its middle the marker may be
FOLLOW_REACH = 2.5  # sides of the marker: how far it may move between two frames
BEHIND_SPANS = 0.75  # eyes behind the headset's front: the first guess
SIDE_SPANS = (0.08, 1.2)  # of the marker: others belong to no headset on this head
ODD_SPANS = 0.12  # marker and visible points disagree by that much for ODD_NS: it sits elsewhere
ODD_NS = 400_000_000
EDGE_SHARE = 0.04  # of the crop's side: how softly hidden goes over into visible
KEPT_NS = 10_000_000_000  # after a loss: then another person may come


class MarkerGuide:
    """Follows one marker and moves the hidden points by it."""

    def __init__(self, choice: MarkerChoice, lens: CalibratedLens | None = None) -> None:
        """Look for `choice`; everything else is learned on the way.

        `lens` is the camera's, where it was measured; else a usual one is assumed.
        """
        self._measured = lens
        self._detector = MarkerDetector(choice)
        self._layout = FaceLayout()
        self._pose: MarkerPose | None = None
        self.lose()
        self._time_ns = self._seen_ns = 0
        self._unworn_ns: int | None = None
        self._odd_ns: int | None = None

    @property
    def is_guiding(self) -> bool:
        """Whether hidden points come from the marker at the moment."""
        return self._share > 0 and self._corners is not None

    def lose(self) -> None:
        """Forget where head and marker are; how they sit on each other is kept for a while."""
        self._corners: FloatArray | None = None  # (4,2) px where the marker was seen last
        self._share = 0.0  # how much the marker has to say
        self._correction: FloatArray | None = None  # (478,3) px, by which it moved the mesh last

    def forget(self) -> None:
        """Forget how the marker sits on the face: the headset was taken off."""
        self._layout.forget()
        self.lose()
        self._odd_ns = None

    def guided(
        self,
        image: ImageU8,
        mesh: Float32Array,
        reading: HeadsetReading,
        crop: HeadCrop,
        time_ns: int,
    ) -> Float32Array:
        """The network's mesh (478,3) px with its hidden points where the marker has them."""
        seconds = max(0.0, (time_ns - self._time_ns) / 1e9)
        self._time_ns = time_ns
        if self._is_off(reading, time_ns):
            return mesh
        lens = self._lens_for(image.shape)
        hidden = _hidden_share(reading)
        carried = None
        seen = self._sighting(image, lens, mesh, crop, hidden, time_ns)
        if seen is not None:
            carried = self._carried(seen, lens, mesh)
            if self._is_odd(carried, mesh, hidden, time_ns):
                carried = None
            elif reading.face >= TRUSTED_FACE:
                self._layout.add(seen)
        return self._blended(mesh, carried, hidden, seconds)

    def crop_again(self, image: ImageU8, time_ns: int) -> HeadCrop | None:
        """Where a lost head must be because the marker is there; None when that is not known."""
        layout = self._layout
        if not layout.is_learned or layout.points is None:
            return None
        if not 0 <= time_ns - self._seen_ns <= KEPT_NS:
            self.forget()
            return None
        lens = self._lens_for(image.shape)
        quads = self._detector.find(image)
        found = [pose for quad in quads for pose in square_poses(lens.rays(quad))]
        if not found:
            return None
        last = self._pose or found[0]
        pose = min(found, key=last.angle_to)  # a head returns much as it went
        return crop_of_mesh(_carried_mesh(pose, layout.points, lens))

    def _lens_for(self, shape: tuple[int, ...]) -> Lens:
        fitting = None if self._measured is None else self._measured.at_shape(shape)
        return nominal_lens(shape) if fitting is None else fitting

    def _is_off(self, reading: HeadsetReading, time_ns: int) -> bool:
        """Whether no headset is worn in this frame; forgets all when it was taken off."""
        if reading.headset >= WORN:
            self._unworn_ns = None
            return False
        if self._unworn_ns is None:
            self._unworn_ns = time_ns
        if time_ns - self._unworn_ns >= OFF_NS:
            self.forget()
        return True

    def _sighting(
        self,
        image: ImageU8,
        lens: Lens,
        mesh: Float32Array,
        crop: HeadCrop,
        hidden: FloatArray,
        time_ns: int,
    ) -> Sighting | None:
        """Marker and mesh in this frame; None where the marker is not seen on this head."""
        self._corners = self._nearest(image, mesh, crop)
        if self._corners is None:
            return None
        corners = lens.rays(self._corners)
        poses = square_poses(corners)
        if not poses:
            return None
        span_px = _span_px(mesh)
        sides_per_px = poses[0].place[2] / lens.focal_px
        eyes = float(mesh[[LEFT_EYE.outer_corner, RIGHT_EYE.outer_corner], 2].mean())
        depth = (mesh[:, 2] - eyes + BEHIND_SPANS * span_px) * sides_per_px
        rays = lens.rays(mesh[:, :2].astype(np.float64))
        start = poses[0]
        spread = CORNER_PX / lens.focal_px
        seen = Sighting(start, corners, spread, rays, depth, hidden < 0.5, time_ns)
        if self._layout.points is None:  # a sticker on the front looks where the face looks
            forward = -head_pose(mesh).frame_from_head[:, 2]
            seen.pose = max(poses, key=lambda pose: forward @ pose.camera_from_marker[:, 2])
        else:
            seen.pose, _ = self._layout.located(seen, poses)
        self._pose, self._seen_ns = seen.pose, time_ns
        return seen

    def _nearest(self, image: ImageU8, mesh: Float32Array, crop: HeadCrop) -> FloatArray | None:
        """The copy of the marker that is on this head: where it was, else nearest to its middle."""
        found: list[FloatArray] = []
        middle = crop.centre.astype(np.float64)
        if self._corners is not None:
            middle = self._corners.mean(axis=0)
            found = self._detector.find(image, middle, FOLLOW_REACH * _side_px(self._corners))
        if not found:
            reach = HEAD_REACH * crop.side_px
            found = self._detector.find(image, crop.centre.astype(np.float64), reach)
        low, high = SIDE_SPANS
        span_px = _span_px(mesh)
        found = [quad for quad in found if low * span_px < _side_px(quad) < high * span_px]
        if not found:
            return None
        return min(found, key=lambda quad: float(np.linalg.norm(quad.mean(axis=0) - middle)))

    def _carried(self, seen: Sighting, lens: Lens, mesh: Float32Array) -> Float32Array | None:
        """The mesh (478,3) px as the marker has it; None while too little was learned."""
        if not self._layout.is_learned or self._layout.points is None:
            return None
        carried = _carried_mesh(seen.pose, self._layout.points, lens)
        carried[:, 2] += np.median(mesh[:, 2] - carried[:, 2])  # z has an origin of its own
        return carried

    def _is_odd(
        self, carried: Float32Array | None, mesh: Float32Array, hidden: FloatArray, time_ns: int
    ) -> bool:
        """Whether the marker puts visible points elsewhere; if it goes on, learn anew."""
        visible = hidden < 0.5
        if carried is None or not visible.any():
            return False
        miss = np.linalg.norm((carried - mesh)[visible, :2], axis=1)
        if float(np.median(miss)) < ODD_SPANS * _span_px(mesh):
            self._odd_ns = None
            return False
        if self._odd_ns is None:
            self._odd_ns = time_ns
        if time_ns - self._odd_ns >= ODD_NS:
            log.info("the marker sits elsewhere on the face now: learning its place anew")
            self._layout.forget()
            self._odd_ns = None
        return True

    def _blended(
        self, mesh: Float32Array, carried: Float32Array | None, hidden: FloatArray, seconds: float
    ) -> Float32Array:
        step = seconds / RAMP_S
        if carried is not None:
            self._share = min(1.0, self._share + step)
            self._correction = hidden[:, None] * (carried - mesh)
        else:  # covered: go over to the network's points from where they are
            self._share = max(0.0, self._share - step)
        if self._correction is None or self._share == 0:
            return mesh
        return np.asarray(mesh + self._share * self._correction, np.float32)


def _carried_mesh(pose: MarkerPose, points: FloatArray, lens: Lens) -> Float32Array:
    """Points (N,3) on the marker's axes -> px of the frame, z on the same scale."""
    seen = pose.in_camera(points)
    depth = (seen[:, 2:] - pose.place[2]) * lens.focal_px / pose.place[2]
    found = np.concatenate([lens.pixels(pose.rays(points)), depth], axis=1)
    return np.asarray(found, np.float32)


def _hidden_share(reading: HeadsetReading) -> FloatArray:
    """(N,) how much each point of a reading is hidden by the headset, 0..1, softly."""
    size = reading.mask.shape[0]
    width = 2 * round(EDGE_SHARE * size) + 1
    soft = np.asarray(cv2.blur(reading.mask, (width, width)), np.float32)
    places = reading.mesh[None, :, :2] * size - 0.5
    share = look_up(soft, places)
    steep = np.clip((share[0].astype(np.float64) - 0.2) / 0.6, 0, 1)
    return np.asarray(steep**2 * (3 - 2 * steep))


def _side_px(corners: FloatArray) -> float:
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).mean())


def _span_px(mesh: Float32Array) -> float:
    return float(np.linalg.norm(mesh[LEFT_EYE.outer_corner] - mesh[RIGHT_EYE.outer_corner]))
