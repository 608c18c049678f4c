"""All terms of one training, by the names of their weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from training.adversaries.registry import JudgedClips
from training.feeding.pool import Chunk
from training.helper_weights import vgg16_features
from training.loss_terms.faces import ExpressionLoss, IdentityLoss, expression_network
from training.loss_terms.features import FeatureLosses
from training.loss_terms.pixels import decibels, l1_in_hole, temporal_change
from training.recipes.schema import LossSettings, LossWeights

Terms = dict[str, Tensor]


class LossTerms(nn.Module):
    """Every term whose weight is not 0, but for the adversary's."""

    def __init__(
        self,
        weights: LossWeights,
        settings: LossSettings,
        features: FeatureLosses | None = None,
        expression: nn.Module | None = None,
        identity: nn.Module | None = None,
    ) -> None:
        """Use frozen networks that were loaded; one that is None leaves its term out."""
        super().__init__()
        self.weights, self.settings = weights, settings
        self.features, self.expression, self.identity = features, expression, identity

    @classmethod
    def load(cls, weights: LossWeights, settings: LossSettings, folder: Path) -> LossTerms:
        """With the networks that `weights` ask for, from a folder of helper weights.

        Raises:
            HelperWeightsError: one is missing.
        """
        features = expression = identity = None
        if weights.perceptual or weights.style:
            layers = tuple(range(settings.first_layer, settings.first_layer + settings.layers))
            looks = (layers, settings.normalised, settings.style_halving)
            features = FeatureLosses(vgg16_features(folder), *looks)
        if weights.expression:
            expression = ExpressionLoss(expression_network(settings.expression_network, folder))
        if weights.identity:
            identity = IdentityLoss(folder)
        return cls(weights, settings, features, expression, identity)

    def forward(self, clips: JudgedClips, chunk: Chunk, step: int) -> Terms:
        """The terms on a chunk; `step` chooses which frames the costly ones look at."""
        weights = self.weights
        composite, truth, mask = (
            part.flatten(0, 1) for part in (clips.composite, clips.truth, clips.mask)
        )
        terms: Terms = {}
        if weights.l1:
            terms["l1"] = l1_in_hole(composite, truth, mask)
        if weights.l1_frame:
            terms["l1_frame"] = (composite - truth).abs().mean()
        if weights.decibel:
            terms["decibel"] = decibels(composite, truth, mask)
        if weights.temporal:
            terms["temporal"] = temporal_change(clips.composite, clips.truth, clips.mask)
        terms |= self._feature_terms(composite, truth, chunk, step)
        some = _in_turn(self.settings.expression_share, step)
        faces = chunk.faces.flatten(0, 1)
        for name, loss in (("expression", self.expression), ("identity", self.identity)):
            if loss is not None and getattr(weights, name):
                terms[name] = loss(composite[some], truth[some], faces[some])
        return terms

    def _feature_terms(self, composite: Tensor, truth: Tensor, chunk: Chunk, step: int) -> Terms:
        if self.features is None:
            return {}
        rows, columns = chunk.around_hole
        if self.settings.region == "frame":
            rows = columns = slice(None)
        some = _in_turn(self.settings.perceptual_share, step)
        perceptual, style = self.features(
            composite[some][..., rows, columns], truth[some][..., rows, columns]
        )
        found = {"perceptual": perceptual, "style": style}
        return {name: value for name, value in found.items() if getattr(self.weights, name)}


def weighted(terms: Terms, weights: LossWeights) -> Tensor:
    """Their sum under the weights of the same names."""
    return torch.stack([value * getattr(weights, name) for name, value in terms.items()]).sum()


def _in_turn(share: float, step: int) -> slice:
    """A share of the frames, others in the next step."""
    every = max(1, round(1 / share))
    return slice(step % every, None, every)
