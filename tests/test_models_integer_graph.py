"""EVI-HRnet in integer operators: folded filters, bytes, states, nearness to the float network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.contract import next_name
from models.engine.interface import EngineError
from models.engine.onnx import OnnxEngine, empty_states, session_options
from models.engine.plans.making import choose_precision
from models.engine.plans.trial import made_up_frames
from models.quantisation.integer.affine import Affine, quantise_filters
from models.quantisation.integer.folding import (
    paired_filters,
    stacked_filters,
    upsampled_filters,
)
from models.quantisation.integer.graph import integer_graph
from models.quantisation.integer.source import SourceGraph, UnknownGraphError
from models.quantisation.online import Feed, OnlineNetwork
from models.quantisation.quantise import quantise
from models.shipped import SHIPPED_INT8, SHIPPED_NETWORK, load_network

RNG = np.random.default_rng(11)


def convolved(x: np.ndarray, weights: np.ndarray, pads: list[int], up: bool = False) -> np.ndarray:
    """(1,C,H,W) through a convolution, doubled bilinearly before if asked."""
    nodes = [helper.make_node("Conv", ["u" if up else "x", "w"], ["y"], pads=pads)]
    constants = [numpy_helper.from_array(weights.astype(np.float32), "w")]
    if up:
        nodes.insert(0, helper.make_node("Resize", ["x", "", "two"], ["u"], mode="linear"))
        constants.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "two"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_empty_tensor_value_info("y")],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(1))
    return np.asarray(session.run(None, {"x": x.astype(np.float32)})[0])


def test_bilinear_up_sampling_folds_into_filters_but_for_the_border() -> None:
    x, weights = RNG.normal(size=(1, 5, 9, 8)), RNG.normal(size=(4, 5, 3, 3))
    wanted = convolved(x, weights, [1, 1, 1, 1], up=True)
    phases = convolved(x, upsampled_filters(weights), [1, 1, 1, 1])
    got = phases.reshape(2, 2, 4, 9, 8).transpose(2, 3, 0, 4, 1).reshape(1, 4, 18, 16)
    np.testing.assert_allclose(got[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2], atol=1e-4)
    assert np.abs(got - wanted)[..., 0, :].max() > 1e-3  # known and left: the hole is never there


@pytest.mark.parametrize("side", [3, 5])
def test_columns_taken_in_pairs_give_the_same_map(side: int) -> None:
    x, weights = RNG.normal(size=(1, 6, 7, 10)), RNG.normal(size=(3, 6, side, side))
    wanted = convolved(x, weights, [side // 2] * 4)
    pairs = x.transpose(0, 2, 3, 1).reshape(1, 7, 5, 12).transpose(0, 3, 1, 2)
    said = convolved(pairs, paired_filters(weights, 4), [side // 2, 1, side // 2, 1])
    got = said.transpose(0, 2, 3, 1).reshape(1, 7, 10, 4).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got[:, :3], wanted, atol=1e-4)
    assert not got[:, 3].any()


def test_stacked_filters_shift_the_feature_and_leave_the_gate_alone() -> None:
    state, x = RNG.normal(size=(1, 2, 6, 6)), RNG.normal(size=(1, 8, 6, 6))
    feature, gate = RNG.normal(size=(2, 3, 8, 3, 3))
    mixed = np.concatenate([0.8 * state + 0.3 * x[:, :2], x[:, 2:]], 1)
    pads = [1, 1, 1, 1]
    wanted = np.concatenate([convolved(mixed, feature, pads), convolved(x, gate, pads)], 1)
    stacked = stacked_filters(feature, gate, (0.8, 0.3))
    got = convolved(np.concatenate([state, x], 1), stacked, pads)
    np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_bytes_say_zero_exactly_and_channels_keep_ranges_of_their_own() -> None:
    for low, high in ((-0.3, 1.7), (0.2, 3.0), (-2.0, -1.0), (0.0, 0.0)):
        affine = Affine.over(low, high)
        assert 0 <= affine.zero <= 255
        assert affine.scale * (255 - affine.zero) >= max(high, 0) - affine.scale
    weights = RNG.normal(size=(2, 4, 1, 1)).astype(np.float32) * [[[[1]]], [[[100]]]]
    biases = np.array([0.5, -20], np.float32)
    source, targets = Affine.over(-1, 1), [Affine.over(-8, 8), Affine.over(-800, 800)]
    filters = quantise_filters(weights.astype(np.float32), biases, source, targets)
    x = RNG.uniform(-1, 1, (50, 4))
    rounded = np.rint(x / source.scale)
    sums = rounded @ filters.weights[:, :, 0, 0].T.astype(np.float64) + filters.biases
    said = np.rint(sums * source.scale * filters.scales).clip(0, 255)
    for channel, target in enumerate(targets):
        wanted = x @ weights[channel, :, 0, 0] + biases[channel]
        got = (said[:, channel] - target.zero) * target.scale
        assert np.abs(got - wanted).max() < 3 * target.scale


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-7])
def test_a_channel_of_next_to_no_weights_says_its_bias(size: float) -> None:
    weights = (size * RNG.normal(size=(2, 4, 1, 1))).astype(np.float32)
    biases = np.array([0.5, -0.3], np.float32)
    source, target = Affine.over(0, 1), Affine.over(-1, 1)
    filters = quantise_filters(weights, biases, source, [target, target])
    said = np.rint(filters.biases * source.scale * filters.scales.astype(np.float64))
    np.testing.assert_allclose((said - target.zero) * target.scale, biases, atol=target.scale)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[np.ndarray]]:
    """An untrained network whose heads say something, its integer form, and frames."""
    torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")
    from models.export import export_network
    from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings

    torch.manual_seed(0)
    network = EviHrnet(NetworkSettings(width=16, size_px=32)).eval()
    torch.nn.init.normal_(network.smooth_head.weight, 0, 0.05)
    torch.nn.init.normal_(network.conv11.feature.weight, 0, 0.08)
    for name, parameter in network.named_parameters():
        if name.endswith("taps"):
            parameter.data[:] = torch.tensor([0.8, 0.3])
    folder = tmp_path_factory.mktemp("integer")
    original, integer = folder / "original.onnx", folder / "integer.onnx"
    export_network(network, original, {})
    frames = made_up_frames(network.settings.contract, 60)
    running, feeds = OnlineNetwork(original), list[Feed]()
    for frame in frames[:30]:
        feeds.append(running.feed(frame))
        running.step(frame)
    onnx.save(integer_graph(onnx.load(original), feeds), integer)
    return original, integer, frames


def test_the_integer_form_stays_near_a_network_that_changes_much(
    pair: tuple[Path, Path, list[np.ndarray]],
) -> None:
    original, integer = OnlineNetwork(pair[0]), OnlineNetwork(pair[1])
    errors, changes = [], []
    for frame in pair[2]:
        wanted, got = original.step(frame), integer.step(frame)
        inside = np.s_[..., 8:-8, 8:-8]
        errors.append(np.mean((wanted - got)[inside] ** 2))
        changes.append(np.mean((wanted - frame[:, 5:8])[inside] ** 2))
    assert np.sqrt(np.mean(changes)) > 0.05  # the heads do say something
    assert np.sqrt(np.mean(errors)) < 0.1 * np.sqrt(np.mean(changes))
    assert np.mean(errors[-10:]) < 2 * np.mean(errors[10:20])  # no drift


@pytest.mark.parametrize(
    ("name", "width", "is_integer"),
    [("m-csam", 16, True), ("per-frame", 16, True), ("per-frame", 8, False)],
)
def test_gated_peers_become_integer_too_or_say_so_in_pairs(
    name: str, width: int, is_integer: bool, tmp_path: Path
) -> None:
    """Plain convolutions stand in the middle of M-CSAM; thin layers have no integer form."""
    torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")
    from models.export import export_network
    from models.inpainting import architectures

    torch.manual_seed(0)
    network = architectures.build(name, {"width": width, "size_px": 32}).eval()
    original, integer = tmp_path / "peer.onnx", tmp_path / "int8.onnx"
    export_network(network, original, {})
    frames = made_up_frames(network.settings.contract, 6)
    quantise(original, integer, [{"inputs": frame} for frame in frames])
    kinds = {node.op_type for node in onnx.load(integer).graph.node}
    assert ("QLinearConv" in kinds) == is_integer
    float_one, other = OnlineNetwork(original), OnlineNetwork(integer)
    inside = np.s_[..., 8:-8, 8:-8]
    wanted, got = (each.step(frames[3])[inside].ravel() for each in (float_one, other))
    assert np.corrcoef(wanted, got)[0, 1] > 0.9


def test_states_are_bytes_that_start_at_what_means_zero(
    pair: tuple[Path, Path, list[np.ndarray]],
) -> None:
    integer = OnlineNetwork(pair[1])
    assert {state.dtype for state in integer.states.values()} == {np.dtype(np.uint8)}
    first = integer.step(pair[2][0]).copy()
    assert any(len(np.unique(state)) > 1 for state in integer.states.values())
    integer.step(pair[2][1])
    integer.reset()
    np.testing.assert_array_equal(integer.step(pair[2][0]), first)
    session = onnxruntime.InferenceSession(str(pair[1]), session_options(1))
    leaving = {output.name for output in session.get_outputs()}
    assert {next_name(name) for name in empty_states(session)} <= leaving


def test_the_shipped_int8_network_runs_in_integers_by_its_contract() -> None:
    network = load_network(SHIPPED_INT8)
    session = onnxruntime.InferenceSession(str(SHIPPED_INT8), session_options(1))
    said = {i.name: (tuple(i.shape), i.type) for i in session.get_inputs()}
    for state in network.contract.states:
        assert said[state.name] == (state.shape, "tensor(uint8)")
        assert state.dtype == "uint8"
    kinds = {node.op_type for node in onnx.load(SHIPPED_INT8).graph.node}
    assert "QLinearConv" in kinds
    engine, plain = OnnxEngine(network, 1), OnlineNetwork(SHIPPED_INT8)
    for frame in made_up_frames(network.contract, 3):
        np.testing.assert_array_equal(engine.step(frame), plain.step(frame))
    engine.reset()
    plain.reset()
    frame = made_up_frames(network.contract, 1)[0]
    np.testing.assert_array_equal(engine.step(frame), plain.step(frame))


def test_tensorrt_is_not_offered_what_is_made_for_processors() -> None:
    with pytest.raises(EngineError, match="quantised for processors"):
        choose_precision(load_network(SHIPPED_INT8))
    assert choose_precision(load_network(SHIPPED_NETWORK)) == "fp16"


def test_another_graph_is_told_apart() -> None:
    model = onnx.load(SHIPPED_NETWORK)
    del model.graph.node[:-1]
    with pytest.raises(UnknownGraphError, match="no gated convolution"):
        SourceGraph(model).gated_layers()
