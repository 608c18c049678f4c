"""Image scores of the protocols: PSNR, PSNR inside the mask, SSIM, MSE and LPIPS.

Images are (N,S,S,3) uint8 BGR stacks; every function returns one float64 per frame, and
`summarise` says how frames become one number. SSIM is written here because the published values
are means over the positions where the whole window lies inside the image; torchmetrics also
counts reflected borders (0.905 instead of 0.888 for `paste` on `hmd`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

ImageU8 = NDArray[np.uint8]
FloatArray = NDArray[np.float64]

PSNR_CAP_DB = 100.0  # of equal images, so that means and JSON stay finite
SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5  # 3.5 sigma: an 11 x 11 window
SSIM_FLOORS = (0.01**2, 0.03**2)  # C1, C2 for images in 0..1


@dataclass(frozen=True)
class FrameScores:
    """Scores of the frames of one clip, each (N,)."""

    mse: FloatArray  # over the whole crop, of values in 0..1
    masked_mse: FloatArray  # over the hidden pixels; NaN where nothing is hidden
    psnr_db: FloatArray
    ssim: FloatArray
    lpips: FloatArray  # empty without a network


def score_frames(
    filled: ImageU8, truth: ImageU8, hidden: NDArray[np.uint8], distance: nn.Module | None
) -> FrameScores:
    """Score a clip; `hidden` is (N,S,S), 1 = filled in; `distance` as `lpips_alex` makes it."""
    errors = mse(filled, truth)
    return FrameScores(
        mse=errors,
        masked_mse=masked_mse(filled, truth, hidden),
        psnr_db=psnr_from_mse(errors),
        ssim=ssim(filled, truth),
        lpips=np.empty(0) if distance is None else lpips(distance, filled, truth),
    )


def summarise(clips: Sequence[FrameScores]) -> dict[str, float]:
    """One number per score: the mean over clips of each clip's mean over frames.

    `psnr_masked_db` is made from the mean of the masked MSE, so that one perfect clip does not
    lift it. `lpips` is left out when it was not computed.
    """
    masked = _mean([clip.masked_mse for clip in clips])
    means = {
        "psnr_db": _mean([clip.psnr_db for clip in clips]),
        "psnr_masked_db": float(psnr_from_mse(np.asarray(masked))),
        "ssim": _mean([clip.ssim for clip in clips]),
        "lpips": _mean([clip.lpips for clip in clips]),
        "mse": _mean([clip.mse for clip in clips]),
    }
    return {name: value for name, value in means.items() if np.isfinite(value)}


def clip_means(clips: Sequence[FrameScores]) -> FrameScores:
    """Each clip's means in the place of frames, so that a person's longer clips count no more."""
    return FrameScores(
        **{
            part.name: np.array([_mean([getattr(clip, part.name)]) for clip in clips])
            for part in fields(FrameScores)
        }
    )


def mse(image: ImageU8, other: ImageU8) -> FloatArray:
    """Mean squared difference of each frame, (N,), for values scaled to 0..1."""
    return np.asarray(_squared(image, other).mean((1, 2, 3)), np.float64)


def masked_mse(image: ImageU8, other: ImageU8, hidden: NDArray[np.uint8]) -> FloatArray:
    """As `mse` over the pixels where `hidden` (N,S,S) is 1; NaN where there is none."""
    weights = (hidden != 0).astype(np.float64)
    counts = weights.sum((1, 2)) * image.shape[-1]
    sums = (_squared(image, other) * weights[..., None]).sum((1, 2, 3))
    missing = np.full(len(sums), np.nan)
    return np.asarray(np.divide(sums, counts, out=missing, where=counts > 0), np.float64)


def psnr(image: ImageU8, other: ImageU8) -> FloatArray:
    """Peak signal-to-noise ratio of each frame, (N,) dB, at most `PSNR_CAP_DB`."""
    return psnr_from_mse(mse(image, other))


def psnr_from_mse(error: FloatArray) -> FloatArray:
    """dB of a mean squared error of values in 0..1."""
    floor = 10 ** (-PSNR_CAP_DB / 10)
    return np.asarray(-10 * np.log10(np.maximum(error, floor)), np.float64)


def ssim(image: ImageU8, other: ImageU8) -> FloatArray:
    """Structural similarity of each frame, (N,): Gaussian window, per channel, then averaged."""
    return np.asarray(ssim_map(image, other).mean((1, 2)), np.float64)


def ssim_map(image: ImageU8, other: ImageU8) -> FloatArray:
    """Structural similarity around each position whose window lies inside, (N,S-10,S-10)."""
    luminance, structure = similarity_maps(rgb_tensor(image), rgb_tensor(other))
    return np.asarray((luminance * structure).mean(1).numpy(), np.float64)


def similarity_maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM's two factors, luminance and structure, each (N,C,H-10,W-10), of (N,C,H,W) in 0..1."""
    mean_a, mean_b = _window(a), _window(b)
    variance_a = _window(a * a) - mean_a.square()
    variance_b = _window(b * b) - mean_b.square()
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = SSIM_FLOORS
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return luminance, (2 * covariance + c2) / (variance_a + variance_b + c2)


def lpips(distance: nn.Module, image: ImageU8, other: ImageU8) -> FloatArray:
    """Learned perceptual distance of each frame, (N,); `distance` as `lpips_alex` makes it."""
    with torch.inference_mode():
        values = distance(rgb_tensor(image), rgb_tensor(other))
    return np.asarray(values.double().numpy(), np.float64)


def rgb_tensor(images: ImageU8) -> Tensor:
    """(N,S,S,3) uint8 BGR to (N,3,S,S) float32 RGB in 0..1."""
    rgb = np.ascontiguousarray(images[..., ::-1])
    return torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255


def _mean(clips: Sequence[FloatArray]) -> float:
    kept = [clip[np.isfinite(clip)] for clip in clips]
    means = [float(clip.mean()) for clip in kept if clip.size]
    return float(np.mean(means)) if means else float("nan")


def _squared(image: ImageU8, other: ImageU8) -> FloatArray:
    if image.shape != other.shape:
        raise ValueError(f"images of shape {image.shape} and {other.shape} cannot be compared")
    difference = (image.astype(np.float64) - other.astype(np.float64)) / 255
    return np.asarray(np.square(difference), np.float64)


def _window(x: Tensor) -> Tensor:
    """Gaussian mean around each position whose window lies inside, (N,C,H-10,W-10)."""
    offsets = torch.arange(-SSIM_RADIUS_PX, SSIM_RADIUS_PX + 1, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (offsets / SSIM_SIGMA_PX) ** 2)
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    down = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    across = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return functional.conv2d(functional.conv2d(x, down, groups=channels), across, groups=channels)
