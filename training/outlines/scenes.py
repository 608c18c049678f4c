"""Made-up crops of people with headsets on, their bare pictures beside: what OutlineNet learns.

The scenes are HeadsetNet's (`training/scenes/worn_scenes.py`); HeadsetNet itself reads each, and
errs as it errs in sessions. The bare picture is another frame of the same clip, or another portrait
of the same person, in other light; now and then it is somebody else's, or there is none, so that it
is not believed blindly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.headset_render import Headset
from models.headset.bare_look import BareLook
from models.headset.reader import HeadsetReader
from models.outlines.contract import HEIGHT_PX, WIDTH_PX
from models.outlines.look import outline_look
from models.outlines.window import window_around
from models.reference import Reference
from training.scenes.bare_faces import BareFace
from training.scenes.camera_faults import camera_faults
from training.scenes.headwear import put_headwear_on
from training.scenes.worn_scenes import Scene, WornScenes, mirrored

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

FAULTY_SHARE = 0.4  # of the crops as a poor camera shows them, the others as they are
OTHER_CAMERA_SHARE = 0.4  # of the bare pictures: other light, colours and sharpness
STRANGER_SHARE = 0.08  # of the bare pictures: somebody else's
NO_PICTURE_SHARE = 0.06  # of the scenes
LEAST_ERROR, MOST_ERROR = 0.2, 0.9  # of HeadsetNet's mesh: sessions correct it for the wearer
HEADWEAR_SHARE = 0.25  # of the scenes: a cap or headphones in both pictures
ERRING_SHARE = 0.4  # of the scenes: HeadsetNet's outline errs more than it does on train people
ASIDE_PX = 8  # the window lies so far from where it would lie in sessions, at most
ERROR_LOGITS, ERROR_PATCHES = 1.2, 10  # its standard deviation, patches of a side


@dataclass(frozen=True)
class OutlineScene:
    """What the network is shown, and what it shall say."""

    look: ImageU8  # (9,H,W), see `models.outlines.contract`
    mask: Float32Array  # (H,W) share of each pixel in which something of the headset is seen


class OutlineScenes:
    """Makes scenes; the same seed makes the same ones."""

    def __init__(
        self,
        people: Sequence[Sequence[BareFace]],
        built_in: Sequence[Headset],
        models: Sequence[Headset],
        reader: HeadsetReader,
        seed: int,
    ) -> None:
        """Put headsets on `people`, some pictures of each, and look at them by `reader`."""
        faces = [face for frames in people for face in frames]
        self._people, self._reader = people, reader
        self._worn = WornScenes(faces, built_in, models, seed, is_rim_whole=True)
        self._random = self._worn.random

    def scene(self) -> OutlineScene:
        """One more scene."""
        random = self._random
        frames = self._people[int(random.integers(len(self._people)))]
        face, bare = two_of(frames, random)
        if random.random() < STRANGER_SHARE:
            others = self._people[int(random.integers(len(self._people)))]
            bare = others[int(random.integers(len(others)))]
        if random.random() < 0.5:
            face, bare = mirrored(face), mirrored(bare)
        if random.random() < HEADWEAR_SHARE:
            one_of_many = int(random.integers(1 << 32))
            face, bare = (wearing(some, one_of_many) for some in (face, bare))
        scene = self._worn.followed(face)
        if scene.mesh is None:  # its centre lies outside the crop
            return self.scene()
        return self._shown(scene, scene.mesh, bare)

    def _shown(self, scene: Scene, mesh: Float32Array, bare: BareFace) -> OutlineScene:
        random = self._random
        cut = camera_faults(scene.image, random) if random.random() < FAULTY_SHARE else scene.image
        reading = self._reader.read(cut)
        soft = _erring(reading.mask, random) if random.random() < ERRING_SHARE else reading.mask
        points = mesh + random.uniform(LEAST_ERROR, MOST_ERROR) * (reading.mesh - mesh)
        beside = np.zeros((HEIGHT_PX, WIDTH_PX, 4), np.uint8)
        aside = random.integers(-ASIDE_PX, ASIDE_PX + 1, size=2)
        window = window_around(soft).moved(*(int(px) for px in aside))
        if random.random() >= NO_PICTURE_SHARE:
            image = bare.image
            if random.random() < OTHER_CAMERA_SHARE:
                image = camera_faults(image, random)
            look = BareLook(Reference(image, bare.mesh))
            told = look.evidence(soft, cut, points)
            soft, beside = told.mask, look.beside(points, told.light, window.area)
        return OutlineScene(outline_look(cut, soft, beside, window), scene.mask[window.area])


def two_of(frames: Sequence[BareFace], random: np.random.Generator) -> tuple[BareFace, BareFace]:
    """Two frames of one person, where there are two: no frame tells of itself."""
    first, second = random.choice(len(frames), size=2, replace=len(frames) < 2)
    return frames[int(first)], frames[int(second)]


def wearing(face: BareFace, seed: int) -> BareFace:
    """The picture with something on the head; the same seed is the same thing."""
    return BareFace(put_headwear_on(face.image, face.mesh, seed), face.mesh)


def _erring(soft: Float32Array, random: np.random.Generator) -> Float32Array:
    """A soft outline (M,M) that is surer here, less sure there."""
    coarse = random.normal(0, ERROR_LOGITS, (ERROR_PATCHES, ERROR_PATCHES)).astype(np.float32)
    smooth = cv2.resize(coarse, soft.shape[::-1], interpolation=cv2.INTER_CUBIC)
    chance = np.clip(soft, 1e-4, 1 - 1e-4)
    odds = chance / (1 - chance) * np.exp(smooth)
    return np.asarray(odds / (1 + odds), np.float32)
