"""Objectives of adversaries: what scores of true and filled frames are worth to either side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor

Objective = Literal["hinge", "wgan-gp", "lsgan"]
OBJECTIVES: tuple[Objective, ...] = ("hinge", "wgan-gp", "lsgan")
PENALTY_WEIGHT = 10.0


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator on its scores of real and generated frames."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Hinge loss of the generator; that of a Wasserstein critic is the same."""
    return -fake.mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky, Chintala, Bottou: WGAN, ICML 2017; wants a gradient penalty beside it."""
    return fake.mean() - real.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Mean squared distance of the critic's slope from 1 between real and fake clips (B,…).

    `critic` gives each clip one score or many, (B,…); their mean counts. Gulrajani et al.: Improved
    Training of Wasserstein GANs, NeurIPS 2017, equation 3.
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    # Of one clip's mean score, so that the slope does not grow with the number of patches.
    scores = critic(between).reshape(len(between), -1).mean(1).sum()
    (slope,) = torch.autograd.grad(scores, between, create_graph=True)
    slopes: Tensor = slope.flatten(1).norm(dim=1)
    return (slopes - 1).square().mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al.: LSGAN, ICCV 2017, on scores squashed to 0..1, as LGTSM's."""
    return ((torch.sigmoid(real) - 1).square().mean() + torch.sigmoid(fake).square().mean()) / 2


def least_squares_generator(fake: Tensor) -> Tensor:
    """The other side of `least_squares_discriminator`."""
    return (torch.sigmoid(fake) - 1).square().mean()


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic average least squares (Jolicoeur-Martineau, ICLR 2019): real above fake by 1."""
    return ((real - fake.mean() - 1).square().mean() + (fake - real.mean() + 1).square().mean()) / 2


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The other side of `relativistic_discriminator`: fake above real by 1."""
    return relativistic_discriminator(fake, real)
