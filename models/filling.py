"""Fillers: what is put into the hole the headset leaves, one crop at a time.

`paste` and `warp` are reference points; `warp-blend` is the floor that a network must beat;
`warp-register` is where the network starts; `unvisor` is the shipped network on top of that.
Training, evaluation and the live pipeline all call these.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models import preparation
from models.engine.choice import open_engine
from models.engine.interface import Engine, EngineChoice
from models.preparation import Reference
from models.shipped import SHIPPED_NETWORK, load_network

__all__ = ["DEFAULT_FILLER", "FILLERS", "Filler", "Reference", "make_filler"]

log = logging.getLogger(__name__)

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


class Filler(Protocol):
    """Fills the hole of one aligned crop; recurrent fillers remember earlier frames."""

    name: str

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """Return the (S,S,3) crop with the pixels where `hidden` (S,S) is 1 filled in.

        Pixels where `hidden` is 0 are returned unchanged. `mesh` is (478,3) in px of the crop.
        """
        ...

    def reset(self) -> None:
        """Forget earlier frames."""
        ...


class PasteFiller:
    """Copies the reference as it lies: a reference point."""

    name = "paste"

    def __init__(self, reference: Reference) -> None:
        """Fill from `reference`."""
        self.reference = reference

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """See `Filler.fill`."""
        return preparation.compose(self.reference.image, crop, hidden)

    def reset(self) -> None:
        """Nothing is remembered."""


class WarpFiller(PasteFiller):
    """Moves the reference onto the current pose by the face mesh."""

    name = "warp"

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """See `Filler.fill`."""
        warped = preparation.warp_reference(self.reference, mesh)
        return preparation.compose(warped, crop, hidden)


class WarpBlendFiller(PasteFiller):
    """`warp`, with the difference at the hole's border continued inside."""

    name = "warp-blend"

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """See `Filler.fill`."""
        warped = preparation.warp_reference(self.reference, mesh)
        return preparation.compose(preparation.blend(warped, crop, hidden), crop, hidden)


class WarpRegisterFiller(PasteFiller):
    """`warp-blend`, after what the warp leaves has been inferred from around the hole."""

    name = "warp-register"

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """See `Filler.fill`."""
        prepared = preparation.prepare(crop, hidden, mesh, self.reference)
        return preparation.compose(prepared.reference, crop, hidden)


class NetworkFiller:
    """The recurrent network, run by an engine, on top of the prepared reference."""

    name = "unvisor"

    def __init__(self, reference: Reference, engine: Engine) -> None:
        """Fill from `reference` with a loaded network of the reference's size."""
        self.reference, self.engine = reference, engine

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """See `Filler.fill`."""
        prepared = preparation.prepare(crop, hidden, mesh, self.reference)
        planes = self.engine.step(preparation.network_input(prepared)[None])[0]
        return preparation.compose(preparation.image_from_planes(planes), crop, hidden)

    def reset(self) -> None:
        """Zero the network's states."""
        self.engine.reset()


FILLERS = ("paste", "warp", "warp-blend", "warp-register", "unvisor")
# Must beat `warp-blend` in PSNR and LPIPS on both `hmd` protocols, or `warp-blend` is the default.
DEFAULT_FILLER = "unvisor"


def make_filler(
    name: str,
    reference: Reference,
    *,
    threads: int = 2,
    weights: Path | None = None,
    engine: EngineChoice = "onnx",
    tell: Callable[[str], None] = log.warning,
) -> Filler:
    """Build a filler by name; `weights` replaces the shipped network of `unvisor`.

    `engine` is what runs it; `tell` gets a sentence when that cannot be had, see `open_engine`.

    Raises ValueError for an unknown name, WeightsError when the network cannot be used.
    """
    plain: dict[str, type[PasteFiller]] = {
        kind.name: kind for kind in (PasteFiller, WarpFiller, WarpBlendFiller, WarpRegisterFiller)
    }
    if name in plain:
        return plain[name](reference)
    if name != NetworkFiller.name:
        raise ValueError(f"unknown filler '{name}'; choose one of {', '.join(FILLERS)}")
    network = load_network(weights or SHIPPED_NETWORK)
    if network.size_px != len(reference.image):
        raise ValueError(
            f"{network.path.name} works at {network.size_px} px, "
            f"the reference has {len(reference.image)} px"
        )
    return NetworkFiller(reference, open_engine(network, engine, threads, tell=tell))
