"""The simulated headset: turns a bare face into what the product would see.

One frame and its face mesh give the camera's frame with a headset over the face and two
eye-camera images, all three of the same instant, and the bare frame stays as the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from hmd_capture.cutouts import CutoutHeadset
from hmd_capture.eye_camera import SimulatedEyeCamera
from hmd_capture.head_pose import head_pose
from hmd_capture.headset_render import Headset, ProceduralHeadset
from streaming.messages import EyeImage
from streaming.records import EyeObservation, Float32Array, ImageU8, Side


@dataclass(frozen=True)
class Worn:
    """One instant of a simulated session."""

    capture_time_ns: int  # of all three images, as given
    camera: ImageU8  # (H,W,3) BGR: the frame with the headset
    truth: ImageU8  # (H,W,3) BGR: the bare frame
    hidden: NDArray[np.uint8]  # (H,W) 1 = headset; exactly where camera and truth differ
    eyes: tuple[ImageU8, ImageU8]  # (right, left) grey (96,128)
    observations: tuple[EyeObservation, EyeObservation]  # (right, left), read off the true mesh

    def eye_images(self, frame_id: int) -> tuple[EyeImage, EyeImage]:
        """Return both eyes as messages for `hmd_capture`'s feed, numbered like the frame."""
        right, left = (
            EyeImage(seen.side, frame_id, self.capture_time_ns, image, seen)
            for image, seen in zip(self.eyes, self.observations, strict=True)
        )
        return right, left


class SimulatedHeadset:
    """Puts one headset on; the same model, seed and frames give the same results."""

    def __init__(self, model: str | Path | None = None, seed: int = 0) -> None:
        """Choose what is worn.

        `model` is a built-in style ("visor", "goggles", "box"), None for one chosen by the seed,
        or a folder of cut-outs `NAME_yYAW_pPITCH.png`, optionally with the model's name appended:
        `folder/NAME`. Raises ValueError or FileNotFoundError if there is no such model.
        """
        self._headset = _headset(model, seed)
        self._cameras = tuple(SimulatedEyeCamera(side, seed) for side in (Side.RIGHT, Side.LEFT))

    def wear(self, image: ImageU8, mesh: Float32Array, capture_time_ns: int = 0) -> Worn:
        """Dress the face whose (478,3) px mesh is given, in an (H,W,3) uint8 BGR image.

        Raises ValueError if the image has another shape or dtype, or the mesh another shape, NaN
        or no extent. A face outside the frame is no error: then nothing is hidden.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(
                f"expected an (H,W,3) uint8 BGR image, got {image.shape} {image.dtype}"
            )
        pose = head_pose(mesh)
        camera, hidden = covered(image, self._headset.draw(mesh, image))
        views = [eye.look(image, mesh, pose, capture_time_ns) for eye in self._cameras]
        (right, right_seen), (left, left_seen) = views
        return Worn(
            capture_time_ns=capture_time_ns,
            camera=camera,
            truth=image,
            hidden=hidden,
            eyes=(right, left),
            observations=(right_seen, left_seen),
        )


def covered(image: ImageU8, patch: Patch | None) -> tuple[ImageU8, NDArray[np.uint8]]:
    """Return a copy of an (H,W,3) image with a patch over it, and the (H,W) mask of its pixels.

    The mask is 1 exactly where the copy differs from the image.
    """
    camera = image.copy()
    hidden = np.zeros(image.shape[:2], np.uint8)
    if patch is None:
        return camera, hidden
    height, width = patch.alpha.shape
    area = (slice(patch.top, patch.top + height), slice(patch.left, patch.left + width))
    bare, mask = image[area], np.asarray(patch.alpha > 0, np.uint8)
    rest = cv2.cvtColor(cv2.bitwise_not(patch.alpha), cv2.COLOR_GRAY2BGR)
    mixed = np.asarray(cv2.add(cv2.multiply(bare, rest, scale=1 / 255), patch.colour), np.uint8)
    # A headset pixel of the very colour of what is behind it would fall out of the mask.
    change = np.bitwise_xor(mixed, bare)
    is_changed = (change[..., 0] | change[..., 1] | change[..., 2]) > 0
    mixed[~is_changed & (mask == 1)] ^= 1
    cv2.copyTo(mixed, mask, camera[area])
    hidden[area] = mask
    return camera, hidden


def _headset(model: str | Path | None, seed: int) -> Headset:
    if model is None:
        return ProceduralHeadset(None, seed)
    path = Path(model)
    if path.is_dir():
        return CutoutHeadset(path, seed)
    if path.parent != Path() and path.parent.is_dir():
        return CutoutHeadset(path.parent, seed, path.name)
    return ProceduralHeadset(str(model), seed)
