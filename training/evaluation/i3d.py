"""I3D (Carreira and Zisserman, CVPR 2017; Kinetics-400): features of clips, for the video-FID.

The published measure feeds values in 0..1, not -1..1, keeps the clips' own size, and leaves batch
normalisation in training mode, so that every clip is normalised by itself; both modes are offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from training.helper_weights import DEFAULT_FOLDER, read_tensors

FILE = "i3d_rgb_kinetics400_fp16.safetensors"
FEATURES = 1024
SHORTEST_FRAMES = 9  # shorter clips leave training-mode normalisation with one moment only
FLOOR = 1e-3  # added to variances, as in the original
SAME, HALF = (1, 1, 1), (2, 2, 2)


class I3d:
    """Features of clips; frozen."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Look through the network of `weights`, by the names of the PyTorch port."""
        self._weights = weights

    @torch.inference_mode()
    def features(self, clips: Tensor, *, per_clip_statistics: bool) -> Tensor:
        """(B,1024): the mean over time and space of layer Mixed_5c, of clips (B,3,T,H,W) in 0..1.

        With `per_clip_statistics` each layer normalises by the mean and variance of these clips
        (give one at a time), as the published video-FID does; without, by the trained ones.

        Raises:
            ValueError: the clips are too short or too small.
        """
        if clips.shape[2] < SHORTEST_FRAMES or min(clips.shape[3:]) < 32:
            raise ValueError(
                f"clips of {tuple(clips.shape[2:])} are too short or too small for I3D"
            )
        x = self._unit(clips, "Conv3d_1a_7x7", per_clip_statistics, HALF)
        x = _pooled(x, (1, 3, 3), (1, 2, 2))
        x = self._unit(x, "Conv3d_2b_1x1", per_clip_statistics)
        x = self._unit(x, "Conv3d_2c_3x3", per_clip_statistics)
        x = _pooled(x, (1, 3, 3), (1, 2, 2))
        for name in ("Mixed_3b", "Mixed_3c"):
            x = self._mixed(x, name, per_clip_statistics)
        x = _pooled(x, (3, 3, 3), HALF)
        for name in ("Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f"):
            x = self._mixed(x, name, per_clip_statistics)
        x = _pooled(x, HALF, HALF)
        for name in ("Mixed_5b", "Mixed_5c"):
            x = self._mixed(x, name, per_clip_statistics)
        return x.mean((2, 3, 4))

    def _mixed(self, x: Tensor, name: str, per_clip: bool) -> Tensor:
        ways = (
            ("Branch_0.Conv3d_0a_1x1",),
            ("Branch_1.Conv3d_0a_1x1", "Branch_1.Conv3d_0b_3x3"),
            ("Branch_2.Conv3d_0a_1x1", "Branch_2.Conv3d_0b_3x3"),
            ("Branch_3.Conv3d_0b_1x1",),
        )
        branches: list[Tensor] = []
        for units in ways:
            y = x if len(branches) < 3 else _pooled(x, (3, 3, 3), SAME)
            for unit in units:
                y = self._unit(y, f"{name}.{unit}", per_clip)
            branches.append(y)
        return torch.cat(branches, 1)

    def _unit(
        self, x: Tensor, name: str, per_clip: bool, stride: tuple[int, int, int] = SAME
    ) -> Tensor:
        kernel = self._weights[f"{name}.conv.weight"]
        x = functional.conv3d(_padded(x, kernel.shape[2:], stride), kernel, None, stride)
        mean, variance, bias = (
            self._weights[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "bias")
        )
        if per_clip:
            x = functional.batch_norm(x, None, None, None, bias, training=True, eps=FLOOR)
        else:
            x = functional.batch_norm(x, mean, variance, None, bias, eps=FLOOR)
        return functional.relu(x)


def load_i3d(folder: Path = DEFAULT_FOLDER) -> I3d:
    """Read the network.

    Raises:
        HelperWeightsError: the folder does not hold it.
    """
    return I3d(read_tensors(folder / FILE, needed="Mixed_5c.Branch_3.Conv3d_0b_1x1.conv.weight"))


def _padded(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zeros around so that the result has the size over the stride, the odd one at the end."""
    padding = []
    for side, width, step in zip(
        reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True
    ):
        missing = max((-(-side // step) - 1) * step + width - side, 0)
        padding += [missing // 2, missing - missing // 2]
    return functional.pad(x, padding)


def _pooled(x: Tensor, window: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    return functional.max_pool3d(_padded(x, window, stride), window, stride)
