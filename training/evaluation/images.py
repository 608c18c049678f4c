"""Frame scores beside those of `metrics`: L1, MS-SSIM, and scores inside the hole."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from training.clips.faces import ImageU8
from training.evaluation.metrics import SSIM_RADIUS_PX, lpips, rgb_tensor, similarity_maps, ssim_map

FloatArray = NDArray[np.float64]

# Wang et al., Asilomar 2003, have five scales; where the last ones are smaller than the window, as
# the fifth is on 128 px and the fourth on 64, their weight is shared out among the others. Crops
# without room for three have no MS-SSIM.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363)
FEWEST_SCALES = 3
SMALLEST_LPIPS_PX = 40  # of the box around a hole; AlexNet's last maps vanish below


def l1(image: ImageU8, other: ImageU8) -> FloatArray:
    """Mean absolute difference of each frame, (N,), of values in 0..1."""
    return np.asarray(_absolute(image, other).mean((1, 2)), np.float64)


def masked_l1(image: ImageU8, other: ImageU8, hidden: NDArray[np.uint8]) -> FloatArray:
    """As `l1` where `hidden` (N,S,S) is 1; NaN where nothing is."""
    return _mean_in(_absolute(image, other), hidden != 0)


def masked_ssim(image: ImageU8, other: ImageU8, hidden: NDArray[np.uint8]) -> FloatArray:
    """SSIM (N,) over the windows whose middle is hidden; NaN where there is none."""
    inner = slice(SSIM_RADIUS_PX, -SSIM_RADIUS_PX)
    return _mean_in(ssim_map(image, other), hidden[:, inner, inner] != 0)


def ms_ssim(image: ImageU8, other: ImageU8) -> FloatArray:
    """Multi-scale SSIM of each frame, (N,): four scales from 88 px on, three from 44, or empty."""
    window = 2 * SSIM_RADIUS_PX + 1
    weights = [w for at, w in enumerate(SCALE_WEIGHTS) if image.shape[1] >> at >= window]
    if len(weights) < FEWEST_SCALES:
        return np.empty(0)
    a, b = rgb_tensor(image), rgb_tensor(other)
    product = torch.ones(len(a), dtype=torch.float64)
    last = len(weights) - 1
    for scale, weight in enumerate(weights):
        luminance, structure = similarity_maps(a, b)
        similar = (luminance * structure if scale == last else structure).mean((1, 2, 3))
        product *= similar.double().clamp_min(0) ** (weight / sum(weights))
        a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
    return product.numpy()


def masked_lpips(
    distance: nn.Module, image: ImageU8, other: ImageU8, hidden: NDArray[np.uint8]
) -> FloatArray:
    """LPIPS (N,) of the box around each frame's hole; NaN where nothing is hidden."""
    values = np.full(len(image), np.nan)
    for index, mask in enumerate(hidden):
        if mask.any():
            box = (slice(index, index + 1), *_box_around(mask))
            values[index] = lpips(distance, image[box], other[box])[0]
    return values


def _absolute(image: ImageU8, other: ImageU8) -> FloatArray:
    """(N,S,S), mean of the channels."""
    return np.asarray(np.abs(image.astype(np.float64) - other).mean(3) / 255, np.float64)


def _mean_in(values: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    counts = chosen.sum((1, 2))
    missing = np.full(len(values), np.nan)
    sums = (values * chosen).sum((1, 2))
    return np.asarray(np.divide(sums, counts, out=missing, where=counts > 0), np.float64)


def _box_around(mask: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns around what is hidden, at least `SMALLEST_LPIPS_PX` of each."""
    rows, columns = np.nonzero(mask)
    return _span(rows, len(mask)), _span(columns, mask.shape[1])


def _span(places: NDArray[np.intp], size: int) -> slice:
    first, last = int(places.min()), int(places.max()) + 1
    missing = max(SMALLEST_LPIPS_PX - (last - first), 0)
    first = min(max(first - missing // 2, 0), max(size - SMALLEST_LPIPS_PX, 0))
    return slice(first, min(max(last, first + SMALLEST_LPIPS_PX), size))
