"""M-CSAM's adversary: judges of image patches and of patches of VGG16 features.

Yang, 2024: 70×70 px patches and feature patches under the relativistic average least-squares
objective. Both see composites frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from training.adversaries.critics import FeaturePatchCritic, PatchCritic
from training.adversaries.objectives import relativistic_discriminator, relativistic_generator
from training.adversaries.registry import Adversary, JudgedClips

FEATURE_LAYER, FEATURE_CHANNELS = 3, 512  # relu4_3, the fourth activation of VGG16


@dataclass(frozen=True)
class FeaturePatchSettings:
    """`[adversary.settings]` of kind "feature-patch"."""

    width: int = 64
    feature_width: int = 256


class FeaturePatchAdversary(Adversary):
    """Two judges whose losses are added."""

    judges_features = True

    def __init__(self, settings: FeaturePatchSettings) -> None:
        """Build both judges; the features come by `look_through`."""
        super().__init__()
        self.settings = settings
        self.patches = PatchCritic(3, settings.width)
        self.feature_patches = FeaturePatchCritic(FEATURE_CHANNELS, settings.feature_width)
        self._frozen: tuple[nn.Module, ...] = ()  # in a tuple: no part of this module's weights

    def look_through(self, features: nn.Module) -> None:
        """See `Adversary`."""
        self._frozen = (features,)

    def generator_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`; raises RuntimeError before `look_through`."""
        fakes, reals = self._scores(clips.composite), self._scores(clips.truth)
        losses = [relativistic_generator(*pair) for pair in zip(reals, fakes, strict=True)]
        return losses[0] + losses[1]

    def judge_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`; raises RuntimeError before `look_through`."""
        fakes, reals = self._scores(clips.composite), self._scores(clips.truth)
        losses = [relativistic_discriminator(*pair) for pair in zip(reals, fakes, strict=True)]
        return losses[0] + losses[1]

    def _scores(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        if not self._frozen:
            raise RuntimeError("this adversary judges features: call look_through first")
        frames = clips.flatten(0, 1)
        features = self._frozen[0](frames)[FEATURE_LAYER]
        return self.patches(frames), self.feature_patches(features)
