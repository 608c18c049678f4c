"""INT8 networks: what the graphs look like, how near they stay, and which one is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.quantisation.online import OnlineNetwork, range_feeds
from models.quantisation.quantise import quantise
from models.shipped import (
    SHIPPED_INT8,
    SHIPPED_NETWORK,
    has_vnni,
    load_network,
    manifest_path,
    sha256,
    shipped_network,
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Two convolutions and one state: what entered at the last frame, folded in beside it."""
    rng = np.random.default_rng(3)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), name)

    def value(name: str, channels: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 16, 16])

    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["inputs", "state_a"], ["both"], axis=1),
            helper.make_node("Conv", ["both", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
            helper.make_node("LeakyRelu", ["c1"], ["next_state_a"], alpha=0.2),
            helper.make_node("Conv", ["next_state_a", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
            helper.make_node("Sigmoid", ["c2"], ["fill"]),
        ],
        "small",
        [value("inputs", 8), value("state_a", 4)],
        [value("fill", 3), value("next_state_a", 4)],
        [weights("w1", 4, 12, 3, 3), weights("b1", 4), weights("w2", 3, 4, 3, 3), weights("b2", 3)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "small.onnx"
    onnx.save(model, path)
    return path


def clips(count: int = 2, frames: int = 6) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(5)
    return [[rng.random((1, 8, 16, 16), np.float32) for _ in range(frames)] for _ in range(count)]


def test_ranges_come_from_warm_states(network: Path) -> None:
    feeds = range_feeds(OnlineNetwork(network), clips(), frozenset({0, 4}))
    assert [bool(feed["state_a"].any()) for feed in feeds] == [False, True, False, True]
    assert all(set(feed) == {"inputs", "state_a"} for feed in feeds)


def test_an_int8_network_stays_near_the_original_and_keeps_its_tensors(
    network: Path, tmp_path: Path
) -> None:
    out = tmp_path / "int8.onnx"
    quantise(network, out, range_feeds(OnlineNetwork(network), clips(), frozenset({0, 3, 5})))
    original, int8 = OnlineNetwork(network), OnlineNetwork(out)
    assert original.states.keys() == int8.states.keys()
    for inputs in clips(1, 30)[0]:
        difference = original.step(inputs) - int8.step(inputs)
        assert np.sqrt(np.mean(difference**2)) < 0.01
    graph = onnx.load(out).graph
    kinds = {node.op_type for node in graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    stored = {tensor.name: tensor for tensor in graph.initializer}
    scales = [numpy_helper.to_array(t) for name, t in stored.items() if name.startswith("w1_scale")]
    assert [scale.shape for scale in scales] == [(4,)]  # per channel


def test_the_graph_for_tensorrt_is_symmetric_with_float_biases(
    network: Path, tmp_path: Path
) -> None:
    out = tmp_path / "int8.onnx"
    feeds = range_feeds(OnlineNetwork(network), clips(), frozenset({0, 3}))
    quantise(network, out, feeds, "tensorrt")
    graph = onnx.load(out).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv":
            assert stored[node.input[2]].data_type == TensorProto.FLOAT
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = numpy_helper.to_array(stored[node.input[2]])
            assert zero.dtype == np.int8
            assert not zero.any()


def test_ranges_need_frames(network: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        quantise(network, tmp_path / "int8.onnx", [])


def test_the_shipped_int8_network_is_that_of_the_shipped_one() -> None:
    """After a new training it must be made again: `unvisor quantize`."""
    original, int8 = load_network(SHIPPED_NETWORK), load_network(SHIPPED_INT8)
    assert int8.manifest["from_sha256"] == original.manifest["sha256"]
    assert (int8.width, int8.size_px) == (original.width, original.size_px)
    assert int8.manifest["ranges"]["split"] == "train"
    first, second = OnlineNetwork(SHIPPED_NETWORK), OnlineNetwork(SHIPPED_INT8)
    rng = np.random.default_rng(0)
    inputs = np.zeros((1, 8, 128, 128), np.float32)
    inputs[:, :3] = inputs[:, 5:] = rng.random((1, 3, 1, 1), np.float32)
    for _ in range(2):
        difference = first.step(inputs) - second.step(inputs)
        assert np.sqrt(np.mean(difference**2)) < 0.01


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ("fpu avx2 avx512f avx512_vnni", SHIPPED_INT8),
        ("fpu avx2 avx_vnni", SHIPPED_INT8),
        ("fpu avx2 avx512f", SHIPPED_NETWORK),
        ("Features: fp asimd asimddp", SHIPPED_NETWORK),
    ],
)
def test_int8_runs_where_it_is_quicker(flags: str, chosen: Path, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    assert shipped_network("auto", tmp_path / "cpuinfo") == chosen
    assert not has_vnni(tmp_path / "absent")
    assert shipped_network("fp32") == SHIPPED_NETWORK
    assert shipped_network("int8") == SHIPPED_INT8


@pytest.fixture
def own_pair(tmp_path: Path) -> tuple[Path, Path]:
    """A network and its INT8 form, both with manifests that fit."""
    full, int8 = tmp_path / "own.onnx", tmp_path / "own_int8.onnx"
    full.write_bytes(b"a network")
    int8.write_bytes(b"its INT8 form")
    digest = sha256(full)
    manifest_path(full).write_text(json.dumps({"sha256": digest}))
    manifest_path(int8).write_text(json.dumps({"from_sha256": digest, "target": "cpu"}))
    return full, int8


def another_manifest(full: Path, int8: Path) -> None:
    manifest_path(int8).write_text(json.dumps({"from_sha256": "another"}))


def another_network(full: Path, int8: Path) -> None:
    """Its manifest is still the one of before."""
    full.write_bytes(b"another network")


def made_for_gpus(full: Path, int8: Path) -> None:
    manifest = json.loads(manifest_path(int8).read_text())
    manifest_path(int8).write_text(json.dumps({**manifest, "target": "tensorrt"}))


def gone(full: Path, int8: Path) -> None:
    int8.unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (another_manifest, "from another network"),
        (another_network, "from another network"),
        (made_for_gpus, "made for tensorrt"),
        (gone, "missing"),
        (lambda full, int8: manifest_path(int8).write_text("[]"), "cannot be read"),
    ],
)
def test_an_int8_form_that_is_not_of_this_network_never_runs(
    change: Callable[[Path, Path], object],
    reason: str,
    own_pair: tuple[Path, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They would disagree with what the float file draws, and nobody would see why."""
    cpu_info, (full, int8) = tmp_path / "cpuinfo", own_pair
    cpu_info.write_text("flags : avx2 avx512_vnni\n")
    for precision in ("auto", "int8"):
        assert shipped_network(precision, cpu_info, full) == int8
    assert not caplog.records
    change(full, int8)
    assert shipped_network("auto", cpu_info, full) == full
    assert not caplog.records  # of what was not asked for
    assert shipped_network("int8", cpu_info, full) == full
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("flags", "warned"), [("avx2 avx512f", True), ("avx2 avx_vnni", False), ("asimd", False)]
)
def test_who_asks_for_int8_hears_that_sums_may_overflow(
    flags: str,
    warned: bool,
    own_pair: tuple[Path, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    assert shipped_network("int8", tmp_path / "cpuinfo", own_pair[0]) == own_pair[1]
    assert ("overflow" in caplog.text) == warned
