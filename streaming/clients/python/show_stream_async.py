"""Reads the restored face and its state side by side: the asyncio client.

`python -m streaming.clients.python.show_stream_async [ADDRESS] [--seconds N]`
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress

import numpy as np

from streaming.ages import AgeStatistics
from streaming.async_subscriber import AsyncSubscriber
from streaming.messages import FaceState, FrameMessage
from streaming.topics import FACE_STATE, FRAME_WORLD


async def watch_frames(client: AsyncSubscriber, seen: AgeStatistics) -> None:
    """Count every newest frame."""
    async for arrival in client.follow(FRAME_WORLD):
        frame = arrival.message
        if isinstance(frame, FrameMessage):  # frame.image() is the picture, (H,W,3) BGR uint8
            seen.add(frame.index, frame.capture_time_ns, arrival.arrival_time_ns)


async def watch_states(client: AsyncSubscriber, seen: AgeStatistics) -> None:
    """Tell gaze and lids once a second, beside the rate of the frames."""
    while (arrival := await client.take(FACE_STATE)) is not None:
        state = arrival.message
        if isinstance(state, FaceState):
            right, left = state.openness
            yaw, pitch = np.degrees(state.gaze.mean(axis=0))
            print(
                f"{seen.fps:.1f} fps, age {seen.age_ms(50)} ms, eyes open {right:.2f} {left:.2f}, "
                f"gaze {yaw:+.0f}° {pitch:+.0f}°"
            )
        await asyncio.sleep(1)  # meanwhile older states are replaced, none piles up


async def show(address: str, seconds: float) -> None:
    """Run both for so long."""
    seen = AgeStatistics()
    async with AsyncSubscriber(address, [FRAME_WORLD, FACE_STATE]) as client:
        tasks = [
            asyncio.create_task(watch_frames(client, seen)),
            asyncio.create_task(watch_states(client, seen)),
        ]
        with suppress(asyncio.CancelledError):  # by Ctrl-C
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
    if not seen.frames:
        raise SystemExit(f"No frame came from {address}. Is `unvisor run` running?")
    print(f"{seen.frames} frames, {seen.drops} drops")


def main() -> None:
    """Run until the time is over or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:50021")
    parser.add_argument("--seconds", type=float)
    chosen = parser.parse_args()
    with suppress(KeyboardInterrupt):  # Python 3.10 raises it after all the same
        asyncio.run(show(chosen.address, chosen.seconds))


if __name__ == "__main__":
    main()
