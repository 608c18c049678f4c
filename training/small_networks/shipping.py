"""From a run's best checkpoint to the file that a session loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from training.run import checkpoint
from training.run.folder import BEST

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def export_best(
    exported: Path,
    built: Callable[[dict[str, Any]], NetworkT],
    written: Callable[[NetworkT, Path, dict[str, Any]], None],
    testimony: dict[str, Any],
) -> Path:
    """Write the best network of the run in `exported`'s folder there; returns `exported`.

    `built` makes the network that a checkpoint is of; `written` exports it with what its manifest
    tells.
    """
    kept = checkpoint.load(exported.parent / BEST)
    network = built(kept)
    network.load_state_dict(kept["average"])
    told = {"trained_steps": int(kept["step"]), "validation": kept["validation"], **testimony}
    written(network, exported, told)
    return exported
