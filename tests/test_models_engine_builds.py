"""Every network that ships becomes an engine, at each precision, on a machine without a GPU.

TensorRT-RTX reads and builds as TensorRT does, strongly typed, for the GPU generations it is told.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.engine.plans.calls import build_plan
from models.engine.plans.library import Precision, TensorRt, find_tensorrt
from models.engine.plans.making import engine_graph
from models.quantisation.online import OnlineNetwork, range_feeds
from models.quantisation.quantise import quantise as quantise_network
from models.shipped import SHIPPED_NETWORK, WEIGHTS_FOLDER, manifest_path

TARGETS = ("SM86", "SM89")
SHIPPED = sorted(WEIGHTS_FOLDER.glob("*.onnx"))
# INT8 forms for processors are second forms of a network whose own file is built here, at INT8 too.
NETWORKS = [
    path for path in SHIPPED if json.loads(manifest_path(path).read_text()).get("target") != "cpu"
]
CALLS = Path(__file__).parents[1] / "models/engine/plans/calls.py"
# What TensorRT's parser takes: no INT32 bias, signed and symmetric, no Q before the weights.
FOR_TENSORRT = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "AddQDQPairToWeight": False,
}


@pytest.fixture(scope="module")
def library() -> TensorRt:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is only in the dev extra on x86-64")
    return find_tensorrt(["tensorrt-rtx"])


def precision_of(path: Path) -> Precision:
    precision: Precision = json.loads(manifest_path(path).read_text()).get("precision", "fp32")
    return precision


def test_there_are_networks_to_build() -> None:
    built = {path.stem for path in NETWORKS}
    assert {"unvisor", "headset_net", "eye_net", "cover_net", "face_print"} <= built
    for path in SHIPPED:
        assert path.stem.removesuffix("_int8") in built


@pytest.mark.slow
@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_a_shipped_network_builds_as_it_is(path: Path, library: TensorRt) -> None:
    assert_builds(library, engine_graph(path, is_converted=False), precision_of(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_a_shipped_network_builds_in_half_precision(path: Path, library: TensorRt) -> None:
    if precision_of(path) != "fp32":
        pytest.skip(f"{path.name} has a precision of its own")
    graph = engine_graph(path, is_converted=True)
    halves = [
        item for item in onnx.load_from_string(graph).graph.initializer if item.data_type == 10
    ]
    assert sum(int(np.prod(item.dims)) for item in halves) > 10_000  # the weights did convert
    assert_builds(library, graph, "fp16")


@pytest.mark.slow
@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_a_shipped_network_builds_when_quantised(
    path: Path, library: TensorRt, tmp_path: Path
) -> None:
    """A copy with explicit Q/DQ and ranges from noise: whether it builds, not how good it is."""
    if precision_of(path) != "fp32":
        pytest.skip(f"{path.name} has a precision of its own")
    plain, quantised = tmp_path / path.name, tmp_path / "quantised.onnx"
    plain.write_bytes(engine_graph(path, is_converted=False))
    quantise(plain, quantised)
    nodes = onnx.load(quantised).graph.node
    makers = {name: node.op_type for node in nodes for name in node.output}
    fed_by = [makers.get(node.input[0]) for node in nodes if node.op_type == "Conv"]
    assert fed_by.count("DequantizeLinear") == len(fed_by)
    assert_builds(library, quantised.read_bytes(), "int8")


@pytest.mark.slow
def test_the_inpainting_network_quantised_for_tensorrt_builds(
    library: TensorRt, tmp_path: Path
) -> None:
    network, out = OnlineNetwork(SHIPPED_NETWORK), tmp_path / "int8.onnx"
    rng = np.random.default_rng(0)
    clip = [rng.random((1, 8, 128, 128), np.float32) for _ in range(2)]
    feeds = range_feeds(network, [clip], frozenset({1}))
    quantise_network(SHIPPED_NETWORK, out, feeds, "tensorrt")
    assert_builds(library, out.read_bytes(), "int8")


def assert_builds(library: TensorRt, graph: bytes, precision: Precision) -> None:
    plan = build_plan(library, graph, precision, targets=TARGETS).plan
    assert len(plan) > 100_000


def quantise(source: Path, target: Path) -> None:
    import onnxruntime
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class OneFrameOfNoise(CalibrationDataReader):
        def __init__(self) -> None:
            ends = onnxruntime.InferenceSession(str(source)).get_inputs()
            rng = np.random.default_rng(0)
            self.frames = iter([{end.name: rng.random(end.shape, np.float32) for end in ends}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.frames, None)

    quantize_static(
        str(source),
        str(target),
        OneFrameOfNoise(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        extra_options=FOR_TENSORRT,
    )


STRICTER = {  # annotations that are loose because either module will do
    "builder: Any": "builder: tensorrt.Builder",
    "context: Any": "context: tensorrt.IExecutionContext",
    "shape: Any": "shape: tensorrt.Dims",
    "import numpy as np\n": "import numpy as np\nimport tensorrt\n",
}
RTX_ALONE = ("num_compute_capabilities", "set_compute_capability", "ComputeCapability")


@pytest.mark.slow
def test_every_call_into_tensorrt_fits_the_type_stubs_of_the_full_one(tmp_path: Path) -> None:
    """Only TensorRT-RTX can run here; mypy holds the same calls against TensorRT 10.13's types."""
    homes = [Path(p) for p in sys.path if (Path(p) / "tensorrt/__init__.pyi").is_file()]
    if not homes:
        pytest.skip("needs `pip install --no-deps tensorrt-stubs`")
    copy_stubs(homes[0], tmp_path)
    typed, count = re.subn(r"trt = library\.module", "import tensorrt as trt", CALLS.read_text())
    assert count >= 4
    for loose, strict in STRICTER.items():
        assert loose in typed
        typed = typed.replace(loose, strict)
    errors = mypy_errors(tmp_path, typed)
    assert [line for line in errors if not any(word in line for word in RTX_ALONE)] == []
    assert len(errors) == len(RTX_ALONE)
    wrong = typed.replace("set_memory_pool_limit(", "set_memory_limit(")
    assert any("set_memory_limit" in line for line in mypy_errors(tmp_path, wrong))


def copy_stubs(source: Path, target: Path) -> None:
    """As published mypy cannot read them; none of what is put right here is called by us."""
    for package in ("tensorrt", "tensorrt_bindings"):
        shutil.copytree(source / package, target / package)
    (target / "tensorrt_libs.pyi").touch()
    path = target / "tensorrt_bindings" / "tensorrt.pyi"
    text = path.read_text().replace(", in: list[", ", in_: list[")  # a keyword as a name
    text = text.replace(", channel_axis: int) ->", ", channel_axis: int = ...) ->")
    path.write_text(re.sub(r"(?m)^bool: .*$", "", text))  # hides the type of that name


def mypy_errors(folder: Path, text: str) -> list[str]:
    path, root = folder / "calls_as_typed.py", Path(__file__).parents[1]
    path.write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--no-warn-unused-ignores",
            "--allow-untyped-calls",
            "--follow-imports=silent",
            path,
        ],
        cwd=root,
        env=os.environ | {"MYPYPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "checked 1 source file" in done.stdout, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if f"{path.name}:" in line]
