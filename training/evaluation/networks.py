"""Trained networks as methods: ONNX files with their manifests, and run folders of `unvisor train`.

A network that runs frame by frame is stepped; one that looks ahead gets the whole clip at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models import preparation
from models.bank.references import ReferenceBank
from models.engine.choice import open_engine
from models.engine.interface import Engine
from models.filling import Filler, Reference, WarpRegisterFiller
from models.inpainting.architectures import EVI_HRNET, Inpainter, as_inpainter, build
from models.inpainting.inputs_choice import InputsChoice
from models.shipped import Network, load_network, manifest_path
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.evaluation.testimony import Testimony, of_checkpoint, of_manifest
from training.recipes.schema import NetworkChoice
from training.run import checkpoint
from training.sizes.measure import NetworkSize, measure

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

BEST = "best.pt"  # of a run folder


@runtime_checkable
class WholeClipFiller(Protocol):
    """A filler that needs the frames that follow."""

    name: str

    def fill_clip(self, crops: ImageU8, hidden: NDArray[np.uint8], meshes: Float32Array) -> ImageU8:
        """The clip (N,S,S,3) with its holes (N,S,S) filled in; `meshes` (N,478,3) px."""
        ...


class LooksAhead(UserError, ValueError):
    """A network that needs the frames to come is asked for a single one."""


class _Preparing(WarpRegisterFiller):
    """What networks of either kind share: views, and what of a frame they are shown."""

    def __init__(self, name: str, bank: ReferenceBank, shown: InputsChoice) -> None:
        super().__init__(bank)
        self.name = name
        self._shown = shown

    def begin(
        self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array
    ) -> Callable[[], ImageU8]:
        """See `StagedFiller.begin`: a session's pipeline, which `live` scores, asks for halves."""
        inputs = self._inputs(crop, hidden, mesh)

        def end() -> ImageU8:
            image = preparation.image_from_planes(self._drawn(inputs))
            return preparation.compose(image, crop, hidden)

        return end

    def _inputs(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> Float32Array:
        prepared = self._prepared(crop, hidden, mesh)
        if self._shown.reference != "prepared":
            self.detail = None  # of views that this fill does not come from, as in a session
        return self._shown.network_input(prepared)

    def _drawn(self, inputs: Float32Array) -> Float32Array:
        """The next frame's colours (3,S,S) of its input (8,S,S)."""
        raise NotImplementedError


class EngineFiller(_Preparing):
    """A network file, stepped by an engine."""

    def __init__(self, name: str, bank: ReferenceBank, shown: InputsChoice, engine: Engine) -> None:
        """Fill from the views of `bank` with a loaded network of their size."""
        super().__init__(name, bank, shown)
        self._engine = engine

    def reset(self) -> None:
        """Zero the network's states; forget which views were in use."""
        super().reset()
        self._engine.reset()

    def _drawn(self, inputs: Float32Array) -> Float32Array:
        drawn: Float32Array = self._engine.step(inputs[None])[0]
        return drawn


class ModuleFiller(_Preparing):
    """A torch network, stepped."""

    def __init__(
        self, name: str, bank: ReferenceBank, shown: InputsChoice, network: Inpainter
    ) -> None:
        """Fill from the views of `bank` with a trained network of their size."""
        super().__init__(name, bank, shown)
        self._network = network
        self._states = network.initial_states(1)

    def reset(self) -> None:
        """Zero the network's states; forget which views were in use."""
        super().reset()
        self._states = self._network.initial_states(1)

    @torch.inference_mode()
    def _drawn(self, inputs: Float32Array) -> Float32Array:
        planes = torch.from_numpy(inputs)[None]
        fill, self._states = self._network.step(planes, self._states)
        return np.asarray(fill[0].numpy(), np.float32)


class ClipFiller(_Preparing):
    """A torch network that looks ahead: a `WholeClipFiller`."""

    def __init__(
        self, name: str, bank: ReferenceBank, shown: InputsChoice, network: Inpainter
    ) -> None:
        """Fill from the views of `bank` with a trained network of their size."""
        super().__init__(name, bank, shown)
        self._network = network

    def begin(
        self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array
    ) -> Callable[[], ImageU8]:
        """Refused, and so is `fill`: LooksAhead."""
        raise LooksAhead(
            f"'{self.name}' looks ahead: it fills whole clips, not single frames.",
            "Score it by another protocol than live and detail.",
        )

    @torch.inference_mode()
    def fill_clip(self, crops: ImageU8, hidden: NDArray[np.uint8], meshes: Float32Array) -> ImageU8:
        """See `WholeClipFiller.fill_clip`."""
        frames = [self._inputs(*frame) for frame in zip(crops, hidden, meshes, strict=True)]
        fills, _ = self._network(torch.from_numpy(np.stack(frames))[None])
        return np.stack(
            [
                preparation.compose(preparation.image_from_planes(planes), crop, mask)
                for planes, crop, mask in zip(fills[0].numpy(), crops, hidden, strict=True)
            ]
        )


class TrainedNetwork:
    """One row of a comparison: makes fillers, and tells how its weights came to be."""

    def __init__(self, name: str, path: Path, threads: int = 1) -> None:
        """Read the network at `path`: NAME.onnx with NAME.json, a run folder, or its checkpoint.

        Raises:
            UserError: it is missing, damaged, without a manifest, or of no known architecture.
        """
        self.name = name
        self._threads = threads
        self._file: Network | None = None
        self._module: nn.Module | None = None
        if path.suffix == ".onnx":
            self._file, manifest = _network_file(path)
            self.size_px = self._file.size_px
            self.testimony: Testimony = of_manifest(path, manifest)
        else:
            path = path / BEST if path.is_dir() else path
            kept = _checkpoint(path)
            self._module, manifest = _module(path, kept)
            self.size_px = int(as_inpainter(self._module).settings.size_px)
            self.testimony = of_checkpoint(path, kept)
        self.shown = shown_by(manifest)
        self._manifest = manifest

    @cached_property
    def size(self) -> NetworkSize:
        """Parameters, multiplications and time on one core, measured when first asked for."""
        told = self._manifest
        choice = NetworkChoice(told.get("architecture", EVI_HRNET), dict(told.get("settings", {})))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, of its own age
            return measure(choice)

    def __call__(self, reference: Reference | Sequence[Reference], size_px: int) -> Filler:
        """A filler for crops of `size_px`.

        Raises:
            UserError: the network works at another size, or is not what its manifest describes.
        """
        if size_px != self.size_px:
            raise UserError(
                f"'{self.name}' cannot run at {size_px} px: it works at {self.size_px} px.",
                f"Use --filler-size {self.size_px}, and compare networks of one size.",
            )
        views = [reference] if isinstance(reference, Reference) else list(reference)
        bank = ReferenceBank(views, size_px)
        if self._file is not None:
            try:
                engine = open_engine(self._file, "onnx", self._threads)
            except WeightsError as error:
                raise UserError(str(error)) from error
            return EngineFiller(self.name, bank, self.shown, engine)
        assert self._module is not None
        network = as_inpainter(self._module)
        kind = ModuleFiller if network.is_online else ClipFiller
        return kind(self.name, bank, self.shown, network)


def shown_by(manifest: dict[str, Any]) -> InputsChoice:
    """The inputs choice of a manifest or checkpoint; ours where it names none.

    Raises:
        UserError: it names one that is unknown.
    """
    training = manifest.get("training") or {}
    places = (manifest, manifest.get("recipe") or {}, training, training.get("recipe") or {})
    for place in places:
        if isinstance(place.get("inputs"), dict):
            try:
                return InputsChoice(**place["inputs"])
            except TypeError as error:
                raise UserError(f"The network's inputs cannot be read ({error}).") from error
    return InputsChoice()


def _network_file(path: Path) -> tuple[Network, dict[str, Any]]:
    if path.is_file() and not manifest_path(path).is_file():
        raise UserError(
            f"{path} has no {manifest_path(path).name} beside it, which says what the network is.",
            "Copy both, or write both with `unvisor export`.",
        )
    try:
        network = load_network(path)
    except WeightsError as error:
        raise UserError(str(error)) from error
    return network, network.manifest


def _checkpoint(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(
            f"{path} does not exist.",
            "Give an ONNX file, or the folder of a run that has validated at least once.",
        )
    try:
        return checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        raise UserError(str(error)) from error


def _module(path: Path, kept: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    try:
        network = build(kept.get("architecture", "evi-hrnet"), kept["settings"])
        network.load_state_dict(kept["average"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} is not an inpainting network's checkpoint ({error}).",
            "Give the best.pt of a run of `unvisor train`.",
        ) from error
    return network.eval().requires_grad_(False), kept
