"""How well a tracker finds the headset and the face under it, against the simulation's truth.

The truth of the mesh is MediaPipe on the bare face: itself an estimate, with errors of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.records import FaceTrack, Truth
from edge.visibility import is_visible
from models.face.mesh import LEFT_EYE, RIGHT_EYE

BOUNDARY_PX = 2.0  # how far an outline may lie from the true one, in a head crop of 256 px
CROP_PX = 256


@dataclass
class TrackerScores:
    """Collects one value per frame; `summary` gives the means."""

    mask_iou: list[float] = field(default_factory=list)
    boundary_f: list[float] = field(default_factory=list)
    visible_nme: list[float] = field(default_factory=list)  # of the outer-eye-corner distance
    hidden_nme: list[float] = field(default_factory=list)
    jitter_px: list[float] = field(default_factory=list)  # one value per clip, at 256 px
    tracked: list[bool] = field(default_factory=list)

    def add(self, track: FaceTrack | None, truth: Truth, crop_side_px: float) -> None:
        """Score one frame; `crop_side_px` is the side of the head's box in the frame."""
        if truth.mesh is None:
            return
        self.tracked.append(track is not None)
        if track is None:
            return
        found = track.mask
        both, either = int((found & truth.mask).sum()), int((found | truth.mask).sum())
        self.mask_iou.append(both / max(either, 1))
        tolerance = BOUNDARY_PX * crop_side_px / CROP_PX
        self.boundary_f.append(boundary_f(found, truth.mask, tolerance))
        corners = truth.mesh[[RIGHT_EYE.outer_corner, LEFT_EYE.outer_corner], :2]
        span = float(np.linalg.norm(corners[0] - corners[1]))
        errors = np.linalg.norm(track.mesh[:, :2] - truth.mesh[:, :2], axis=1) / max(span, 1e-3)
        visible = is_visible(truth.mesh, truth.mask)
        if visible.any():
            self.visible_nme.append(float(errors[visible].mean()))
        if not visible.all():
            self.hidden_nme.append(float(errors[~visible].mean()))

    def summary(self) -> dict[str, float]:
        """Means over frames (jitter: over clips), as docs/INTERFACES.md lists them."""
        values = {
            "mask_iou": self.mask_iou,
            "boundary_f": self.boundary_f,
            "visible_nme": self.visible_nme,
            "hidden_nme": self.hidden_nme,
            "jitter_px": self.jitter_px,
        }
        # A clip whose still frame was never tracked has no jitter to tell.
        means = {
            name: float(np.nanmean(found))
            for name, found in values.items()
            if np.isfinite(found).any()
        }
        return {**means, "tracked_ratio": float(np.mean(self.tracked)) if self.tracked else 0.0}


def boundary_f(found: NDArray[np.uint8], truth: NDArray[np.uint8], tolerance_px: float) -> float:
    """Boundary F-score (Csurka et al. 2013) of (H,W) 0/1 masks at a tolerance; 1 = equal."""
    one, other = _boundary(found), _boundary(truth)
    if not one.any() or not other.any():
        return float(one.any() == other.any())
    precision = (_distance_to(other)[one] <= tolerance_px).mean()
    recall = (_distance_to(one)[other] <= tolerance_px).mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def jitter_px(meshes: NDArray[np.float32], crop_side_px: float) -> float:
    """RMS distance of (T,478,3) meshes of one still face from their mean, at 256 px crops."""
    off = meshes[..., :2] - meshes[..., :2].mean(axis=0)
    return float(np.sqrt((off**2).sum(-1).mean()) * CROP_PX / crop_side_px)


def _boundary(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch its outside; the frame's border is no outline."""
    grown = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inner = cv2.erode(grown, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    return np.asarray((mask > 0) & (inner == 0), np.bool_)


def _distance_to(boundary: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform((~boundary).astype(np.uint8), cv2.DIST_L2, 5))
