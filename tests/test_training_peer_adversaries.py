"""The peers' adversaries: each learns to tell truth from fill, and teaches what it has learnt."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models.contract import MASK
from training.adversaries.critics import PatchCritic, StridedCritic, around_hole
from training.adversaries.kinds import ADVERSARIES
from training.adversaries.objectives import (
    least_squares_discriminator,
    least_squares_generator,
    relativistic_discriminator,
    relativistic_generator,
)
from training.adversaries.registry import Adversary, JudgedClips, make_adversary

SIZE = 64
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "stills": ("global-local", {"width": 4}),
    "video with landmarks": (
        "global-local",
        {"width": 4, "temporal_layers": 2, "sees_landmarks": True},
    ),
    "image and feature patches": ("feature-patch", {"width": 4, "feature_width": 8}),
    "least squares": ("temporal-patch", {"width": 4, "bidirectional": True, "objective": "lsgan"}),
}
every = pytest.mark.parametrize("row", KINDS.values(), ids=KINDS.keys())


class DrawnFeatures(torch.nn.Module):
    """Stands for VGG16, whose weights are not part of the project."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 512, 8, 8).requires_grad_(False)

    def forward(self, rgb: torch.Tensor) -> list[torch.Tensor]:
        return [rgb] * 3 + [torch.relu(self.conv(rgb))]


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(3)


def an_adversary(row: tuple[str, dict[str, Any]]) -> Adversary:
    made = make_adversary(ADVERSARIES, *row)
    assert made is not None
    made.look_through(DrawnFeatures())
    return made


def some_clips() -> JudgedClips:
    """Smooth faces with a grey fill."""
    inputs = torch.zeros(2, 3, 8, SIZE, SIZE)
    inputs[:, :, MASK, 16:40, 12:52] = 1
    truth = torch.nn.functional.interpolate(torch.rand(6, 3, 8, 8), SIZE, mode="bilinear")
    truth = truth.reshape(2, 3, 3, SIZE, SIZE)
    mask = inputs[:, :, MASK]
    fill = torch.full_like(truth, 0.5)
    return JudgedClips(truth * (1 - mask) + fill * mask, truth, inputs)


@every
def test_an_adversary_learns_to_tell_truth_from_fill(row: tuple[str, dict[str, Any]]) -> None:
    adversary, clips = an_adversary(row), some_clips()
    optimiser = torch.optim.Adam(adversary.parameters(), 4e-3)
    first = float(adversary.judge_loss(clips).detach())
    for _ in range(12):  # a critic learns its slope first
        optimiser.zero_grad()
        adversary.judge_loss(clips).backward()
        optimiser.step()
    assert float(adversary.judge_loss(clips).detach()) < first
    with torch.no_grad():
        perfect = JudgedClips(clips.truth, clips.truth, clips.inputs)
        assert adversary.generator_loss(clips) > adversary.generator_loss(perfect)


@every
def test_the_fill_is_told_where_it_is_wrong(row: tuple[str, dict[str, Any]]) -> None:
    adversary, clips = an_adversary(row), some_clips()
    composite = clips.composite.clone().requires_grad_(True)
    adversary.generator_loss(JudgedClips(composite, clips.truth, clips.inputs)).backward()
    assert composite.grad is not None
    assert (composite.grad.abs().amax((2, 3, 4)) > 0).all()


@every
def test_judging_reaches_every_weight(row: tuple[str, dict[str, Any]]) -> None:
    adversary = an_adversary(row)
    with torch.no_grad():
        for parameter in adversary.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    adversary.judge_loss(some_clips()).backward()
    # A norm takes the bias in front of it away; a Wasserstein critic's last one cancels.
    idle = [
        name
        for name, parameter in adversary.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert [name for name in idle if not name.endswith("bias")] == []


def test_temporal_blocks_of_critics_start_as_the_identity() -> None:
    stills = StridedCritic(3, 5, 4)
    video = StridedCritic(3, 5, 4, linked_layers=2)
    video.load_state_dict(stills.state_dict(), strict=False)
    frames = torch.rand(4, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(video(frames, 2), stills(frames, 2))


def test_critics_have_no_norm() -> None:
    """The penalty is on each clip's own slope; the paper's critics go without norms."""
    adversary = an_adversary(KINDS["video with landmarks"])
    assert not [m for m in adversary.modules() if "Norm" in type(m).__name__]


def test_features_are_asked_for_and_are_not_kept_in_checkpoints() -> None:
    made = make_adversary(ADVERSARIES, "feature-patch", {"width": 4, "feature_width": 8})
    assert made is not None
    with pytest.raises(RuntimeError, match="look_through"):
        made.judge_loss(some_clips())
    names = set(made.state_dict())
    made.look_through(DrawnFeatures())
    assert set(made.state_dict()) == names


def test_a_patch_is_seventy_pixels_wide() -> None:
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    PatchCritic(3, 4)(image)[0, 0, 6, 6].backward()
    assert image.grad is not None
    seen = image.grad.abs().amax((0, 1)) > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (70, 70)


def test_the_temporal_judge_has_the_published_size() -> None:
    settings = {"width": 64, "bidirectional": True, "sees_landmarks": True, "objective": "lsgan"}
    judge = make_adversary(ADVERSARIES, "temporal-patch", settings)
    assert judge is not None
    assert sum(p.numel() for p in judge.parameters()) == pytest.approx(5.95e6, rel=1e-3)


def test_the_local_view_is_the_square_around_the_hole() -> None:
    columns = torch.arange(SIZE).expand(2, 1, SIZE, SIZE) / SIZE
    mask = torch.zeros(2, 1, SIZE, SIZE)
    mask[0, :, 20:30, 10:50] = 1
    seen = around_hole(columns, mask, 32)
    assert seen.shape == (2, 1, 32, 32)
    # 40 columns and a tenth on either side, in steps of 1.5 px; without a hole, the whole frame.
    assert float(seen[0, 0, 0, 0]) * SIZE == pytest.approx(10 - 4 + 0.25)
    assert float(seen[0, 0, 0, -1]) * SIZE == pytest.approx(50 + 4 - 1.25)
    assert float(seen[1, 0, 0, 0]) * SIZE == pytest.approx(0.5, abs=0.1)
    assert float(seen[1, 0, 0, -1]) * SIZE == pytest.approx(SIZE - 1.5, abs=0.1)


def test_objectives_on_known_scores() -> None:
    right, wrong = torch.full((4,), 30.0), torch.full((4,), -30.0)
    assert float(least_squares_discriminator(right, wrong)) == pytest.approx(0)
    assert float(least_squares_generator(wrong)) == pytest.approx(1)
    real, fake = torch.full((4,), 0.5), torch.full((4,), -0.5)
    assert float(relativistic_discriminator(real, fake)) == pytest.approx(0)
    assert float(relativistic_generator(real, fake)) == pytest.approx(4)


@pytest.mark.parametrize("settings", [{"temporal_layers": 6}, {"judge_steps": 0}])
def test_critics_that_cannot_be_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="temporal_layers is 0 to 5"):
        make_adversary(ADVERSARIES, "global-local", settings)
