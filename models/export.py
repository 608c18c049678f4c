"""`unvisor export`: from a training checkpoint to an ONNX file with its manifest."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from models.checkout import commit
from models.contract import FILL, INPUT, TensorContract
from models.covers.contract import COVER_NET, cover_net_contract
from models.covers.network import CoverNet, ExportedCoverNet
from models.eyes.contract import EYE_NET, eye_net_contract
from models.eyes.network import ExportedEyeNet, EyeNet, EyeNetSettings
from models.face_masks.contract import FACE_MASK_NET, face_mask_net_contract
from models.face_masks.network import FaceMaskNet, FaceMaskNetSettings
from models.headset.contract import HEADSET_NET, headset_net_contract
from models.headset.network import ExportedHeadsetNet, HeadsetNet, HeadsetNetSettings
from models.identity.contract import CHIP, FACE_PRINT, face_print_contract
from models.identity.face_chip import BARE
from models.identity.network import FacePrintNet
from models.inpainting import architectures
from models.mask_unet import ExportedMaskUNet
from models.outlines.contract import OUTLINE_NET, outline_net_contract
from models.outlines.network import OutlineNet, OutlineNetSettings
from models.quantisation.filter_storage import store_filters_in_8_bit
from models.quantisation.half import QuantisedGraph, write_half_precision
from models.shipped import MANIFEST_SCHEMA, manifest_path, sha256
from models.weights_error import WeightsError

# What checkpoints of `unvisor train` say about themselves, and manifests repeat.
TOLD = (
    *("inputs", "recipe", "data_hash", "licence_classes", "hours", "device", "seed", "commit"),
    "torch",
)
OPSET = 17  # GridSample needs 16; TensorRT 8.6 and later read 17


class Precision(str, Enum):
    """Of the exported file."""

    FP32 = "fp32"
    FP16 = "fp16"


class _Step(nn.Module):
    """One frame, states as separate arguments: the shape of the exported graph."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        fill, after = architectures.as_inpainter(self.network).step(inputs, list(states))
        return (fill, *after)


def export_network(network: nn.Module, path: Path, testimony: dict[str, Any]) -> None:
    """Write `path` (.onnx) and its manifest; `testimony` (data, scores, …) goes into the latter.

    Raises:
        ValueError: the network is of no registered architecture, or looks at frames that follow.
    """
    inpainter, name = architectures.as_inpainter(network), architectures.name_of(network)
    if not inpainter.is_online:
        raise ValueError("it needs the frames that follow: evaluate its run folder instead")
    contract: TensorContract = inpainter.settings.contract
    enters = [INPUT, *(name for name, _ in contract.state_names)]
    leaves = [FILL, *(name for _, name in contract.state_names)]
    network.eval()
    example = (torch.zeros(contract.inputs[0].shape), *inpainter.initial_states(1))
    _write_onnx(_Step(network), example, path, enters, leaves)
    told = {"architecture": name, "settings": asdict(inpainter.settings)}
    _write_manifest(path, {**told, "contract": asdict(contract), **testimony})


def _write_onnx(
    network: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    enters: list[str],
    leaves: list[str],
    free_axes: dict[str, dict[int, str]] | None = None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.onnx.export(
        network, example, str(partial), dynamo=False, opset_version=OPSET,
        input_names=enters, output_names=leaves, dynamic_axes=free_axes,
    )  # fmt: skip
    os.replace(partial, path)


def _write_manifest(path: Path, testimony: dict[str, Any]) -> None:
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "sha256": sha256(path),
        "opset": OPSET,
        **testimony,
    }
    manifest_path(path).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def export_headset_net(network: HeadsetNet, path: Path, testimony: dict[str, Any]) -> None:
    """Write HeadsetNet as `path` (.onnx) with its manifest."""
    settings = {"kind": HEADSET_NET, "settings": asdict(network.settings)}
    exported = ExportedHeadsetNet(network)
    _export_stateless(exported, headset_net_contract(), path, {**settings, **testimony})


def export_eye_net(network: EyeNet, path: Path, testimony: dict[str, Any]) -> None:
    """Write EyeNet as `path` (.onnx) with its manifest."""
    settings = {"kind": EYE_NET, "settings": asdict(network.settings)}
    _export_stateless(ExportedEyeNet(network), eye_net_contract(), path, {**settings, **testimony})


def export_face_mask_net(network: FaceMaskNet, path: Path, testimony: dict[str, Any]) -> None:
    """Write FaceMaskNet as `path` (.onnx) with its manifest."""
    settings = {"kind": FACE_MASK_NET, "settings": asdict(network.settings)}
    exported = ExportedMaskUNet(network)
    _export_stateless(exported, face_mask_net_contract(), path, {**settings, **testimony})


def export_outline_net(network: OutlineNet, path: Path, testimony: dict[str, Any]) -> None:
    """Write OutlineNet as `path` (.onnx) with its manifest."""
    settings = {"kind": OUTLINE_NET, "settings": asdict(network.settings)}
    exported = ExportedMaskUNet(network)
    _export_stateless(exported, outline_net_contract(), path, {**settings, **testimony})


def _export_stateless(
    network: nn.Module, contract: TensorContract, path: Path, testimony: dict[str, Any]
) -> None:
    _write_onnx(
        network.eval(),
        (torch.zeros(contract.inputs[0].shape),),
        path,
        [spec.name for spec in contract.inputs],
        [spec.name for spec in contract.outputs],
    )
    _write_manifest(path, testimony)


def export_face_print(network: FacePrintNet, path: Path, testimony: dict[str, Any]) -> None:
    """Write FacePrintNet as `path` (.onnx) with its manifest; one file serves both windows.

    Filters are stored as 8-bit numbers with a scale per channel, as the port they come from has
    them: a quarter of the size. The runtime turns them into floats when it loads them.
    """
    contract = face_print_contract(BARE)
    names = [spec.name for spec in contract.outputs]
    example = (torch.zeros(contract.inputs[0].shape),)
    _write_onnx(network.eval(), example, path, [CHIP], names, {CHIP: {2: "rows"}})
    store_filters_in_8_bit(path)
    _write_manifest(path, {"kind": FACE_PRINT, "settings": {}, **testimony})


def export_cover_net(network: CoverNet, path: Path, testimony: dict[str, Any]) -> None:
    """Write CoverNet as `path` (.onnx) with its manifest."""
    contract = cover_net_contract()
    _write_onnx(
        ExportedCoverNet(network).eval(),
        (torch.zeros(contract.inputs[0].shape),),
        path,
        [spec.name for spec in contract.inputs],
        [spec.name for spec in contract.outputs],
    )
    settings = {"kind": COVER_NET, "settings": asdict(network.settings), "commit": commit()}
    _write_manifest(path, {**settings, **testimony})


def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="best.pt of a training run, or an ONNX file written before.")
    ],
    output: Annotated[Path, typer.Argument(help="ONNX file to write; NAME.json goes beside it.")],
    precision: Annotated[
        Precision, typer.Option(help="fp16: half-precision weights, activations and states.")
    ] = Precision.FP32,
    notes: Annotated[
        Path | None, typer.Option(help="JSON with more for the manifest: data, scores, limits.")
    ] = None,
) -> None:
    """Export a trained network for the runtime engines."""
    if precision is Precision.FP16:
        _export_half(checkpoint, output, notes)
    else:
        _export_full(checkpoint, output, notes)
    typer.echo(f"{output} and {manifest_path(output)} written.")


def _export_half(source: Path, output: Path, notes: Path | None) -> None:
    """Halve an ONNX file, or a checkpoint by way of one."""
    if source.suffix == ".onnx":
        if source.resolve() == output.resolve():
            raise typer.BadParameter("give the FP16 file another name")
        if notes is not None:
            raise typer.BadParameter(f"the manifest of {source} is kept: leave out --notes")
        try:
            write_half_precision(source, output)
        except (WeightsError, QuantisedGraph) as error:
            raise typer.BadParameter(str(error)) from error
        return
    with tempfile.TemporaryDirectory(prefix="unvisor-") as folder:
        full = Path(folder) / "full.onnx"
        _export_full(source, full, notes)
        write_half_precision(full, output)


def _export_full(checkpoint: Path, output: Path, notes: Path | None) -> None:
    if not checkpoint.is_file():
        raise typer.BadParameter(f"{checkpoint} does not exist; give the best.pt of a run")
    noted = _noted(notes)
    with _plain_errors(checkpoint):
        kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
        is_last = "average" in kept and "validation" not in kept
        network = None if is_last else _trained(kept)
    if network is None:
        raise typer.BadParameter(f"no validation chose {checkpoint}; give the best.pt of its run")
    testimony = {
        "trained_steps": kept["step"],
        "validation": kept["validation"],
        "training": kept.get("training", {}),
        "commit": commit(),
        **{key: kept[key] for key in TOLD if key in kept},
        **noted,
    }
    if isinstance(network, HeadsetNet):
        export_headset_net(network, output, testimony)
    elif isinstance(network, EyeNet):
        export_eye_net(network, output, testimony)
    elif isinstance(network, FacePrintNet):
        export_face_print(network, output, testimony)
    elif isinstance(network, FaceMaskNet):
        export_face_mask_net(network, output, testimony)
    elif isinstance(network, OutlineNet):
        export_outline_net(network, output, testimony)
    else:
        try:
            export_network(network, output, testimony)
        except ValueError as error:
            raise typer.BadParameter(f"{checkpoint} cannot be exported: {error}") from error


def _noted(notes: Path | None) -> dict[str, Any]:
    if notes is None:
        return {}
    try:
        found = json.loads(notes.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{notes} is no JSON object that can be read ({error})") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f'{notes} is no JSON object; write {{"NAME": VALUE}}')
    return found


def _trained(kept: dict[str, Any]) -> nn.Module:
    """The averaged network of a checkpoint of one of the `unvisor train…` commands."""
    network: nn.Module
    if "eye_net" in kept:
        network = EyeNet(EyeNetSettings(**kept["eye_net"]))
    elif "face_print" in kept:
        network = FacePrintNet()
    elif "headset_net" in kept:
        network = HeadsetNet(HeadsetNetSettings(**kept["headset_net"]))
    elif "face_mask_net" in kept:
        network = FaceMaskNet(FaceMaskNetSettings(**kept["face_mask_net"]))
    elif "outline_net" in kept:
        network = OutlineNet(OutlineNetSettings(**kept["outline_net"]))
    else:
        # Checkpoints of earlier versions name no architecture: there was one.
        name = kept.get("architecture", architectures.EVI_HRNET)
        network = architectures.build(name, kept["settings"])
    network.load_state_dict(kept["average"])
    return network


@contextmanager
def _plain_errors(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # foreign bytes fail in the unpickler in every possible way
        raise typer.BadParameter(
            f"{checkpoint} is not a checkpoint of `unvisor train`; give the best.pt of a run"
        ) from error
