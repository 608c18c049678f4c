"""Fillers: what is put into the hole the headset leaves, one crop at a time.

`paste` and `warp` are reference points; `warp-blend` is the floor that a network must beat;
`warp-register` is where the network starts; `unvisor` is the shipped network on top of that.
Training, evaluation and the live pipeline all call these.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from models import preparation
from models.background.plate import PlateCrop
from models.bank.references import ReferenceBank
from models.blending import blend
from models.detail import Detail
from models.engine.choice import open_engine
from models.engine.interface import Engine, EngineChoice, restarts_of
from models.inpainting.inputs_choice import InputsChoice
from models.preparation import Reference
from models.preparer import Preparer
from models.shipped import SHIPPED_NETWORK, Network, load_network
from models.weights_error import WeightsError

__all__ = [
    "DEFAULT_FILLER",
    "FILLERS",
    "DetailedFiller",
    "Filler",
    "PlateFiller",
    "Reference",
    "StagedFiller",
    "make_filler",
]

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


@runtime_checkable
class StagedFiller(Filler, Protocol):
    """A filler whose work has two halves, so that two threads can share a session's frames.

    One thread begins all frames in their order, and resets; another one ends them in that order.
    """

    def begin(
        self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array
    ) -> Callable[[], ImageU8]:
        """The first half of `fill`; what is returned is the second half."""
        ...


@runtime_checkable
class DetailedFiller(Filler, Protocol):
    """A filler that can tell how its last fill is drawn at the frame's resolution."""

    @property
    def detail(self) -> Detail | None:
        """Of the last fill begun; None before one, after a reset, and where no view was used."""
        ...


@runtime_checkable
class PlateFiller(Filler, Protocol):
    """A filler that can put the room behind the person."""

    plate: PlateCrop | None  # of the crop that is filled next; None = the room is not known

    @property
    def matte(self) -> Float32Array | None:
        """Where the last fill begun shows the person, (S,S) 0..1; None = that is not known."""
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
        return preparation.compose(blend(warped, crop, hidden), crop, hidden)


class WarpRegisterFiller:
    """`warp-blend` from the nearest views, after inferring what the warp leaves."""

    name = "warp-register"

    def __init__(self, bank: ReferenceBank) -> None:
        """Fill from the views of `bank`."""
        self._preparer = Preparer(bank)
        self.detail: Detail | None = None
        self.plate: PlateCrop | None = None

    @property
    def matte(self) -> Float32Array | None:
        """See `PlateFiller.matte`."""
        return None if self.detail is None else self.detail.drawn.matte

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """See `Filler.fill`."""
        return self.begin(crop, hidden, mesh)()

    def begin(
        self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array
    ) -> Callable[[], ImageU8]:
        """See `StagedFiller.begin`."""
        prepared = self._prepared(crop, hidden, mesh)
        return lambda: preparation.compose(prepared.reference, crop, hidden)

    def reset(self) -> None:
        """Forget earlier frames."""
        self._preparer.reset()
        self.detail = self.plate = None

    def _prepared(
        self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array
    ) -> preparation.Prepared:
        prepared = self._preparer.step(crop, hidden, mesh, self.plate)
        self.detail = Detail(prepared.drawn)
        return prepared


class NetworkFiller(WarpRegisterFiller):
    """A recurrent network, run by an engine: ours on top of the prepared reference, or a peer.

    The first half of a fill prepares, the second one runs the network.
    """

    name = "unvisor"

    def __init__(
        self, bank: ReferenceBank, engine: Engine, inputs: InputsChoice | None = None
    ) -> None:
        """Fill from the views of `bank` with a loaded network of their size, shown `inputs`."""
        super().__init__(bank)
        self.engine, self.inputs = engine, inputs or InputsChoice()
        self._starts_afresh = False

    @property
    def restarts(self) -> int:
        """See `Restarting.restarts`: those of the engine."""
        return restarts_of(self.engine)

    def begin(
        self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array
    ) -> Callable[[], ImageU8]:
        """See `StagedFiller.begin`."""
        prepared = self._prepared(crop, hidden, mesh)
        if self.inputs.reference != "prepared":
            self.detail = None  # of views that this fill does not come from
        inputs = self.inputs.network_input(prepared)[None]
        starts_afresh, self._starts_afresh = self._starts_afresh, False
        return lambda: self._drawn(inputs, crop, hidden, starts_afresh)

    def reset(self) -> None:
        """Forget earlier frames; the network's states are zeroed when the next frame's turn comes.

        Until then the one before may still be on its way through the network.
        """
        super().reset()
        self._starts_afresh = True

    def _drawn(
        self, inputs: Float32Array, crop: ImageU8, hidden: NDArray[np.uint8], starts_afresh: bool
    ) -> ImageU8:
        if starts_afresh:
            self.engine.reset()
        planes = self.engine.step(inputs)[0]
        return preparation.compose(preparation.image_from_planes(planes), crop, hidden)


FILLERS = ("paste", "warp", "warp-blend", "warp-register", "unvisor")
# Must beat `warp-blend` in PSNR and LPIPS on both `hmd` protocols, or `warp-blend` is the default.
DEFAULT_FILLER = "unvisor"


def make_filler(
    name: str,
    references: Reference | Sequence[Reference],
    *,
    size_px: int | None = None,
    threads: int = 2,
    weights: Path | Network | None = None,
    engine: EngineChoice = "onnx",
    tell: Callable[[str], None] = log.warning,
) -> Filler:
    """Build a filler by name; `weights` replaces the shipped network of `unvisor`.

    Args:
        name: one of `FILLERS`.
        references: the wearer's views, best frontal first; fillers without registration use that.
        size_px: side of the crops; None = as the first view's.
        threads: of the network.
        weights: an ONNX file, or a network that was loaded from one.
        engine: what runs it.
        tell: gets a sentence when that cannot be had, see `open_engine`.

    Raises ValueError for an unknown name, WeightsError when the network cannot be used.
    """
    views = [references] if isinstance(references, Reference) else list(references)
    size_px = size_px or len(views[0].image)
    plain: dict[str, type[PasteFiller]] = {
        kind.name: kind for kind in (PasteFiller, WarpFiller, WarpBlendFiller)
    }
    if name in plain:
        return plain[name](views[0].resized(size_px))
    if name == WarpRegisterFiller.name:
        return WarpRegisterFiller(ReferenceBank(views, size_px))
    if name != NetworkFiller.name:
        raise ValueError(f"unknown filler '{name}'; choose one of {', '.join(FILLERS)}")
    network = weights if isinstance(weights, Network) else load_network(weights or SHIPPED_NETWORK)
    if network.size_px != size_px:
        raise WeightsError(
            f"{network.path.name} works at {network.size_px} px, the reference has {size_px} px."
        )
    opened = open_engine(network, engine, threads, tell=tell)
    return NetworkFiller(ReferenceBank(views, size_px), opened, network.inputs)
