"""Training streams: some frames of a clip with a reference and a hole, prepared as in use.

A stream is made from its number and the seed alone, so that any process can make any of them, and
a run that goes on after a kill sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.bank.references import ReferenceBank
from models.contract import CONTOURS, MASK, REFERENCE_RGB
from models.identity.face_chip import chip_from_frame
from models.inpainting.inputs_choice import InputsChoice
from models.preparation import Prepared, Reference
from models.preparer import Preparer
from training.feeding import variations
from training.masks.headset import HeadsetHole
from training.masks.registry import MASKS
from training.masks.source import MaskSource
from training.recipes.schema import Augmentation, MaskChoice, Recipe

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

STREAM_FRAMES = 32
PLANES = 8  # true RGB, mask, contours, reference RGB: the network's channels, nothing hidden
FACE_VALUES = 10  # the mesh's box (left, top, right, bottom), then the face chip's matrix (2,3)
HEADSET = "headset"


@dataclass(frozen=True)
class DecodedClip:
    """A clip held in memory."""

    images: ImageU8  # (T,S,S,3) BGR
    meshes: Float32Array  # (T,478,3) px
    segment: str = ""
    identity: str = ""

    @cached_property
    def blink_frames(self) -> NDArray[np.intp]:
        """Frames with narrow eyes."""
        return variations.blinks(self.meshes)


@dataclass(frozen=True)
class PreparedStream:
    """Frames that follow each other, ready for the network, in bytes."""

    planes: ImageU8  # (T,8,S,S): colours 0..255, mask and contours 0 or 1
    faces: Float32Array  # (T,10) px, see FACE_VALUES
    hole: tuple[int, int, int, int]  # top, bottom, left, right: holds every hidden pixel

    def inputs(self) -> Float32Array:
        """What the network sees, (T,8,S,S) float32 in 0..1."""
        planes = self.planes.astype(np.float32)
        planes[:, REFERENCE_RGB] /= 255
        planes[:, :3] *= (1 - planes[:, MASK]) / 255
        return planes


@dataclass(frozen=True)
class StreamSettings:
    """What streams are made by."""

    inputs: InputsChoice = field(default_factory=InputsChoice)
    masks: MaskChoice = field(default_factory=MaskChoice)
    augmentation: Augmentation = field(default_factory=Augmentation)
    frames: int = STREAM_FRAMES

    @classmethod
    def of(cls, recipe: Recipe) -> StreamSettings:
        """Those of a recipe."""
        return cls(recipe.inputs, recipe.masks, recipe.augmentation, recipe.batch.stream_frames)


class StreamMaker:
    """Makes streams from a set of clips; equal seeds and numbers give equal streams."""

    def __init__(self, clips: Sequence[DecodedClip], settings: StreamSettings, seed: int) -> None:
        """Use the clips that are longer than a stream.

        Raises:
            ValueError: no clip is long enough, or there is no such kind of mask.
        """
        self._settings, self._seed = settings, seed
        self._clips = [clip for clip in clips if len(clip.images) > settings.frames]
        if not self._clips:
            longest = max((len(clip.images) for clip in clips), default=0)
            raise ValueError(
                f"no clip is longer than {settings.frames} frames (the longest has {longest}); "
                "add longer clips or train with a smaller batch.stream_frames"
            )
        self._of_person: dict[str, list[DecodedClip]] = {}
        for clip in clips:
            self._of_person.setdefault(clip.identity or str(id(clip)), []).append(clip)
        self._masks = _mask_sources(settings.masks)

    def make(self, number: int) -> PreparedStream:
        """The stream of a number (0, 1, …)."""
        random = np.random.default_rng((self._seed, number))
        settings = self._settings
        clip = self._clips[random.integers(len(self._clips))]
        first = self._first(clip, random)
        span = slice(first, first + settings.frames)
        meshes = np.asarray(clip.meshes[span])
        size = clip.images.shape[1]
        kinds, shares = zip(*self._masks, strict=True)
        source = kinds[random.choice(len(kinds), p=shares)]
        hidden = source.masks(meshes, size, random)
        reference = self._reference(clip, first, random)
        given = variations.varied_meshes(
            meshes, hidden, reference.mesh, settings.augmentation, random
        )
        images = np.asarray(clip.images[span])
        preparer = Preparer(ReferenceBank([reference], size))
        planes = np.stack(
            [
                prepared_planes(preparer.step(image, mask, mesh), settings.inputs)
                for image, mask, mesh in zip(images, hidden, given, strict=True)
            ]
        )
        return PreparedStream(planes, _faces(meshes), _hole(hidden))

    def _first(self, clip: DecodedClip, random: np.random.Generator) -> int:
        """First frame: anywhere, or so that a blink lies in the stream; frame 0 is left out."""
        last = len(clip.images) - self._settings.frames
        if random.random() < self._settings.augmentation.blink_share and len(clip.blink_frames):
            blink = int(clip.blink_frames[random.integers(len(clip.blink_frames))])
            return int(np.clip(blink - random.integers(self._settings.frames), 1, last))
        return int(random.integers(1, last + 1))

    def _reference(self, clip: DecodedClip, first: int, random: np.random.Generator) -> Reference:
        settings = self._settings.augmentation
        far = random.random() < settings.far_reference_share
        chosen = int(random.integers(len(clip.images))) if far else first - 1
        others = [c for c in self._of_person.get(clip.identity, ()) if c is not clip]
        if random.random() < settings.other_clip_share and others:
            clip = others[random.integers(len(others))]
            chosen = int(random.integers(len(clip.images)))
        reference = Reference(np.asarray(clip.images[chosen]), np.asarray(clip.meshes[chosen]))
        return variations.varied_reference(reference, settings, random)


def prepared_planes(prepared: Prepared, choice: InputsChoice) -> ImageU8:
    """One frame's planes (8,S,S) uint8: the network's channels, with the true colours unhidden."""
    inputs = choice.network_input(prepared)
    planes = np.empty(inputs.shape, np.uint8)
    planes[:3] = prepared.crop[..., ::-1].transpose(2, 0, 1)
    planes[MASK], planes[CONTOURS] = inputs[MASK], inputs[CONTOURS]
    planes[REFERENCE_RGB] = np.rint(inputs[REFERENCE_RGB] * 255)
    return planes


def _mask_sources(choice: MaskChoice) -> list[tuple[MaskSource, float]]:
    total = float(sum(choice.kinds.values()))
    sources: list[tuple[MaskSource, float]] = []
    for kind, share in choice.kinds.items():
        if kind not in MASKS:
            raise ValueError(
                f"there is no mask '{kind}'; masks.kinds knows {', '.join(sorted(MASKS))}"
            )
        source = HeadsetHole(choice.jitter_share) if kind == HEADSET else MASKS[kind]
        sources.append((source, share / total))
    return sources


def _faces(meshes: Float32Array) -> Float32Array:
    boxes = np.concatenate([meshes[..., :2].min(1), meshes[..., :2].max(1)], 1)
    chips = np.stack([chip_from_frame(mesh).ravel() for mesh in meshes])
    return np.asarray(np.concatenate([boxes, chips], 1), np.float32)


def _hole(hidden: ImageU8) -> tuple[int, int, int, int]:
    """Rows and columns that hold every hidden pixel of (T,S,S); all of them where none is."""
    any_hidden = hidden.max(0)
    rows, columns = np.flatnonzero(any_hidden.max(1)), np.flatnonzero(any_hidden.max(0))
    if not len(rows):
        return 0, len(any_hidden), 0, len(any_hidden)
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
