"""INT8 forms of networks without states: what is rounded, what is not, and how near they stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.engine.onnx import session_options
from models.headset.contract import CROP
from models.headset.reader import SHIPPED_HEADSET_NET, HeadsetReader
from models.quantisation.feed_forward import (
    in_single_precision,
    quantise_feed_forward,
    with_exact_picture,
)
from models.shipped import check_manifest, int8_path, shipped_network

RNG = np.random.default_rng(4)


@pytest.fixture
def network() -> onnx.ModelProto:
    """2 × picture − 1, a convolution, a sum of coordinates in float64."""

    def stored(name: str, values: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(values, name)

    def constant(name: str, value: float) -> onnx.NodeProto:
        tensor = stored("", np.array(value, np.float32))
        return helper.make_node("Constant", [], [name], name=name, value=tensor)

    graph = helper.make_graph(
        [
            constant("two", 2),
            constant("one", 1),
            helper.make_node("Mul", [CROP, "two"], ["doubled"], name="double"),
            helper.make_node("Sub", ["doubled", "one"], ["centred"], name="centre"),
            helper.make_node("Conv", ["centred", "w", "b"], ["map"], name="first/Conv"),
            helper.make_node("Relu", ["map"], ["relu"], name="first/Relu"),
            helper.make_node("Cast", ["relu"], ["wide"], name="cast", to=TensorProto.DOUBLE),
            helper.make_node("Add", ["wide", "offset"], ["mesh"], name="sum"),
        ],
        "small",
        [helper.make_tensor_value_info(CROP, TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("mesh", TensorProto.DOUBLE, [1, 16, 6, 6])],
        [
            stored("w", RNG.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32)),
            stored("b", RNG.normal(0, 0.3, 16).astype(np.float32)),
            stored("offset", RNG.normal(0, 100, (1, 16, 1, 1))),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto | Path, picture: np.ndarray) -> np.ndarray:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, session_options(1))
    return np.asarray(session.run(None, {CROP: picture})[0])


def picture() -> np.ndarray:
    return (RNG.integers(0, 256, (1, 3, 8, 8)) / 255).astype(np.float32)


def test_half_a_step_more_changes_nothing_inside_the_picture(network: onnx.ModelProto) -> None:
    shown = picture()
    before = run(network, shown)
    after = run(with_exact_picture(in_single_precision(network)), shown)
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-4)


def test_pictures_enter_exactly_and_coordinates_are_not_rounded(
    network: onnx.ModelProto, tmp_path: Path
) -> None:
    source, out = tmp_path / "small.onnx", tmp_path / "int8.onnx"
    onnx.save(network, source)
    ends = [np.zeros((1, 3, 8, 8), np.float32), np.ones((1, 3, 8, 8), np.float32)]
    feeds = [{CROP: shown} for shown in (*ends, picture(), picture())]
    assert quantise_feed_forward(source, out, feeds) == []
    graph = onnx.load(out).graph
    rounded = {n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    assert "centred" in rounded
    assert not rounded & {"mesh", "wide"}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert float(stored["centred_scale"]) == pytest.approx(2 / 255)
    assert int(stored["centred_zero_point"]) == 127
    shown = picture()
    assert np.abs(run(out, shown) - run(network, shown)).max() < 0.05


def test_parts_stay_in_float_when_asked(network: onnx.ModelProto, tmp_path: Path) -> None:
    source, out = tmp_path / "small.onnx", tmp_path / "int8.onnx"
    onnx.save(network, source)
    spared = quantise_feed_forward(source, out, [{CROP: picture()}], ["first/"])
    assert spared == ["first/Conv", "first/Relu"]
    assert all(n.op_type != "QuantizeLinear" for n in onnx.load(out).graph.node)
    with pytest.raises(ValueError, match="no node named second/"):
        quantise_feed_forward(source, out, [{CROP: picture()}], ["second/"])


def test_the_shipped_int8_tracker_network_sees_what_the_float_one_sees(tmp_path: Path) -> None:
    path = int8_path(SHIPPED_HEADSET_NET)
    original = check_manifest(SHIPPED_HEADSET_NET, "headset-net")
    assert check_manifest(path, "headset-net")["from_sha256"] == original["sha256"]
    (tmp_path / "cpuinfo").write_text("flags : avx512_vnni\n")
    assert shipped_network("auto", tmp_path / "cpuinfo", SHIPPED_HEADSET_NET) == path
    assert shipped_network("fp32", original=SHIPPED_HEADSET_NET) == SHIPPED_HEADSET_NET
    float_reader, int8_reader = HeadsetReader(SHIPPED_HEADSET_NET), HeadsetReader(path)
    assert float_reader.engine_name == "onnxruntime CPU FP32"
    assert int8_reader.engine_name == "onnxruntime CPU INT8"
    coarse = RNG.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    crop = np.ascontiguousarray(np.kron(coarse, np.ones((32, 32, 1), np.uint8)))
    first, second = float_reader.read(crop), int8_reader.read(crop)
    assert np.abs(first.mask - second.mask).mean() < 0.02
    assert np.abs(first.mesh - second.mesh).mean() < 0.02
