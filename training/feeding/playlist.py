"""Which stream plays when: a pure function of the seed and of how many chunks were played.

B slots play side by side; a stream of c chunks occupies a slot for c ticks, then another begins.
Slots are staggered, so that not all begin in the same tick. Each prepared stream is played several
times: when it is new, and later among the streams that are still kept.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from training.recipes.schema import Batch


@dataclass(frozen=True)
class Turn:
    """What one slot plays in one tick."""

    stream: int  # number of the prepared stream
    first: int  # frame of the stream
    begins: bool  # states must be zeroed first
    mirrored: bool


class Playlist:
    """The turns of one process; `streams` of a batch are shared out among `world` processes."""

    def __init__(
        self, batch: Batch, seed: int, mirror_share: float, rank: int = 0, world: int = 1
    ) -> None:
        """Play for process `rank` of `world`.

        Raises:
            ValueError: the streams cannot be shared out, or a chunk does not divide a stream.
        """
        if batch.streams % world:
            raise ValueError(f"batch.streams ({batch.streams}) must divide by {world} processes")
        if batch.stream_frames % batch.chunk_frames:
            raise ValueError("batch.chunk_frames must divide batch.stream_frames")
        self.slots = batch.streams // world
        self.chunks = batch.stream_frames // batch.chunk_frames
        self._batch, self._seed, self._mirror = batch, (seed, rank), mirror_share
        self._rank, self._world = rank, world
        self._chosen = functools.lru_cache(maxsize=65536)(self._choose)

    def turns(self, tick: int) -> list[Turn]:
        """What each slot plays in a tick (0, 1, …)."""
        return [self._turn(tick, slot) for slot in range(self.slots)]

    def beginning(self, tick: int) -> list[int]:
        """Streams that begin in a tick."""
        return [turn.stream for turn in self.turns(tick) if turn.first == 0]

    def source_number(self, stream: int) -> int:
        """The number a stream is made from: no two processes share one."""
        return stream * self._world + self._rank

    def stream_of_source(self, number: int) -> int:
        """Inverse of `source_number`."""
        return number // self._world

    def capacity(self, ahead: int) -> int:
        """How many streams must be held, when up to `ahead` more are prepared early."""
        return self._batch.kept_streams + 4 * self.slots + ahead

    def _turn(self, tick: int, slot: int) -> Turn:
        played = tick + slot % self.chunks
        use = played // self.chunks * self.slots + slot
        chunk = played % self.chunks
        stream, mirrored = self._chosen(use)
        first = chunk * self._batch.chunk_frames
        return Turn(stream, first, first == 0 or tick == 0, mirrored)

    def _choose(self, use: int) -> tuple[int, bool]:
        random = np.random.default_rng((*self._seed, use))
        mirrored = bool(random.random() < self._mirror)
        newest, repetition = divmod(use, self._batch.plays)
        if repetition == 0 or newest == 0:
            return newest, mirrored
        oldest = max(0, newest - self._batch.kept_streams)
        return int(random.integers(oldest, newest)), mirrored
