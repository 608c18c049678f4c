"""Bytes for real numbers: real = scale × (byte − zero), after Jacob et al. 2018, section 2.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int8Array = NDArray[np.int8]
STEPS = 255
LARGEST_WEIGHT = 127
LARGEST_SUM = 1 << 30  # of a bias; half of 32 bits is left for the products


@dataclass(frozen=True)
class Affine:
    """How a tensor of bytes is read."""

    scale: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Affine:
        """Bytes for `low`..`high`; 0 is among the numbers that they say exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / STEPS or 1.0
        return cls(scale, round(-low / scale))


SHARES = Affine.over(0.0, 1.0)  # of sigmoids and pictures


@dataclass(frozen=True)
class Filters:
    """Convolution filters for bytes in and bytes out, each output channel with bytes of its own."""

    weights: Int8Array  # (O,I,kh,kw)
    scales: Float32Array  # (O,) of the weights, over that of the output
    biases: NDArray[np.int32]  # (O,) zero of the output included


def quantise_filters(
    weights: Float32Array, biases: Float32Array, source: Affine, targets: Sequence[Affine]
) -> Filters:
    """Filters (O,I,kh,kw) and biases (O,) for inputs read as `source`.

    Channel o comes out as `targets[o]` says, through an operator told scale 1 and zero 0 of its
    output: what a channel has of its own is folded into its scale and bias.
    """
    scales = np.array([target.scale for target in targets])
    zeros = np.array([target.zero for target in targets])
    constants = biases + zeros * scales
    steps = np.abs(weights).reshape(len(weights), -1).max(1).astype(np.float64) / LARGEST_WEIGHT
    # Beside a bias that is a number of the weights' steps, weights of next to nothing must not
    # make these so small that the number overflows.
    steps = np.maximum(steps, np.abs(constants) / (source.scale * LARGEST_SUM))
    steps[steps == 0] = 1.0
    rounded = np.rint(weights / steps[:, None, None, None]).astype(np.int8)
    sums = constants / (source.scale * steps)
    return Filters(
        rounded,
        (steps / scales).astype(np.float32),
        np.rint(sums).astype(np.int32),
    )
