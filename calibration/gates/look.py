"""One frame as the gates see it: cut out and measured once, for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bare_face_trackers import choose_face
from edge.light.skin import typical_grey, typical_lab
from edge.profile import STORED_PX
from hmd_capture.head_pose import HeadPose, head_pose
from models.covers.contract import REGIONS
from models.covers.reader import CoverReader
from models.face.alignment import crop_from_mesh, cut_crop, mesh_to_crop
from models.face.mesh import EYES, FACE_OVAL
from streaming.records import Float32Array, ImageU8

SKIN = ("right cheek", "left cheek", "forehead")
# Glasses reach this far around an eye: half axes, in widths of the eye.
LENS = (1.1, 0.8)


@dataclass(frozen=True)
class Look:
    """A frame and the faces that were found in it; everything else is worked out when asked for."""

    image: ImageU8  # (H,W,3) BGR
    meshes: Sequence[Float32Array]  # each (478,3) px of `image`
    reader: CoverReader
    previous: Float32Array | None = None  # whom to follow when there are several

    @cached_property
    def mesh(self) -> Float32Array | None:
        """(478,3) px of the face that is looked at."""
        return choose_face(self.meshes, self.previous)

    @cached_property
    def face(self) -> Float32Array:
        """The same, where it is known that there is one."""
        if self.mesh is None:
            raise ValueError("there is no face in this frame")
        return self.mesh

    @cached_property
    def pose(self) -> HeadPose:
        """How the head is turned."""
        return head_pose(self.face)

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the face oval, px of the image; may lie outside of it."""
        oval = self.face[list(FACE_OVAL), :2]
        (left, top), (right, bottom) = oval.min(axis=0), oval.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    @cached_property
    def crop(self) -> ImageU8:
        """(S,S,3) the head, `STORED_PX` a side."""
        return cut_crop(self.image, crop_from_mesh(self.face, STORED_PX), STORED_PX)

    @cached_property
    def crop_mesh(self) -> Float32Array:
        """(478,3) px of `crop`."""
        return mesh_to_crop(self.face, crop_from_mesh(self.face, STORED_PX))

    @cached_property
    def skin(self) -> ImageU8:
        """(N,3) pixels of the face oval."""
        return self._inside([FACE_OVAL])

    @cached_property
    def skin_lab(self) -> Float32Array:
        """(3,) L* 0..100, a*, b* of the typical colour of cheeks and forehead."""
        return typical_lab(self._inside([REGIONS[name] for name in SKIN]))

    @cached_property
    def covered(self) -> dict[str, float]:
        """Per region of the face, 0..1 that something lies over it."""
        return self.reader.covered(self.image, self.face)

    def brightness(self, region: str) -> float:
        """Median grey value of a region."""
        return typical_grey(self._inside([REGIONS[region]]))

    def around_eyes(self) -> tuple[ImageU8, ImageU8]:
        """(N,3) pixels around the (right, left) eye, as far as glasses reach."""
        oval = self._shape([FACE_OVAL])  # what is behind the temples may be bright
        found = []
        for eye in EYES:
            lids = self.crop_mesh[[*eye.upper_lid, *eye.lower_lid], :2]
            corners = self.crop_mesh[[eye.outer_corner, eye.inner_corner], :2]
            width = float(np.linalg.norm(corners[1] - corners[0]))
            (x, y), (wide, high) = lids.mean(axis=0).tolist(), LENS
            shape = np.zeros(self.crop.shape[:2], np.uint8)
            cv2.ellipse(shape, ((x, y), (2 * wide * width, 2 * high * width), 0.0), (1.0,), -1)
            found.append(self._pixels(shape & oval))
        return found[0], found[1]

    def _inside(self, outlines: Sequence[Sequence[int]]) -> ImageU8:
        return self._pixels(self._shape(outlines))

    def _shape(self, outlines: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
        """(S,S) 1 inside the hulls of mesh points."""
        shape = np.zeros(self.crop.shape[:2], np.uint8)
        for points in outlines:
            hull = cv2.convexHull(np.round(self.crop_mesh[list(points), :2]).astype(np.int32))
            cv2.fillConvexPoly(shape, hull, (1.0,))
        return shape

    def _pixels(self, shape: NDArray[np.uint8]) -> ImageU8:
        pixels = self.crop[shape > 0]
        return pixels if len(pixels) else np.zeros((1, 3), np.uint8)
