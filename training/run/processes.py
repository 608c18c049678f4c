"""One training process, or several side by side under torchrun, through Lightning Fabric."""

from __future__ import annotations

import importlib
import os
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from streaming.errors import UserError


class Processes(Protocol):
    """What a training asks of the processes that share it."""

    rank: int
    world: int
    device: torch.device

    def average_gradients(self, module: nn.Module) -> None:
        """Replace each gradient by its mean over all processes."""
        ...

    def wait_for_all(self) -> None:
        """Return when every process has come here."""
        ...

    def agree(self, value: float) -> float:
        """The first process's value."""
        ...


class OneProcess:
    """No other process; a GPU if there is one."""

    rank, world = 0, 1

    def __init__(self, device: torch.device | None = None) -> None:
        """Train on `device`, or on what there is."""
        there = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(there) if device is None else device

    def average_gradients(self, module: nn.Module) -> None:
        """Nothing to average."""

    def wait_for_all(self) -> None:
        """Nobody else."""

    def agree(self, value: float) -> float:
        """The only value."""
        return value


class FabricProcesses:
    """The processes that torchrun started; gradients are averaged, so all stay equal."""

    def __init__(self, fabric: Any) -> None:
        """Share the training of a launched Fabric."""
        self._fabric = fabric
        self.rank, self.world = int(fabric.global_rank), int(fabric.world_size)
        self.device: torch.device = fabric.device

    def average_gradients(self, module: nn.Module) -> None:
        """See `Processes`; one message for all gradients: the networks are small."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        mean: Tensor = self._fabric.all_reduce(flat, reduce_op="mean")
        first = 0
        for gradient in gradients:
            last = first + gradient.numel()
            gradient.copy_(mean[first:last].view_as(gradient))
            first = last

    def wait_for_all(self) -> None:
        """See `Processes`."""
        self._fabric.barrier()

    def agree(self, value: float) -> float:
        """See `Processes`."""
        return float(self._fabric.broadcast(value, 0))


def join_processes() -> Processes:
    """This process, with those that torchrun started beside it.

    Raises:
        UserError: there are several, and Lightning Fabric is not installed.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return OneProcess()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    fabric = _fabric_type()(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=local,
        num_nodes=world // local,
        strategy="ddp",
    )
    fabric.launch()
    return FabricProcesses(fabric)


def _fabric_type() -> Any:
    for name in ("lightning_fabric", "lightning.fabric"):
        try:
            return importlib.import_module(name).Fabric
        except ImportError:
            continue
    raise UserError(
        "Several training processes need Lightning Fabric.", "Run `pip install lightning-fabric`."
    )
