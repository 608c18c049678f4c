"""Losses on pixels: reconstruction in the hole or the frame, and change from frame to frame."""

from __future__ import annotations

import torch
from torch import Tensor

from training.recipes.schema import LossWeights as LossWeights

MSE_FLOOR = 1e-6  # keeps the logarithm finite on frames that are already perfect


def l1_in_hole(fill: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over hidden pixels; (N,3,S,S), (N,3,S,S), (N,1,S,S)."""
    return ((fill - truth).abs() * mask).sum() / (3 * mask.sum()).clamp(min=1)


def decibels(fill: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean over frames of 10 log10 of the frame's squared error: minus PSNR for values in 0..1."""
    error = ((fill - truth).square() * mask).mean((1, 2, 3))
    return 10 * torch.log10(error + MSE_FLOOR).mean()


def temporal_change(composite: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """How much else changes from frame to frame than in truth, per pixel hidden in both frames.

    Clips (B,T,3,S,S), (B,T,3,S,S), (B,T,1,S,S); 0 for clips of one frame.
    """
    change = (composite - truth).diff(dim=1).abs()
    both = mask[:, 1:] * mask[:, :-1]
    return (change * both).sum() / (3 * both.sum()).clamp(min=1)
