"""Parameters, multiplications and time of one network."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.contract import INPUT_CHANNELS
from models.engine.onnx import OnnxEngine
from models.export import export_network
from models.inpainting import architectures
from models.inpainting.architectures import Inpainter, as_inpainter
from models.shipped import load_network
from training.recipes.schema import NetworkChoice

OFFLINE_FRAMES = 16  # of the clip that a network which looks ahead is measured on
WARM_UP_RUNS, TIMED_RUNS = 2, 8


@dataclass(frozen=True)
class NetworkSize:
    """What a network costs at its own crop size, for each frame."""

    architecture: str
    width: int
    size_px: int
    is_online: bool
    parameters: int
    giga_macs: float  # multiplications with addition; convolutions and matrix products only
    state_values: int  # carried from frame to frame
    cpu_ms: float | None = None  # best of several; one frame at a time, clips for those offline
    engine: str = ""  # what that was measured with


def measure(network: NetworkChoice, *, timed: bool = True, threads: int = 1) -> NetworkSize:
    """Measure a network with untrained weights; raises ValueError when it cannot be built."""
    built = architectures.build(network.architecture, network.settings).eval()
    inpainter = as_inpainter(built)
    settings = inpainter.settings
    engine = "onnxruntime" if inpainter.is_online else "torch"
    return NetworkSize(
        architecture=network.architecture,
        width=settings.width,
        size_px=settings.size_px,
        is_online=inpainter.is_online,
        parameters=sum(parameter.numel() for parameter in built.parameters()),
        giga_macs=_giga_macs(network),
        state_values=sum(int(np.prod(state.shape)) for state in settings.contract.states),
        cpu_ms=_best_ms(built, threads) if timed else None,
        engine=engine if timed else "",
    )


def _giga_macs(network: NetworkChoice) -> float:
    """Counted on shapes alone, without computing anything."""
    with torch.device("meta"):
        built = architectures.build(network.architecture, network.settings).eval()
        clip = _clip(as_inpainter(built))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            built(clip)
    return float(counter.get_total_flops() / 2 / clip.shape[1] / 1e9)


def _clip(network: Inpainter) -> torch.Tensor:
    size, frames = network.settings.size_px, 1 if network.is_online else OFFLINE_FRAMES
    return torch.zeros(1, frames, INPUT_CHANNELS, size, size)


def _best_ms(network: nn.Module, threads: int) -> float:
    if as_inpainter(network).is_online:
        return _engine_ms(network, threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            clip = _clip(as_inpainter(network))
            return _fastest_ms(lambda: network(clip), 1, 2) / clip.shape[1]
    finally:
        torch.set_num_threads(before)


def _engine_ms(network: nn.Module, threads: int) -> float:
    size = as_inpainter(network).settings.size_px
    with tempfile.TemporaryDirectory(prefix="unvisor-") as folder:
        export_network(network, Path(folder) / "network.onnx", {})
        engine = OnnxEngine(load_network(Path(folder) / "network.onnx"), threads)
    inputs = np.random.default_rng(0).random((1, INPUT_CHANNELS, size, size), np.float32)
    return _fastest_ms(lambda: engine.step(inputs), WARM_UP_RUNS, TIMED_RUNS)


def _fastest_ms(run: Callable[[], object], warm_up: int, timed: int) -> float:
    """The fastest of several runs: what other programs take away differs from run to run."""
    took = []
    for _ in range(warm_up + timed):
        started_ns = time.perf_counter_ns()
        run()
        took.append((time.perf_counter_ns() - started_ns) / 1e6)
    return min(took[warm_up:])
