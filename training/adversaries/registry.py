"""What an adversary offers, and every adversary by name.

An adversary judges clips. The trainer owns its optimiser: it adds `generator_loss` to the network's
losses, then descends `judge_loss` on the same clips, cut off from the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from models.contract import CONTOURS, MASK

NONE = "none"


@dataclass(frozen=True)
class JudgedClips:
    """Filled clips beside the true ones; RGB in 0..1."""

    composite: Tensor  # (B,T,3,S,S) the fill in the hole, known pixels elsewhere
    truth: Tensor  # (B,T,3,S,S)
    inputs: Tensor  # (B,T,8,S,S) what the network saw, see `models.contract`

    @property
    def mask(self) -> Tensor:
        """(B,T,1,S,S), 1 = hidden."""
        return self.inputs[:, :, MASK]

    @property
    def contours(self) -> Tensor:
        """(B,T,1,S,S) landmark contours."""
        return self.inputs[:, :, CONTOURS]

    def cut_off(self) -> JudgedClips:
        """The same clips, through which no gradient reaches the network."""
        return JudgedClips(self.composite.detach(), self.truth, self.inputs)


class Adversary(nn.Module):
    """A network, or several, that tells filled clips from true ones."""

    judges_features: bool = False  # wants `look_through` before it judges
    judge_steps: int = 1  # how often `judge_loss` is descended for each step of the network
    grown_parts: tuple[str, ...] = ()  # modules that start as the identity: weights may lack them

    def look_through(self, features: nn.Module) -> None:
        """Take frozen VGG16 (`training.helper_weights`), for those that judge features by it."""

    def goes_on_from(self, weights: Mapping[str, Tensor]) -> bool:
        """Take the weights of an adversary of this shape; False, and unchanged, for another's."""
        own = self.state_dict()
        missing = [name.split(".") for name in own.keys() - weights.keys()]
        fits = all(name in own and own[name].shape == w.shape for name, w in weights.items())
        if not weights or not fits or not all(set(self.grown_parts) & set(n) for n in missing):
            return False
        self.load_state_dict({**own, **weights})
        return True

    def generator_loss(self, clips: JudgedClips) -> Tensor:
        """What the inpainting network adds to its losses, a scalar; gradients reach `composite`."""
        raise NotImplementedError

    def judge_loss(self, clips: JudgedClips) -> Tensor:
        """What the adversary itself descends, a scalar; `clips` are cut off."""
        raise NotImplementedError


@dataclass(frozen=True)
class AdversaryKind:
    """An adversary's name in recipes, its settings record and its module (made from the record)."""

    name: str
    settings_type: type[Any]
    adversary_type: type[Adversary]


def make_adversary(
    kinds: Mapping[str, AdversaryKind], name: str, settings: Mapping[str, Any]
) -> Adversary | None:
    """An untrained adversary; None for "none".

    Raises:
        ValueError: an unknown name, an unknown key (the valid ones are listed) or a bad value.
    """
    if name == NONE:
        return None
    if name not in kinds:
        known = ", ".join([NONE, *sorted(kinds)])
        raise ValueError(f"there is no adversary '{name}'; choose one of {known}")
    kind = kinds[name]
    known_keys = [field.name for field in fields(kind.settings_type)]
    unknown = sorted(set(settings) - set(known_keys))
    if unknown:
        raise ValueError(
            f"adversary '{name}' has no setting '{unknown[0]}'; it has {', '.join(known_keys)}"
        )
    make: Any = kind.adversary_type
    adversary: Adversary = make(kind.settings_type(**settings))
    return adversary
