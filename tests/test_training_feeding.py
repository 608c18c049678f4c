"""Feeding: who plays what when, and workers that end whatever is still ordered."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from drawn_training import drawn_clips

from models.contract import MASK, REFERENCE_RGB
from streaming.errors import UserError
from training.feeding import workers
from training.feeding.playlist import Playlist, Turn
from training.feeding.pool import StreamPool
from training.feeding.streams import StreamMaker, StreamSettings
from training.recipes.schema import Augmentation, Batch
from training.run.processes import FabricProcesses

ROOT = Path(__file__).parents[1]
BATCH = Batch(streams=4, chunk_frames=4, stream_frames=16, plays=3, kept_streams=6)
MANY_ORDERS = """
from training.feeding.workers import Order, WorkerMakers
from training.feeding.streams import StreamSettings

if __name__ == "__main__":
    makers = WorkerMakers(StreamSettings(frames=8), 0, 64, 1)
    for number in range(500):
        makers.order(Order(number, ("part" * 250,)))
    makers.close()
"""


def test_streams_play_to_their_end_and_are_there_when_they_do() -> None:
    """States must follow the frames; the ring must not lose what is still played."""
    playlist = Playlist(BATCH, 0, 0.5)
    capacity, held = playlist.capacity(0), dict[int, int]()
    before: list[Turn] | None = None
    begun = set()
    for tick in range(400):
        turns = playlist.turns(tick)
        for turn in turns:
            begun.add(turn.stream)
            place = turn.stream % capacity
            assert held.get(place, -1) <= turn.stream, "a newer stream took its place"
            held[place] = turn.stream
        for old, turn in zip(before or (), turns, strict=False):
            if turn.begins:
                assert (old.first, turn.first) == (12, 0)
            else:
                expected = Turn(old.stream, old.first + 4, False, old.mirrored)
                assert turn == expected
        before = turns
    assert begun == set(range(max(begun) + 1))


def test_processes_share_no_stream_and_a_seed_tells_all() -> None:
    numbers = []
    for rank in (0, 1):
        playlist = Playlist(BATCH, 0, 0.5, rank, 2)
        turns = [turn for tick in range(40) for turn in playlist.turns(tick)]
        assert turns == [t for k in range(40) for t in Playlist(BATCH, 0, 0.5, rank, 2).turns(k)]
        numbers.append({playlist.source_number(turn.stream) for turn in turns})
    assert not numbers[0] & numbers[1]
    with pytest.raises(ValueError, match="must divide by 3 processes"):
        Playlist(BATCH, 0, 0.5, 0, 3)


def test_a_chunk_shows_the_network_nothing_of_the_hole() -> None:
    settings = StreamSettings(frames=8, augmentation=Augmentation(far_reference_share=0))
    stream = StreamMaker(drawn_clips(), settings, 0).make(0)
    pool = StreamPool(2, 8, 64, torch.device("cpu"))
    pool.put(0, stream)
    plain, mirrored = (pool.chunk([Turn(0, 2, False, flipped)], 4) for flipped in (False, True))
    hidden = plain.inputs[:, :, MASK] > 0
    assert hidden.any()
    assert not (plain.inputs[:, :, :3] * hidden).any()
    assert torch.equal(plain.inputs[:, :, :3] * ~hidden, plain.truth * ~hidden)
    assert not torch.equal(plain.inputs[:, :, REFERENCE_RGB], plain.truth)
    assert torch.equal(mirrored.truth, plain.truth.flip(-1))
    rows, columns = mirrored.around_hole
    outside = mirrored.inputs[:, :, MASK].clone()
    outside[..., rows, columns] = 0
    assert not outside.any()


def test_gradients_of_two_processes_become_their_mean() -> None:
    """In the order of the weights, however a GPU lays them out."""

    class Fabric:
        global_rank, world_size, device = 0, 2, torch.device("cpu")

        def all_reduce(self, flat: torch.Tensor, reduce_op: str) -> torch.Tensor:
            assert reduce_op == "mean"
            return (flat + others) / 2

    layer = torch.nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    layer(torch.rand(1, 2, 5, 5)).square().sum().backward()
    own = [p.grad.clone() for p in layer.parameters()]
    theirs = [torch.rand(p.shape) for p in layer.parameters()]
    others = torch.cat([gradient.flatten() for gradient in theirs])
    FabricProcesses(Fabric()).average_gradients(layer)
    for parameter, mine, their in zip(layer.parameters(), own, theirs, strict=True):
        torch.testing.assert_close(parameter.grad, (mine + their) / 2)
        assert parameter.grad.stride() == parameter.stride()  # or a fused Adam refuses it


def test_too_little_shared_memory_is_said_before_a_worker_dies_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda _: usage(64 << 20, 0, 64 << 20))
    with pytest.raises(UserError, match=r"which has 64 MiB free.*--shm-size"):
        workers.make_makers(StreamSettings(frames=32), 0, 256, 15)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_training_that_ends_waits_for_no_order(tmp_path: Path) -> None:
    """It hung at its end when more was ordered than a pipe holds: nobody read it any more."""
    script = tmp_path / "orders.py"
    script.write_text(MANY_ORDERS, encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, str(script)], env=environment, timeout=60, check=False)
    assert done.returncode == 0
