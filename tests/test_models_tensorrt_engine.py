"""The TensorRT engine's own work, on a GPU made of host memory: naming, turns, reset, staging."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from host_gpu import HostDevice, OnnxPlan

from edge.timing import StageTimes, TimedEngine
from models.bank.references import ReferenceBank
from models.engine.fallback import FallbackEngine
from models.engine.interface import EngineError
from models.engine.onnx import OnnxEngine
from models.engine.plans.trial import made_up_frames, try_engine
from models.engine.tensorrt import TensorRtEngine
from models.export import export_network
from models.filling import NetworkFiller, Reference
from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from models.quantisation.half import write_half_precision
from models.shipped import Network, load_network
from streaming.records import Float32Array, ImageU8


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A small network in which every state matters."""
    torch.manual_seed(1)
    busy = EviHrnet(NetworkSettings(width=8, size_px=32)).eval()
    with torch.no_grad():
        for name, parameter in busy.named_parameters():
            if "shift" in name:
                parameter.copy_(torch.tensor([0.8, 0.3]))
            else:
                parameter.add_(0.03 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    export_network(busy, path, {})
    return load_network(path)


def opened(network: Network, device: HostDevice) -> TensorRtEngine:
    return TensorRtEngine(network.contract, OnnxPlan(network.path, device), device)


def noise(network: Network, count: int) -> np.ndarray:
    shape = network.contract.inputs[0].shape
    return np.random.default_rng(3).random((count, *shape), np.float32)


def run(engine: TensorRtEngine | OnnxEngine, frames: np.ndarray) -> np.ndarray:
    return np.stack([engine.step(frame).copy() for frame in frames])


def test_three_hundred_frames_equal_those_of_onnxruntime(network: Network) -> None:
    frames = noise(network, 300)
    engine, expected = opened(network, HostDevice()), OnnxEngine(network, threads=1)
    assert np.array_equal(run(engine, frames), run(expected, frames))


def test_a_reset_is_a_new_start_after_any_number_of_frames(network: Network) -> None:
    frames = noise(network, 20)
    engine = opened(network, HostDevice())
    first = run(engine, frames)
    for odd_or_even in (1, 2):
        run(engine, frames[:odd_or_even])
        continued = engine.step(frames[0])
        assert np.abs(continued - first[0]).max() > 1e-4  # the memory does matter
        engine.reset()
        assert np.array_equal(run(engine, frames), first)


def test_warm_up_and_capture_leave_no_trace_in_the_states(network: Network) -> None:
    device = HostDevice()
    engine = opened(network, device)
    assert device.ran.count("run") == 2  # each context once, before it was captured
    frame = noise(network, 1)[0]
    assert np.array_equal(engine.step(frame), OnnxEngine(network, threads=1).step(frame))


def test_frames_are_launched_as_two_graphs_in_turn(network: Network) -> None:
    device = HostDevice()
    engine = opened(network, device)
    run(engine, noise(network, 5))
    assert device.launched == [1, 2, 1, 2, 1]
    for graph in device.graphs.values():
        assert [name for name, _ in graph] == ["upload", "run", "download"]


def test_what_the_caller_does_with_its_input_afterwards_is_its_own_business(
    network: Network,
) -> None:
    frames = noise(network, 4)
    expected = run(OnnxEngine(network, threads=1), frames)
    engine, reused = opened(network, HostDevice()), np.empty_like(frames[0])
    for frame, fill in zip(frames, expected, strict=True):
        reused[:] = frame
        output = engine.step(reused)
        reused[:] = np.nan
        assert np.array_equal(output, fill)


def test_a_gpu_that_cannot_capture_runs_all_the_same(network: Network) -> None:
    device = HostDevice(can_capture=False)
    frames = noise(network, 6)
    engine = opened(network, device)
    assert np.array_equal(run(engine, frames), run(OnnxEngine(network, threads=1), frames))
    assert not device.launched


def test_half_precision_states_take_half_the_memory_and_hardly_differ(
    network: Network, tmp_path: Path
) -> None:
    write_half_precision(network.path, tmp_path / "half.onnx")
    half, device = load_network(tmp_path / "half.onnx"), HostDevice()
    engine = opened(half, device)
    full = HostDevice()
    opened(network, full)
    state_bytes = sum(memory.nbytes for memory in full.memory.values()) - 11 * 32 * 32 * 4
    assert sum(m.nbytes for m in device.memory.values()) - 11 * 32 * 32 * 4 == state_bytes // 2
    trial = try_engine(engine, OnnxEngine(network, threads=1), half.contract, "fp16")
    assert 40 < trial.parity_db < 100
    assert np.array_equal(
        run(engine, noise(network, 5)), run(OnnxEngine(half, threads=1), noise(network, 5))
    )


def test_an_engine_of_another_network_is_refused_by_the_tensor_that_differs(
    network: Network, tmp_path: Path
) -> None:
    export_network(EviHrnet(NetworkSettings(width=16, size_px=32)), tmp_path / "other.onnx", {})
    device = HostDevice()
    other = OnnxPlan(tmp_path / "other.onnx", device)
    with pytest.raises(EngineError, match=r"does not fit .* is \(\(1, .*expected \(\(1, "):
        TensorRtEngine(network.contract, other, device)
    assert not device.memory


def test_an_engine_that_draws_something_else_does_not_pass_its_trial(
    network: Network, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    stranger = EviHrnet(NetworkSettings(width=8, size_px=32, head="rgb")).eval()
    export_network(stranger, tmp_path / "other.onnx", {})
    device = HostDevice()
    engine = TensorRtEngine(network.contract, OnnxPlan(tmp_path / "other.onnx", device), device)
    with pytest.raises(EngineError, match="differ from onnxruntime"):
        try_engine(engine, OnnxEngine(network, threads=1), network.contract, "fp16")


def test_made_up_frames_look_like_a_sessions_and_move(network: Network) -> None:
    first, second = made_up_frames(network.contract, 2)
    assert first.shape == network.contract.inputs[0].shape
    assert 0 <= first.min() < first.max() <= 1
    assert np.abs(first - second).max() > 0.1


def test_a_gpu_that_fails_hands_over_to_onnxruntime_and_says_so_once(
    network: Network, textured_image: ImageU8, canonical_mesh: Float32Array
) -> None:
    frames, told = noise(network, 12), []
    device = HostDevice()
    device.fails_after = 5
    engine = FallbackEngine(
        opened(network, device), lambda: OnnxEngine(network, threads=1), told.append
    )
    bank = ReferenceBank([Reference(textured_image, canonical_mesh)], network.size_px)
    filler = NetworkFiller(bank, TimedEngine(engine, StageTimes()))
    assert filler.restarts == 0
    outputs = np.stack([engine.step(frame).copy() for frame in frames])
    assert filler.restarts == 1
    assert np.array_equal(outputs[:5], run(OnnxEngine(network, threads=1), frames[:5]))
    assert np.array_equal(outputs[5:], run(OnnxEngine(network, threads=1), frames[5:]))
    engine.reset()
    assert told == ["TensorRT failed and onnxruntime goes on: the GPU fell off the bus"]


def test_a_closed_engine_has_given_the_gpu_back(network: Network) -> None:
    device = HostDevice()
    opened(network, device).close()
    assert device.is_closed
