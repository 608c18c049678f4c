"""Adversaries: true spectral norm, what they see, and what they teach."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from training.adversaries.kinds import ADVERSARIES
from training.adversaries.objectives import (
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
)
from training.adversaries.registry import Adversary, JudgedClips, make_adversary

KINDS = [
    ("patch", {"width": 8}),
    ("temporal-patch", {"width": 8}),
    ("temporal-patch", {"width": 8, "bidirectional": True, "sees_landmarks": True}),
    ("temporal-patch", {"width": 8, "objective": "wgan-gp"}),
]


def clips(size: int = 64) -> JudgedClips:
    torch.manual_seed(1)
    composite = torch.rand(2, 3, 3, size, size, requires_grad=True)
    return JudgedClips(composite, torch.rand(2, 3, 3, size, size), torch.rand(2, 3, 8, size, size))


def made(kind: str, settings: dict) -> Adversary:
    torch.manual_seed(0)
    return make_adversary(ADVERSARIES, kind, settings)


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_the_network_is_told_and_the_judge_is_taught(kind: str, settings: dict) -> None:
    adversary, seen = made(kind, settings), clips()
    adversary.generator_loss(seen).backward()
    assert seen.composite.grad.abs().sum() > 0
    optimiser = torch.optim.Adam(adversary.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = adversary.judge_loss(seen.cut_off())
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("kind", "settings"), KINDS[:3])
def test_the_weights_that_run_have_a_spectral_norm_of_one(kind: str, settings: dict) -> None:
    """In the public code this comes from, the norm is attached to a wrapper and acts on nothing."""
    adversary, seen = made(kind, settings), clips()
    with torch.no_grad():
        for parameter in adversary.parameters():
            parameter.mul_(5)
        for _ in range(30):  # one power iteration each
            adversary.judge_loss(seen)
    run = [m for m in adversary.modules() if isinstance(m, torch.nn.Conv2d)]
    seen_weights: list[torch.Tensor] = []
    for module in run:  # what the convolution is called with, not what the module holds
        original = module._conv_forward

        def spy(x, weight, bias, original=original):
            seen_weights.append(weight.detach())
            return original(x, weight, bias)

        module._conv_forward = spy
    adversary.eval()
    adversary.generator_loss(seen)
    assert len(seen_weights) == len(run)
    for weight in seen_weights:
        largest = torch.linalg.svdvals(weight.flatten(1))[0]
        assert float(largest) == pytest.approx(1, abs=0.02)


def test_a_causal_judge_scores_frames_by_the_past_alone() -> None:
    seen = clips()
    first, last = seen.truth.clone(), seen.truth.clone()
    last[:, 2] = 0
    for both_ways in (False, True):
        judge = made("temporal-patch", {"width": 8, "bidirectional": both_ways}).eval()
        scores = [judge(torch.cat([part, seen.mask], 2)) for part in (first, last)]
        assert torch.equal(scores[0][:, :2], scores[1][:, :2]) is not both_ways
    assert scores[0].shape == (2, 3, 32, 1, 1)


def test_objectives_on_known_scores() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.0])
    assert float(hinge_discriminator(real, fake)) == pytest.approx(0.25 + 0.5)
    assert float(hinge_generator(fake)) == 1.0
    clip = torch.rand(3, 2, 4)
    steep = gradient_penalty(lambda x: 3 * x.flatten(1).mean(1), clip, clip + 1)
    slope = 3 / 8**0.5
    assert float(steep) == pytest.approx((slope - 1) ** 2, rel=1e-4)


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(ValueError, match="one of hinge, wgan-gp, lsgan"):
        made("temporal-patch", {"objective": "ragan"})
