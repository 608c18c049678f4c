"""Filters that do in one convolution what the network writes as several steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
# Bilinear up-sampling by two (half-pixel centres): what an even and an odd pixel take of the
# coarse pixels before, at and after theirs.
EVEN, ODD = (0.25, 0.75, 0.0), (0.0, 0.75, 0.25)


def upsampled_filters(weights: Float32Array) -> Float32Array:
    """3×3 filters (O,I,3,3) after bilinear up-sampling, as filters (4·O,I,3,3) before it.

    Output channels are ordered (row parity, column parity, O). At the map's border the result
    differs: there the original repeats the outermost pixels first and pads with 0 after.
    """
    steps = np.zeros((2, 3, 3))  # parity, coarse pixel, tap
    for parity in (0, 1):
        for tap in range(3):
            fine = parity + tap - 1  # in fine pixels from the coarse pixel's first one
            for offset, share in enumerate(ODD if fine % 2 else EVEN, start=-1):
                coarse = fine // 2 + offset
                if share:
                    steps[parity, coarse + 1, tap] += share
    folded = np.einsum("pat,qbu,oitu->pqoiab", steps, steps, weights.astype(np.float64))
    return np.asarray(folded.reshape(-1, *folded.shape[3:]), np.float32)


def paired_filters(weights: Float32Array, slot: int) -> Float32Array:
    """Filters (O,I,k,k), k odd, for maps whose neighbouring columns lie side by side as channels.

    Gives (2·slot,2·I,k,3): channels are ordered (column parity, channel), with room for `slot` ≥ O
    outputs of each column. An (H,W,C) map in memory is the (H,W/2,2·C) one without any move.
    """
    outputs, inputs, rows, columns = weights.shape
    paired = np.zeros((2, slot, 2, inputs, rows, 3), weights.dtype)
    for parity in (0, 1):
        for tap in range(columns):
            pair, column = divmod(parity + tap - columns // 2, 2)
            paired[parity, :outputs, column, :, :, pair + 1] = weights[:, :, :, tap]
    return paired.reshape(2 * slot, 2 * inputs, rows, 3)


def stacked_filters(
    feature: Float32Array, gate: Float32Array, taps: tuple[float, float] | None
) -> Float32Array:
    """Feature and gate filters (O,I,k,k) as one set (2·O, I or F+I, k, k).

    With `taps` the input is the state (F = I/4 channels) followed by the unshifted map: the
    feature's first F channels see taps[0] × state + taps[1] × map, the gate never sees the state.
    """
    if taps is None:
        return np.concatenate([feature, gate])
    fold = feature.shape[1] // 4
    current = feature.copy()
    current[:, :fold] *= taps[1]
    seen = np.concatenate([taps[0] * feature[:, :fold], current], 1)
    unseen = np.concatenate([np.zeros_like(gate[:, :fold]), gate], 1)
    return np.concatenate([seen, unseen])
