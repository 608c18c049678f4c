"""Patch discriminator with spectral normalisation that acts on the weights which run."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

LEAK = 0.2


class PatchDiscriminator(nn.Sequential):
    """Scores patches of composited frames with their mask: (N,4,S,S) -> (N,1,S/8,S/8), linear."""

    def __init__(self, width: int = 32) -> None:
        """Three strided convolutions of `width`, 2 and 4 × `width` channels and a linear head."""
        layers: list[nn.Module] = []
        channels = 4
        for outputs in (width, 2 * width, 4 * width):
            layers += [
                spectral_norm(nn.Conv2d(channels, outputs, 5, 2, 2)),
                nn.LeakyReLU(LEAK),
            ]
            channels = outputs
        layers.append(spectral_norm(nn.Conv2d(channels, 1, 3, 1, 1)))
        super().__init__(*layers)

    def forward(self, composites_and_mask: Tensor) -> Tensor:
        """Patch scores; above 0 looks real."""
        scores: Tensor = super().forward(composites_and_mask)  # type: ignore[no-untyped-call]
        return scores
