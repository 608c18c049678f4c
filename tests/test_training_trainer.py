from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from test_models_preparation import crop_mesh, smooth_image  # noqa: E402

from models.evi_hrnet import NetworkSettings  # noqa: E402
from models.export import export_network  # noqa: E402
from models.shipped import load_network  # noqa: E402
from training import checkpoint, validation  # noqa: E402
from training.coverings import HeadsetShape, headset_mask  # noqa: E402
from training.losses import LossWeights, PerceptualLoss, decibels, l1_in_hole  # noqa: E402
from training.streams import STREAM_FRAMES, DecodedClip, TrainingStreams  # noqa: E402
from training.trainer import Trainer, TrainerSettings, TrainingDiverged  # noqa: E402

NETWORK = NetworkSettings(width=8, size_px=128, attention="none")


@pytest.fixture
def clips(canonical_mesh: np.ndarray) -> list[DecodedClip]:
    """Two clips of a drawn face that drifts and brightens."""
    made = []
    for seed in (0, 1):
        image = smooth_image(seed) // 2
        images = [np.roll(image, i // 8, 1) + np.uint8(i // 4) for i in range(STREAM_FRAMES + 8)]
        meshes = [crop_mesh(canonical_mesh, (i // 8, 0)) for i in range(len(images))]
        made.append(DecodedClip(np.stack(images), np.stack(meshes)))
    return made


def trainer(clips: list[DecodedClip], **settings: object) -> tuple[Trainer, TrainingStreams]:
    torch.manual_seed(0)
    chosen = TrainerSettings(**{"warm_up_steps": 1, "adversarial_from_step": 2, **settings})
    made = Trainer(NETWORK, chosen, LossWeights(), None, torch.device("cpu"))
    return made, TrainingStreams(clips, streams=2, chunk_frames=2, seed=0)


def test_training_lowers_the_loss_on_what_it_sees(clips: list[DecodedClip]) -> None:
    made, streams = trainer(clips, adversarial_from_step=1000, learning_rate=2e-3)
    chunk = next(iter(streams))
    chunk.truth[:] += 0.1  # the drawn clips leave nothing else to correct
    first = made.step(chunk)["l1"]
    for _ in range(25):
        last = made.step(chunk)["l1"]
    assert last < 0.8 * first


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(
    clips: list[DecodedClip], tmp_path: Path
) -> None:
    made, streams = trainer(clips)
    chunks = [chunk for chunk, _ in zip(streams, range(4), strict=False)]
    for chunk in chunks[:3]:
        made.step(chunk)
    checkpoint.save(made.state_dict(), tmp_path / "last.pt")
    resumed, _ = trainer(clips)
    resumed.load_state_dict(checkpoint.load(tmp_path / "last.pt"))
    assert resumed.finished_steps == 3
    made._states = None  # a stopped run's states are gone; its next streams begin anew
    expected, found = made.step(chunks[3]), resumed.step(chunks[3])
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_of_another_network_is_refused(clips: list[DecodedClip]) -> None:
    made, _ = trainer(clips)
    other = Trainer(
        NetworkSettings(width=16), TrainerSettings(), LossWeights(), None, torch.device("cpu")
    )
    with pytest.raises(ValueError, match="another network"):
        made.load_state_dict(other.state_dict())


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


def test_a_loss_that_is_not_a_number_stops_the_run(clips: list[DecodedClip]) -> None:
    made, streams = trainer(clips)
    chunk = next(iter(streams))
    chunk.truth[:] = np.nan
    with pytest.raises(TrainingDiverged, match="not a number"):
        made.step(chunk)


def test_streams_are_repeatable_and_begin_with_zero_states(clips: list[DecodedClip]) -> None:
    first, again = (next(iter(trainer(clips)[1])) for _ in range(2))
    assert np.array_equal(first.inputs, again.inputs)
    assert first.inputs.shape == (2, 2, 8, 128, 128)
    begun = [chunk.begins for chunk, _ in zip(trainer(clips)[1], range(17), strict=False)]
    assert begun[0][0]
    assert sum(row[0] for row in begun) == 2  # a stream of 32 frames is 16 chunks of 2


def test_clips_that_are_too_short_are_refused(clips: list[DecodedClip]) -> None:
    short = DecodedClip(clips[0].images[:10], clips[0].meshes[:10])
    with pytest.raises(ValueError, match="no clip is longer"):
        TrainingStreams([short], streams=1, chunk_frames=4, seed=0)


def test_an_untrained_network_scores_as_its_start_does(clips: list[DecodedClip]) -> None:
    made, _ = trainer(clips)
    distance = PixelDistance()
    score = validation.validate(made.average, clips, distance, frame_step=8)
    assert score.psnr_db == pytest.approx(score.start_psnr_db, abs=0.05)
    assert score.lpips == pytest.approx(score.start_lpips, abs=1e-3)


def test_a_trained_network_can_be_shipped(clips: list[DecodedClip], tmp_path: Path) -> None:
    made, streams = trainer(clips)
    made.step(next(iter(streams)))
    checkpoint.save(made.shippable(), tmp_path / "best.pt")
    kept = checkpoint.load(tmp_path / "best.pt")
    assert NetworkSettings(**kept["settings"]) == NETWORK
    export_network(made.average, tmp_path / "network.onnx", {"step": kept["step"]})
    assert load_network(tmp_path / "network.onnx").width == NETWORK.width


def test_a_wider_headset_with_a_strap_hides_more_than_the_protocols_box(
    canonical_mesh: np.ndarray,
) -> None:
    mesh = crop_mesh(canonical_mesh)
    wider = headset_mask(mesh, 128, HeadsetShape(width_ratio=1.2, strap_ratio=0.3))
    assert (wider >= headset_mask(mesh, 128)).all()
    assert wider[:, 0].any()  # the strap runs on to the border
    assert not headset_mask(mesh, 128)[:, 0].any()


def test_losses_on_a_known_case() -> None:
    truth, mask = torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:4, 2:4] = 1
    fill = torch.full_like(truth, 0.1)
    assert float(l1_in_hole(fill, truth, mask)) == pytest.approx(0.1)
    # 4 of 64 pixels are off by 0.1: the frame's squared error is 0.01 / 16.
    assert float(decibels(fill, truth, mask)) == pytest.approx(10 * np.log10(0.01 / 16), abs=0.01)


def test_the_perceptual_loss_looks_around_the_hole_only() -> None:
    class Raw(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
            self.seen = image.shape
            return [image]

    features = Raw()
    loss = PerceptualLoss(features)
    truth, mask = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    mask[:, :, 30:34, 20:40] = 1
    assert float(loss(truth + 0.5, truth, mask)) == pytest.approx(0.5)
    assert tuple(features.seen[-2:]) == (4 + 16, 20 + 16)


class PixelDistance(torch.nn.Module):
    """Stands for LPIPS, whose weights are not part of the project."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one - other).abs().mean((1, 2, 3))
