"""The clips that a method does worst, and what is special about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.head_pose import head_pose
from training.clips.faces import Float32Array
from training.eyes.live_motion import motion_true
from training.protocol import ScoredClip

WORST = 5
RIM_PX = 6  # known pixels around the hole that tell of its light


def circumstances(clip: ScoredClip) -> dict[str, float]:
    """How far the scored frames of a clip are from its reference, as means over them.

    `turn_deg` between the head poses, `light` of the pixels around the hole (8-bit steps),
    `openness` of the eyes (share of the most open), `movement` from frame to frame (share of the
    crop's side), `texture` inside the hole (standard deviation of its fine detail, 8-bit steps).
    """
    counted = clip.scored
    meshes, truth, hidden = clip.meshes[counted], clip.truth[counted], clip.hidden[counted]
    turns = [_angle_deg(mesh, clip.reference_mesh) for mesh in meshes]
    both = np.concatenate([meshes, clip.reference_mesh[None]])
    openness = motion_true(both, clip.reference_mesh).openness.mean(1)
    steps = np.linalg.norm(np.diff(clip.meshes[..., :2], axis=0), axis=2)
    return {
        "turn_deg": float(np.mean(turns)),
        "light": float(
            np.mean([_light(clip, *frame) for frame in zip(truth, hidden, strict=True)])
        ),
        "openness": float(np.abs(openness[:-1] - openness[-1]).mean()),
        "movement": float(steps.mean() / clip.truth.shape[1]) if len(steps) else 0.0,
        "texture": float(np.mean([_texture(*frame) for frame in zip(truth, hidden, strict=True)])),
    }


def worst_clips(
    document: Mapping[str, Any], told: Mapping[str, Mapping[str, float]]
) -> dict[str, list[dict[str, Any]]]:
    """Method: its `WORST` clips by PSNR inside the hole, worst first, with their circumstances.

    Clips in which nothing was hidden have no such PSNR and are left out.

    Each circumstance stands beside the median of all clips (`median`), so that what is out of the
    ordinary can be seen.
    """
    names = next(iter(told.values()), {}).keys()
    medians = {name: float(np.median([clip[name] for clip in told.values()])) for name in names}
    found = {}
    for method, scores in document["methods"].items():
        scored = [item for item in scores["per_clip"].items() if "psnr_masked_db" in item[1]]
        ranked = sorted(scored, key=lambda item: item[1]["psnr_masked_db"])
        found[method] = [
            {
                "segment": segment,
                "psnr_masked_db": clip["psnr_masked_db"],
                "circumstances": dict(told[segment]),
                "median": medians,
            }
            for segment, clip in ranked[:WORST]
        ]
    return found


def _angle_deg(mesh: Float32Array, other: Float32Array) -> float:
    """Angle of the rotation between two head poses."""
    rotation = head_pose(mesh).frame_from_head @ head_pose(other).frame_from_head.T
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def _light(clip: ScoredClip, truth: NDArray[np.uint8], hidden: NDArray[np.uint8]) -> float:
    """How much lighter or darker the pixels around the hole are than the reference's there."""
    around = cv2.dilate(hidden, np.ones((2 * RIM_PX + 1,) * 2, np.uint8)) > hidden
    if not around.any():
        return 0.0
    difference = truth[around].mean(0) - clip.reference_image[around].mean(0)
    return float(np.abs(difference).mean())


def _texture(truth: NDArray[np.uint8], hidden: NDArray[np.uint8]) -> float:
    fine = truth.astype(np.float32) - cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 1.5)
    return float(fine[hidden != 0].std()) if hidden.any() else 0.0
