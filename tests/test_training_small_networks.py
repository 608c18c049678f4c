"""What trainings of small networks share: the time they take, what they keep, their batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training.run import checkpoint
from training.run.checkpoint import CheckpointError
from training.run.folder import SETTINGS, RunFolder
from training.small_networks import loop
from training.small_networks.batches import EndlessBatches, drawn_apart
from training.small_networks.loop import Rhythm, TimedTraining, Verdict, steps_for
from training.small_networks.trainer import AveragedTrainer, TrainerSettings
from training.trainer import TrainingDiverged


class Clock:
    """Stands still unless it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


def a_trainer() -> AveragedTrainer[torch.nn.Conv2d]:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 1)
    settings = TrainerSettings(bfloat16=False)
    return AveragedTrainer(network, {"conv": True}, settings, torch.device("cpu"))


def test_what_comes_between_the_steps_is_not_counted(clock: Clock) -> None:
    shares: list[float] = []

    def step(share: float) -> dict[str, float]:
        clock.now += 15
        return {}

    def then(share: float, losses: object) -> None:
        clock.now += 1000
        shares.append(share)

    steps_for(1.0, 0.25, step, then)
    assert shares == [0.5, 0.75, 1.0]


def test_a_run_that_was_broken_off_goes_on_until_its_time_is_over_and_no_further(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    totals = iter([1.0, 3.0, 2.0])

    def finished_steps(broken_off_at: int = 0) -> int:
        trainer, folder = a_trainer(), RunFolder(tmp_path)

        def verdict() -> Verdict:
            total = next(totals)
            return Verdict(total, {"validation": {"score": total}}, str(total))

        def step(share: float) -> dict[str, float]:
            if trainer.finished_steps == broken_off_at > 0:
                raise KeyboardInterrupt
            clock.now += 7.5
            return trainer.learn({"loss": trainer.network.weight.square().sum()}, share)

        training = TimedTraining(trainer, folder, verdict)
        training.resume()
        training.run(step, Rhythm(minutes=1.0, record_every=5, validate_every=3))
        return trainer.finished_steps

    with pytest.raises(KeyboardInterrupt):
        finished_steps(broken_off_at=7)
    assert finished_steps() == 8
    assert "is finished" not in caplog.text
    assert finished_steps() == 8
    assert "is finished" in caplog.text
    best = RunFolder(tmp_path).best()
    assert best is not None
    assert (best["step"], best["total"], best["conv"]) == (6, 3.0, True)
    assert best["validation"] == {"score": 3.0}
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "validation" in row] == [3, 6, 8]
    assert [row["step"] for row in rows if "loss" in row] == [5]


def test_gradients_that_are_not_numbers_stop_a_run_though_its_loss_is_one(tmp_path: Path) -> None:
    """The next validation saved the broken weights over the last good checkpoint."""
    trainer, folder = a_trainer(), RunFolder(tmp_path)
    weight = trainer.network.weight

    def step(share: float) -> dict[str, float]:
        broken = trainer.finished_steps == 2
        loss = torch.sqrt(weight * 0).sum() if broken else weight.square().sum()  # slope: inf * 0
        return trainer.learn({"loss": loss}, share)

    verdict = Verdict(0.0, {"validation": {"total": 0.0}}, "")
    training = TimedTraining(trainer, folder, lambda: verdict)
    with pytest.raises(TrainingDiverged, match="gradients are not finite after 2 steps"):
        training.run(step, Rhythm(minutes=1.0, validate_every=1))
    assert torch.isfinite(weight).all()
    kept = folder.load()
    assert kept is not None
    assert kept["step"] == 2
    assert torch.isfinite(kept["network"]["weight"]).all()


def test_a_checkpoint_of_another_network_is_refused_in_a_sentence(tmp_path: Path) -> None:
    other = AveragedTrainer(
        torch.nn.Conv2d(2, 1, 1), {"conv": True}, TrainerSettings(), torch.device("cpu")
    )
    folder = RunFolder(tmp_path)
    folder.save(other.state_dict())
    training = TimedTraining(a_trainer(), folder, lambda: Verdict(0, {}, ""))
    with pytest.raises(CheckpointError, match=r"of another network.*--run"):
        training.resume()
    trainer = a_trainer()
    before = trainer.network.weight.clone()
    trainer.start_from(other.shippable())  # the bias fits, the weight does not
    assert torch.equal(trainer.network.bias, other.network.bias)
    assert torch.equal(trainer.network.weight, before)
    with pytest.raises(CheckpointError, match="no weights of this network"):
        trainer.start_from({"average": {"head": before}})


def test_steps_that_are_done_again_stand_once_in_the_curve(clock: Clock, tmp_path: Path) -> None:
    def train(until: int) -> None:
        trainer = a_trainer()

        def step(share: float) -> dict[str, float]:
            if trainer.finished_steps == until:
                raise KeyboardInterrupt
            clock.now += 15
            return trainer.learn({"loss": trainer.network.weight.square().sum()}, share)

        verdict = Verdict(0.0, {"validation": {"total": 0.0}}, "")
        training = TimedTraining(trainer, RunFolder(tmp_path), lambda: verdict)
        training.resume()
        training.run(step, Rhythm(minutes=1.0, record_every=1, validate_every=2))

    with pytest.raises(KeyboardInterrupt):
        train(until=3)
    train(until=99)
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "validation" in row] == [2, 4]


def seeds(seed: int) -> Iterator[int]:
    while True:
        yield seed


def test_a_new_run_begins_with_what_it_is_given_and_writes_down_its_settings_once(
    clock: Clock, tmp_path: Path
) -> None:
    other = a_trainer()
    torch.nn.init.constant_(other.average.weight, 7.0)
    given = tmp_path / "given.pt"
    checkpoint.save(other.shippable(), given)
    seen: list[tuple[float, int]] = []

    def begun(told: dict[str, int], broken_off: bool) -> AveragedTrainer[torch.nn.Conv2d]:
        trainer, firsts = a_trainer(), []
        folder = RunFolder(tmp_path / "run")
        training = TimedTraining(trainer, folder, lambda: Verdict(0.0, {}, ""))

        def step(batch: int, share: float) -> dict[str, float]:
            if broken_off and trainer.finished_steps == 2:
                raise KeyboardInterrupt
            clock.now += 15
            seen.append((trainer.network.weight.item(), batch))
            return trainer.learn({"loss": trainer.network.weight.square().sum()}, share)

        training.begin(told, given, first=lambda: firsts.append(trainer.network.weight.item()))
        assert firsts == ([] if trainer.finished_steps else [a_trainer().network.weight.item()])
        training.run_on(step, seeds, 3, 0, Rhythm(minutes=1.0, validate_every=1))
        return trainer

    with pytest.raises(KeyboardInterrupt):
        begun({"faces": 5}, broken_off=True)
    assert begun({"faces": 6}, broken_off=False).finished_steps == 4
    assert seen[0][0] == 7.0
    assert [batch for _, batch in seen] == [3 * 64] * 2 + [(3 + 2) * 64] * 2
    settings = RunFolder(tmp_path / "run").read(SETTINGS)
    assert settings["faces"] == 5
    assert settings["conv"] is True
    assert settings["trainer"]["learning_rate"] == TrainerSettings().learning_rate


def test_worker_processes_draw_with_seeds_of_their_own() -> None:
    here = drawn_apart(EndlessBatches(seeds, 3), 0)
    apart = drawn_apart(EndlessBatches(seeds, 3), 2)
    assert next(here) == 3 * 64
    assert {next(apart) for _ in range(2)} == {3 * 64, 3 * 64 + 1}


class KilledBetween(RunFolder):
    """The process is killed after the first file of the second validation is written."""

    written = 0

    def save(self, state: dict[str, object]) -> None:
        super().save(state)
        self._count()

    def save_best(self, state: dict[str, object]) -> None:
        super().save_best(state)
        self._count()

    def _count(self) -> None:
        self.written += 1
        if self.written == 3:  # the first validation is the best so far, too: two files
            raise KeyboardInterrupt


def test_a_kill_while_the_best_is_saved_does_not_lose_it(clock: Clock, tmp_path: Path) -> None:
    """The checkpoint was saved first: the run went on after the best network, without it."""
    totals = {2: 1.0, 4: 3.0, 6: 2.0, 8: 2.0}

    def train(folder: RunFolder) -> None:
        trainer = a_trainer()

        def verdict() -> Verdict:
            total = totals[trainer.finished_steps]
            return Verdict(total, {"validation": {"score": total}}, "")

        def step(share: float) -> dict[str, float]:
            clock.now += 7.5
            return trainer.learn({"loss": trainer.network.weight.square().sum()}, share)

        training = TimedTraining(trainer, folder, verdict)
        training.resume()
        training.run(step, Rhythm(minutes=1.0, record_every=1, validate_every=2))

    with pytest.raises(KeyboardInterrupt):
        train(KilledBetween(tmp_path))
    train(RunFolder(tmp_path))
    best = RunFolder(tmp_path).best()
    assert best is not None
    assert (best["step"], best["total"]) == (4, 3.0)
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "validation" in row] == [2, 4, 6, 8]


def test_a_run_killed_before_its_first_checkpoint_leaves_no_rows_to_the_next(
    clock: Clock, tmp_path: Path
) -> None:
    for killed in (True, False):
        trainer = a_trainer()

        def step(share: float, trainer=trainer, killed: bool = killed) -> dict[str, float]:  # type: ignore[no-untyped-def]
            if killed and trainer.finished_steps == 2:
                raise KeyboardInterrupt
            clock.now += 15
            return trainer.learn({"loss": trainer.network.weight.square().sum()}, share)

        verdict = Verdict(0.0, {"validation": {"total": 0.0}}, "")
        training = TimedTraining(trainer, RunFolder(tmp_path), lambda v=verdict: v)
        training.resume()
        if killed:
            with pytest.raises(KeyboardInterrupt):
                training.run(step, Rhythm(minutes=1.0, record_every=1))
        else:
            training.run(step, Rhythm(minutes=1.0, record_every=1))
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
