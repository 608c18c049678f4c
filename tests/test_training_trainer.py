"""The trainer's step on drawn clips: it learns, resumes exactly, refuses, and ships."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from drawn_training import drawn_clips, played_chunks
from test_models_preparation import crop_mesh

from models.export import export_network
from models.inpainting import architectures
from models.shipped import load_network
from training.feeding.pool import Chunk
from training.feeding.streams import DecodedClip
from training.loss_terms.terms import LossTerms
from training.masks.coverings import HeadsetShape, headset_mask
from training.recipes.loader import load_recipe
from training.recipes.schema import Recipe
from training.run import checkpoint
from training.trainer import Trainer, TrainingDiverged
from training.validation import Validation

SIZE = 32
SMALL = (
    *("network.settings.width=8", f"network.settings.size_px={SIZE}"),
    "network.settings.attention=none",
    *("losses.perceptual=0", "losses.style=0", "losses.expression=0"),
    *("batch.streams=2", "batch.chunk_frames=2", "batch.stream_frames=8"),
    *("batch.plays=1", "batch.kept_streams=2", "optimiser.bfloat16=false"),
    *("optimiser.warm_up_steps=1", "adversary.from_step=2"),
)


@pytest.fixture(scope="module")
def clips() -> list[DecodedClip]:
    return drawn_clips(SIZE)


def recipe(*changes: str) -> Recipe:
    return load_recipe("unvisor", [*SMALL, *changes])


def trainer(*changes: str) -> Trainer:
    torch.manual_seed(0)
    chosen = recipe(*changes)
    return Trainer(chosen, LossTerms.load(chosen.losses, chosen.loss_settings, Path("nowhere")))


def chunks(clips: list[DecodedClip], count: int) -> list[Chunk]:
    return played_chunks(clips, recipe(), count)


def test_training_lowers_the_loss_on_what_it_sees(clips: list[DecodedClip]) -> None:
    made = trainer("adversary.kind=none", "optimiser.learning_rate=2e-3")
    chunk = chunks(clips, 1)[0]
    chunk.truth.add_(0.1)  # the drawn clips leave nothing else to correct
    first = made.check(made.step([chunk]))["l1"]
    for _ in range(25):
        last = made.check(made.step([chunk]))["l1"]
    assert last < 0.8 * first


def test_a_resumed_trainer_goes_on_exactly(clips: list[DecodedClip], tmp_path: Path) -> None:
    made = trainer()
    played = chunks(clips, 6)
    for chunk in played[:3]:
        made.step([chunk])
    checkpoint.save({**made.state_dict(), "states": made.states}, tmp_path / "last.pt")
    resumed, kept = trainer(), checkpoint.load(tmp_path / "last.pt")
    resumed.load_state_dict(kept)
    resumed.states = kept["states"]
    assert resumed.finished_steps == 3
    for chunk in played[3:]:
        assert resumed.check(resumed.step([chunk])) == made.check(made.step([chunk]))


def test_two_chunks_may_make_one_step(clips: list[DecodedClip]) -> None:
    made = trainer("adversary.from_step=0")
    losses = made.check(made.step(chunks(clips, 2)))
    assert made.finished_steps == 1
    terms = {"l1", "decibel", "temporal", "adversarial", "judge"}
    assert set(losses) == terms | {"gradient_norm", "judge_gradient_norm"}


def test_two_chunks_teach_what_they_teach_side_by_side(clips: list[DecodedClip]) -> None:
    terms = ("l1=0", "decibel=0", "temporal=0", "l1_frame=1")  # means over all pixels alike
    changes = ("adversary.kind=none", *(f"losses.{term}" for term in terms))
    first, second = (dataclasses.replace(c, begins=c.begins | True) for c in chunks(clips, 2))
    one_by_one, together = trainer(*changes), trainer(*changes)
    both = Chunk(
        *(
            torch.cat([getattr(first, name), getattr(second, name)])
            for name in ("inputs", "truth", "begins", "faces")
        ),
        around_hole=first.around_hole,
    )
    for _ in range(3):
        found = one_by_one.check(one_by_one.step([first, second]))
        assert found == pytest.approx(together.check(together.step([both])), rel=1e-3)


def test_the_shipped_average_follows_the_weights_by_its_decay(clips: list[DecodedClip]) -> None:
    made = trainer("optimiser.average_decay=0.5")
    expected = [p.detach().clone() for p in made.generator.parameters()]
    for step, chunk in enumerate(chunks(clips, 4)):
        made.step([chunk])
        decay = min(0.5, (1 + step) / (10 + step))  # young averages forget their start
        weights = zip(expected, made.generator.parameters(), strict=True)
        expected = [decay * kept + (1 - decay) * new.detach() for kept, new in weights]
    for kept, wanted in zip(made.average.parameters(), expected, strict=True):
        torch.testing.assert_close(kept, wanted)


def test_equal_seeds_make_equal_trainings_and_others_do_not(clips: list[DecodedClip]) -> None:
    def curve(seed: int) -> list[dict[str, float]]:
        torch.manual_seed(seed)
        chosen = recipe()
        made = Trainer(chosen, LossTerms(chosen.losses, chosen.loss_settings))
        return [made.check(made.step([chunk])) for chunk in chunks(clips, 3)]

    assert curve(1) == curve(1)
    assert curve(1) != curve(2)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"another network or adversary.*evi-hrnet"):
        trainer().load_state_dict(trainer("network.settings.width=16").state_dict())


def test_a_damaged_checkpoint_says_so(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"broken")
    with pytest.raises(checkpoint.CheckpointError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "last.pt")


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save({"step": 1}, path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(checkpoint.CheckpointError, match="previous checkpoint is kept"):
        checkpoint.save({"step": 2}, path)
    assert checkpoint.load(path) == {"step": 1}


def test_a_checkpoint_is_on_the_disk_before_it_takes_the_place_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power failure may leave an empty file under the name of both."""
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append("written"))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("renamed"), replace(a, b)))
    checkpoint.save({"step": 1}, tmp_path / "last.pt")
    assert done == ["written", "renamed"]
    assert checkpoint.load(tmp_path / "last.pt") == {"step": 1}


def test_a_loss_that_is_not_a_number_stops_the_run(clips: list[DecodedClip]) -> None:
    made = trainer()
    chunk = chunks(clips, 1)[0]
    chunk.truth[:] = np.nan
    with pytest.raises(TrainingDiverged, match=r"not a number by step 1.*last checkpoint is good"):
        made.check(made.step([chunk]))


def test_gradients_that_are_not_numbers_stop_the_run_though_the_losses_are(
    clips: list[DecodedClip],
) -> None:
    """They broke the weights, which were then saved as the last good checkpoint."""
    made = trainer()
    made.generator.conv1.feature.weight.register_hook(lambda gradient: gradient * np.nan)
    with pytest.raises(TrainingDiverged, match=r"by step 1 \(gradient_norm\)"):
        made.check(made.step(chunks(clips, 1)))


def test_the_rate_warms_up_and_falls_with_the_share_of_the_run() -> None:
    made = trainer("optimiser.warm_up_steps=10", "optimiser.learning_rate=1e-3")
    found = []
    for step, share in ((0, 0.0), (20, 0.0), (20, 0.5), (20, 1.0)):
        made.finished_steps, made.finished_share = step, share
        made._schedule()
        found.append(made.optimiser.param_groups[0]["lr"])
    assert found == pytest.approx([1e-4, 1e-3, 5.25e-4, 5e-5])


def test_an_untrained_network_scores_as_its_start_does(clips: list[DecodedClip]) -> None:
    score = Validation(clips, PixelDistance(), frame_step=4).score(trainer().average)
    assert score.psnr_db == pytest.approx(score.start_psnr_db, abs=0.05)
    assert score.lpips == pytest.approx(score.start_lpips, abs=1e-3)


def test_a_trained_network_can_be_shipped(clips: list[DecodedClip], tmp_path: Path) -> None:
    made = trainer("inputs.landmarks=false")
    made.step(chunks(clips, 1))
    checkpoint.save(made.shippable(), tmp_path / "best.pt")
    kept = checkpoint.load(tmp_path / "best.pt")
    rebuilt = architectures.build(kept["architecture"], kept["settings"])
    rebuilt.load_state_dict(kept["average"])
    export_network(rebuilt, tmp_path / "network.onnx", {"inputs": kept["inputs"]})
    network = load_network(tmp_path / "network.onnx")
    assert (network.width, network.size_px) == (8, SIZE)
    assert network.contract == rebuilt.settings.contract
    assert not network.inputs.landmarks


def test_a_network_that_looks_ahead_is_not_exported(tmp_path: Path) -> None:
    made = trainer("network.settings.shift=offline")
    with pytest.raises(ValueError, match="frames that follow"):
        export_network(made.average, tmp_path / "network.onnx", {})


def test_a_wider_headset_with_a_strap_hides_more_than_the_protocols_box(
    canonical_mesh: np.ndarray,
) -> None:
    mesh = crop_mesh(canonical_mesh)
    wider = headset_mask(mesh, 128, HeadsetShape(width_ratio=1.2, strap_ratio=0.3))
    assert (wider >= headset_mask(mesh, 128)).all()
    assert wider[:, 0].any()  # the strap runs on to the border
    assert not headset_mask(mesh, 128)[:, 0].any()


class PixelDistance(torch.nn.Module):
    """Stands for LPIPS, whose weights are not part of the project."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one - other).abs().mean((1, 2, 3))
