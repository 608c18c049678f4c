"""Chunks for the training: orders streams ahead, keeps them on the device, says when it waited."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from training.feeding import decoded
from training.feeding.playlist import Playlist
from training.feeding.pool import Chunk, StreamPool
from training.feeding.sources import Part
from training.feeding.streams import StreamSettings
from training.feeding.workers import Makers, Order, check_clips, make_makers
from training.recipes.schema import Recipe

ROUNDS_AHEAD = 2  # how far orders look: a ring of streams holds so many rounds of all slots


class Shelf:
    """Decoded parts, in windows of some parts that the streams take turns with."""

    def __init__(
        self,
        parts: list[Part],
        recipe: Recipe,
        size_px: int,
        folder: Path,
        threads: int,
        on_clip: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Decode the first window's clips into `folder`; later ones while it is played.

        Parts without a clip that is longer than a stream are left out, where others have one.
        """
        frames = recipe.batch.stream_frames
        parts = [p for p in parts if any(e.frames > frames for e in p.entries)] or parts
        each = recipe.batch.window_parts or len(parts)
        self._windows = [parts[i : i + each] for i in range(0, len(parts), each)]
        total = sum(entry.frames for part in parts for entry in part.entries)
        self._streams = max(1, total // frames // len(self._windows))
        self._size, self._folder, self._threads = size_px, folder, threads
        self._pool = ThreadPoolExecutor(1)
        self._ready: dict[int, Future[tuple[str, ...]]] = {}
        self._on_clip = on_clip

    def parts_of(self, number: int) -> tuple[str, ...]:
        """Folders of the clips that stream `number` is made from."""
        turn = number // self._streams
        if len(self._windows) == 1:
            turn = 0
        for wanted in (turn, turn + 1) if len(self._windows) > 1 else (turn,):
            if wanted not in self._ready:
                self._ready[wanted] = self._pool.submit(self._decode, wanted)
        self._drop_before(turn - 1)
        return self._ready[turn].result()

    def close(self) -> None:
        """Stop decoding."""
        self._pool.shutdown(cancel_futures=True)

    def _decode(self, turn: int) -> tuple[str, ...]:
        folders = [
            decoded.decode(part, self._size, self._folder, self._threads, self._on_clip)
            for part in self._window(turn)
        ]
        return tuple(str(folder) for folder in folders)

    def _window(self, turn: int) -> list[Part]:
        return self._windows[turn % len(self._windows)]

    def _drop_before(self, turn: int) -> None:
        """Delete windows that are over, unless one that is kept shows the same parts."""
        old = [t for t in self._ready if t < turn]
        # By name: a later turn of the same parts may be about to find them there.
        kept = {
            str(decoded.place_of(part, self._size, self._folder))
            for later in self._ready.keys() - old
            for part in self._window(later)
        }
        for each in old:
            for folder in self._ready.pop(each).result():
                if folder not in kept:
                    decoded.forget(Path(folder))


class Feeder:
    """Gives the chunk of each tick; everything that it needs was ordered before."""

    def __init__(
        self,
        shelf: Shelf,
        playlist: Playlist,
        recipe: Recipe,
        size_px: int,
        *,
        seed: int,
        workers: int,
        device: torch.device,
    ) -> None:
        """Start the workers.

        Raises:
            UserError, ValueError: no clip is long enough, or memory is short.
        """
        settings = StreamSettings.of(recipe)
        check_clips(shelf.parts_of(0), settings)
        self._shelf, self._playlist = shelf, playlist
        self._frames = recipe.batch.chunk_frames
        self._makers: Makers = make_makers(settings, seed, size_px, workers)
        capacity = playlist.capacity(self._makers.most_waiting)
        try:
            self._pool = StreamPool(capacity, settings.frames, size_px, device)
        except ValueError:
            self._makers.close()
            raise
        self._ordered: set[int] = set()
        self.waited_s = 0.0  # for streams, since the start
        self.made_streams = 0

    def chunk(self, tick: int) -> Chunk:
        """What the slots play in a tick; waits for streams that are not ready."""
        turns = self._playlist.turns(tick)
        needed = {turn.stream for turn in turns}
        for stream in sorted(needed):
            self._order(stream)
        started = time.monotonic()
        while not all(self._pool.holds(stream) for stream in needed):
            self._order_ahead(tick)
            self._take(wait=True)
        self.waited_s += time.monotonic() - started
        while self._take(wait=False):
            pass
        self._order_ahead(tick)
        return self._pool.chunk(turns, self._frames)

    def close(self) -> None:
        """Stop the workers."""
        self._makers.close()
        self._shelf.close()

    def _order_ahead(self, tick: int) -> None:
        for later in range(tick, tick + ROUNDS_AHEAD * self._playlist.chunks):
            for stream in self._playlist.beginning(later):
                if len(self._ordered) >= self._makers.most_waiting:
                    return
                self._order(stream)

    def _order(self, stream: int) -> None:
        if stream in self._ordered or self._pool.holds(stream):
            return
        number = self._playlist.source_number(stream)
        self._ordered.add(stream)
        self._makers.order(Order(number, self._shelf.parts_of(number)))

    def _take(self, wait: bool) -> bool:
        made = self._makers.take(wait)
        if made is None:
            return False
        number, stream = made
        ours = self._playlist.stream_of_source(number)
        self._pool.put(ours, stream)
        self._ordered.discard(ours)
        self.made_streams += 1
        return True
