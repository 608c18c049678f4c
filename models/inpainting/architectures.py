"""Every inpainting network that can be trained, exported and evaluated, by name.

A network is an `nn.Module` made from a frozen settings record, used like `EviHrnet`:
`forward(clips (B,T,8,S,S), states | None) -> (fill (B,T,3,S,S), states)`,
`step(inputs (B,8,S,S), states) -> (fill (B,3,S,S), states)` and `initial_states(batch)`.
Networks that look ahead have `is_online = False`: they have no `step` and no live use. The settings
have a `contract` (`TensorContract`), from which export and engines take names and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, cast

from torch import Tensor, nn

from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from models.peers.comb_cn import CombCn, CombCnSettings
from models.peers.lgtsm import Lgtsm, LgtsmSettings
from models.peers.m_csam import MCsam, MCsamSettings
from models.peers.per_frame import PerFrame, PerFrameSettings
from models.peers.stn_gan import StnGan, StnGanSettings

States = list[Tensor]


class Inpainter(Protocol):
    """How every network is used; all of them are modules too."""

    settings: Any
    is_online: bool  # False: needs the frames that follow, clips only

    def initial_states(self, batch: int) -> States:
        """Zero states, as at the start of a session."""
        ...

    def step(self, inputs: Tensor, states: States) -> tuple[Tensor, States]:
        """Fill one frame (B,8,S,S); returns (B,3,S,S) and the next states."""
        ...

    def __call__(self, clips: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """Fill clips (B,T,8,S,S) in 0..1; returns (B,T,3,S,S) and the states after the clip."""
        ...


@dataclass(frozen=True)
class Architecture:
    """A network's name in recipes and manifests, its settings record and its module."""

    name: str
    settings_type: type[Any]
    network_type: type[nn.Module]


EVI_HRNET = "evi-hrnet"
ARCHITECTURES: dict[str, Architecture] = {
    each.name: each
    for each in (
        Architecture(EVI_HRNET, NetworkSettings, EviHrnet),
        Architecture("comb-cn", CombCnSettings, CombCn),
        Architecture("lgtsm", LgtsmSettings, Lgtsm),
        Architecture("m-csam", MCsamSettings, MCsam),
        Architecture("per-frame", PerFrameSettings, PerFrame),
        Architecture("stn-gan", StnGanSettings, StnGan),
    )
}


def architecture(name: str) -> Architecture:
    """The architecture called `name`; raises ValueError that lists the names."""
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"there is no architecture '{name}'; choose one of {known}")
    return ARCHITECTURES[name]


def settings_of(name: str, values: Mapping[str, Any]) -> Any:
    """The settings record of architecture `name` from plain values; lists become tuples.

    Raises:
        ValueError: an unknown name, an unknown key (the valid ones are listed) or a bad value.
    """
    kind = architecture(name).settings_type
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"'{name}' has no setting '{unknown[0]}'; it has {', '.join(known)}")
    plain = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    try:
        return kind(**plain)
    except TypeError as error:
        raise ValueError(f"settings of '{name}': {error}") from error


def build(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """An untrained network; raises ValueError as `settings_of` does."""
    return architecture(name).network_type(settings_of(name, settings))


def as_inpainter(network: nn.Module) -> Inpainter:
    """The same module, typed by how it is used."""
    return cast(Inpainter, network)


def name_of(network: nn.Module) -> str:
    """Under which name a network's type is registered; raises ValueError when it is not."""
    for each in ARCHITECTURES.values():
        if type(network) is each.network_type:
            return each.name
    raise ValueError(f"{type(network).__name__} is not in ARCHITECTURES")
