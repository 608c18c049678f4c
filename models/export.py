"""`unvisor export`: from a training checkpoint to an ONNX file with its manifest."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from models.contract import FILL, INPUT
from models.cover_contract import COVER_NET, cover_net_contract
from models.cover_net import CoverNet, ExportedCoverNet
from models.evi_hrnet import EviHrnet, NetworkSettings
from models.headset_contract import HEADSET_NET, headset_net_contract
from models.headset_net import ExportedHeadsetNet, HeadsetNet, HeadsetNetSettings
from models.shipped import MANIFEST_SCHEMA, manifest_path, sha256

OPSET = 17  # GridSample needs 16; TensorRT 8.6 and later read 17


class _Step(nn.Module):
    """One frame, states as separate arguments: the shape of the exported graph."""

    def __init__(self, network: EviHrnet) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        fill, after = self.network.step(inputs, list(states))
        return (fill, *after)


def export_network(network: EviHrnet, path: Path, testimony: dict[str, Any]) -> None:
    """Write `path` (.onnx) and its manifest; `testimony` (data, scores, …) goes into the latter."""
    contract = network.settings.contract
    enters = [INPUT, *(name for name, _ in contract.state_names)]
    leaves = [FILL, *(name for _, name in contract.state_names)]
    example = (torch.zeros(contract.inputs[0].shape), *network.eval().initial_states(1))
    _write_onnx(_Step(network), example, path, enters, leaves)
    _write_manifest(path, {"settings": asdict(network.settings), **testimony})


def _write_onnx(
    network: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    enters: list[str],
    leaves: list[str],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.onnx.export(
        network, example, str(partial), dynamo=False, opset_version=OPSET,
        input_names=enters, output_names=leaves,
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
    contract = headset_net_contract()
    _write_onnx(
        ExportedHeadsetNet(network).eval(),
        (torch.zeros(contract.inputs[0].shape),),
        path,
        [spec.name for spec in contract.inputs],
        [spec.name for spec in contract.outputs],
    )
    settings = {"kind": HEADSET_NET, "settings": asdict(network.settings)}
    _write_manifest(path, {**settings, **testimony})


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
    settings = {"kind": COVER_NET, "settings": asdict(network.settings), "commit": _commit()}
    _write_manifest(path, {**settings, **testimony})


def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt of a training run.")],
    output: Annotated[Path, typer.Argument(help="ONNX file to write; NAME.json goes beside it.")],
    notes: Annotated[
        Path | None, typer.Option(help="JSON with more for the manifest: data, scores, limits.")
    ] = None,
) -> None:
    """Export a trained network for the runtime engines."""
    with _plain_errors(checkpoint):
        kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network = _trained(kept)
    testimony = {
        "trained_steps": kept["step"],
        "validation": kept["validation"],
        "training": kept.get("training", {}),
        "commit": _commit(),
        **(json.loads(notes.read_text()) if notes else {}),
    }
    if isinstance(network, HeadsetNet):
        export_headset_net(network, output, testimony)
    else:
        export_network(network, output, testimony)
    typer.echo(f"{output} and {manifest_path(output)} written.")


def _trained(kept: dict[str, Any]) -> EviHrnet | HeadsetNet:
    """The averaged network of a checkpoint of `unvisor train` or `unvisor train-headset`."""
    network: EviHrnet | HeadsetNet
    if "headset_net" in kept:
        network = HeadsetNet(HeadsetNetSettings(**kept["headset_net"]))
    else:
        network = EviHrnet(NetworkSettings(**kept["settings"]))
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


def _commit() -> str:
    """Commit of this checkout, or `unknown` outside of one."""
    here = Path(__file__).parent
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
