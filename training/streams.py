"""Training streams: clips cut into short chunks that follow each other, as frames do live.

Each of B streams plays one clip for `STREAM_FRAMES` frames, then another. The network's states are
carried from chunk to chunk, so that they are as warm as in use although a chunk is short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models import preparation
from models.preparation import Reference
from training.coverings import HeadsetShape, headset_mask, random_shape

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

STREAM_FRAMES = 32
FAR_REFERENCE_SHARE = 0.5  # the rest takes the frame before the stream, as `hmd` does
JITTERED_MASK_SHARE = 0.4
TINTED_SHARE = 0.3
LARGEST_TINT = 0.06  # per channel: another exposure or white balance between reference and frame


@dataclass(frozen=True)
class DecodedClip:
    """A clip held in memory."""

    images: ImageU8  # (T,S,S,3) BGR
    meshes: Float32Array  # (T,478,3) px


@dataclass(frozen=True)
class Chunk:
    """A batch of short clips, and which streams begin anew with it."""

    inputs: Float32Array  # (B,T,8,S,S)
    truth: Float32Array  # (B,T,3,S,S) RGB 0..1
    begins: NDArray[np.bool_]  # (B,) states must be zeroed first


@dataclass(frozen=True)
class _Playing:
    clip: DecodedClip
    reference: Reference
    shape: HeadsetShape
    first: int
    played: int
    mirrored: bool


class TrainingStreams:
    """Endless chunks from a set of clips; the same seed gives the same chunks."""

    def __init__(
        self, clips: list[DecodedClip], streams: int, chunk_frames: int, seed: int
    ) -> None:
        """Play `streams` clips side by side, `chunk_frames` frames (a divisor of 32) at a time."""
        if STREAM_FRAMES % chunk_frames:
            raise ValueError(f"chunk_frames must divide {STREAM_FRAMES}, got {chunk_frames}")
        self._clips = [clip for clip in clips if len(clip.images) > STREAM_FRAMES]
        if not self._clips:
            raise ValueError(f"no clip is longer than {STREAM_FRAMES} frames")
        self._random = np.random.default_rng(seed)
        self._frames = chunk_frames
        chunks = STREAM_FRAMES // chunk_frames
        # Staggered, so that not all streams begin in the same chunk.
        self._playing = [self._another(i % chunks * chunk_frames) for i in range(streams)]

    def __iter__(self) -> Iterator[Chunk]:
        """Yield chunks for ever."""
        while True:
            begins = np.array([playing.played == 0 for playing in self._playing])
            pairs = [self._play(playing) for playing in self._playing]
            inputs, truth = (np.stack(part) for part in zip(*pairs, strict=True))
            yield Chunk(inputs, truth, begins)
            self._playing = [self._advanced(playing) for playing in self._playing]

    def _another(self, already_played: int = 0) -> _Playing:
        clip = self._clips[self._random.integers(len(self._clips))]
        first = int(self._random.integers(1, len(clip.images) - STREAM_FRAMES + 1))
        far = self._random.random() < FAR_REFERENCE_SHARE
        chosen = int(self._random.integers(len(clip.images))) if far else first - 1
        image = clip.images[chosen]
        if self._random.random() < TINTED_SHARE:
            tint = 1 + self._random.uniform(-LARGEST_TINT, LARGEST_TINT, 3)
            image = np.clip(image * tint, 0, 255).astype(np.uint8)
        reference = Reference(image, clip.meshes[chosen])
        shape = random_shape(self._random, JITTERED_MASK_SHARE)
        mirrored = bool(self._random.integers(2))
        return _Playing(clip, reference, shape, first, already_played, mirrored)

    def _advanced(self, playing: _Playing) -> _Playing:
        played = playing.played + self._frames
        return self._another() if played >= STREAM_FRAMES else replace(playing, played=played)

    def _play(self, playing: _Playing) -> tuple[Float32Array, Float32Array]:
        start = playing.first + playing.played
        frames = [self._frame(playing, index) for index in range(start, start + self._frames)]
        inputs, truth = (np.stack(part) for part in zip(*frames, strict=True))
        if playing.mirrored:
            inputs, truth = inputs[..., ::-1], truth[..., ::-1]
        return inputs, truth

    def _frame(self, playing: _Playing, index: int) -> tuple[Float32Array, Float32Array]:
        image, mesh = playing.clip.images[index], playing.clip.meshes[index]
        hidden = headset_mask(mesh, len(image), playing.shape)
        prepared = preparation.prepare(image, hidden, mesh, playing.reference)
        return preparation.network_input(prepared), preparation.planes(image)
