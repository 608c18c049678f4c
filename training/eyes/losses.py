"""What EyeNet is trained to make small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.eyes.contract import BLINK, CONFIDENCE
from models.eyes.network import EyeOutputs
from training.eyes.targets import EyeTargets

LEAST_SPREAD = 2e-4  # second moment below which an ellipse's error is no longer relative
PUPIL_PIXELS = 4.0  # the pupil is few of the pixels: they weigh more
MASK_SHARES = (3.0, 0.5, 0.5)  # pupil, iris, opening: the last two only help to see


def eye_losses(said: EyeOutputs, wanted: EyeTargets) -> dict[str, Tensor]:
    """Each term, weighted; their sum is what the optimiser gets."""
    centres = (said.anchors[:, -1] - wanted.iris[:, :2]).abs().sum(1)
    points = said.anchors[:, :-1].reshape(wanted.lids.shape)
    verdicts = said.verdicts
    return {
        "lids": 20 * _lid_error(said.lids, wanted),
        "anchors": 6 * (_lid_error(points, wanted) + _mean(centres, wanted.iris_weight)),
        "pupil": _ellipse_error(said.pupil, wanted.pupil, wanted.pupil_weight),
        "iris": 0.5 * _ellipse_error(said.iris, wanted.iris, wanted.iris_weight),
        "masks": _mask_error(said.masks, wanted),
        "blink": _verdict_error(verdicts[:, BLINK], wanted.blink, wanted.blink_weight),
        "confidence": _verdict_error(
            verdicts[:, CONFIDENCE], wanted.confidence, torch.ones_like(wanted.confidence)
        ),
    }


def _lid_error(points: Tensor, wanted: EyeTargets) -> Tensor:
    """Distance, with a little more for the height: it is what opens and closes."""
    off = (points - wanted.lids).abs() * points.new_tensor([0.7, 1.3])
    return _mean(off.sum(-1), wanted.lid_weights)


def _ellipse_error(said: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Centre over the ellipse's own size, and moments relative to it."""
    size = (wanted[:, 2] + wanted[:, 4] + LEAST_SPREAD)[:, None]
    centre = (said[:, :2] - wanted[:, :2]).abs() / size.sqrt()
    moments = (said[:, 2:] - wanted[:, 2:]).abs() / size
    # A first guess may be absurd: it must not drown the rest.
    return _mean(2 * torch.log1p((centre.sum(1) + moments.sum(1)) / 2), weight)


def _mask_error(logits: Tensor, wanted: EyeTargets) -> Tensor:
    """Cross entropy per pixel, and one minus the overlap of the pupil."""
    truth = wanted.masks.float() / 255
    weight = torch.ones_like(truth)
    weight[:, 0] += PUPIL_PIXELS * truth[:, 0]
    each = functional.binary_cross_entropy_with_logits(logits, truth, weight, reduction="none")
    entropy = _mean(each.mean((2, 3)) * each.new_tensor(MASK_SHARES), wanted.mask_weights)
    found = torch.sigmoid(logits)
    both = (found * truth).sum((2, 3))
    overlap = (2 * both + 1) / (found.sum((2, 3)) + truth.sum((2, 3)) + 1)
    shown = wanted.mask_weights * (truth.sum((2, 3)) > 4).float()
    return 3 * entropy + _mean((1 - overlap) * overlap.new_tensor(MASK_SHARES), shown)


def _verdict_error(logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return _mean(each, weight)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1.0)
