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
from models.evi_hrnet import EviHrnet, NetworkSettings
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
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.onnx.export(
        _Step(network), example, str(partial), dynamo=False, opset_version=OPSET,
        input_names=enters, output_names=leaves,
    )  # fmt: skip
    os.replace(partial, path)
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "sha256": sha256(path),
        "settings": asdict(network.settings),
        "opset": OPSET,
        **testimony,
    }
    manifest_path(path).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


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
        network = EviHrnet(NetworkSettings(**kept["settings"]))
        network.load_state_dict(kept["average"])
    testimony = {
        "trained_steps": kept["step"],
        "validation": kept["validation"],
        "training": kept.get("training", {}),
        "commit": _commit(),
        **(json.loads(notes.read_text()) if notes else {}),
    }
    export_network(network, output, testimony)
    typer.echo(f"{output} and {manifest_path(output)} written.")


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
