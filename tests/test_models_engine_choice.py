"""Which engine a session gets: TensorRT's if all is well, else onnxruntime and one sentence why."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from host_gpu import HostDevice, OnnxPlan
from onnx import TensorProto, helper

from models.engine import choice, opening
from models.engine.choice import open_engine, runs_tensorrt, session_network, wants_build
from models.engine.cuda.driver import Gpu
from models.engine.cuda.pycuda_device import PycudaDevice
from models.engine.fallback import FallbackEngine
from models.engine.interface import EngineError
from models.engine.onnx import OnnxEngine
from models.engine.opening import open_tensorrt, try_stored
from models.engine.plans import trial
from models.engine.plans.library import TensorRt
from models.engine.plans.manifest import EngineManifest, identity_of
from models.engine.plans.store import EngineStore, StoredPlan
from models.quantisation.half import QuantisedGraph, half_precision, write_half_precision
from models.shipped import SHIPPED_INT8, SHIPPED_NETWORK, Network, load_network

GPU = Gpu("Orin", "8.7", "12.6")
LIBRARY = TensorRt(SimpleNamespace(), "tensorrt", "10.3.0")
PLAN = b"a plan" * 100


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(SHIPPED_NETWORK)


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with GPU and TensorRT, as far as anybody asks."""
    monkeypatch.setattr(choice, "find_gpu", lambda: GPU)
    for module in (choice, opening):
        monkeypatch.setattr(module, "find_tensorrt", lambda: LIBRARY)


def kept(store: EngineStore, network: Network, **changes: str) -> StoredPlan:
    identity = identity_of(network, "fp16", LIBRARY, GPU)
    identity = dataclasses.replace(identity, **changes)  # type: ignore[arg-type]
    digest = hashlib.sha256(PLAN).hexdigest()
    manifest = EngineManifest(identity, digest, len(PLAN), 1.0)
    return StoredPlan(store.save(PLAN, manifest), PLAN, manifest)


def test_onnxruntime_by_choice_asks_for_no_gpu(
    network: Network, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(choice, "find_gpu", lambda: pytest.fail("asked"))
    assert isinstance(open_engine(network, "onnx", tell=told.append), OnnxEngine)
    assert told == []


@pytest.mark.parametrize(("asked", "sentences"), [("auto", 0), ("tensorrt", 1)])
def test_without_a_gpu_only_who_asked_for_one_is_told(
    network: Network,
    asked: str,
    sentences: int,
    monkeypatch: pytest.MonkeyPatch,
    told: list[str],
) -> None:
    monkeypatch.setattr(choice, "find_gpu", lambda: None)
    engine = open_engine(network, asked, tell=told.append)  # type: ignore[arg-type]
    assert isinstance(engine, OnnxEngine)
    assert len(told) == sentences


@pytest.mark.usefixtures("jetson")
def test_without_an_engine_the_sentence_names_the_command(
    network: Network, store: EngineStore, told: list[str]
) -> None:
    assert isinstance(open_engine(network, "auto", store=store, tell=told.append), OnnxEngine)
    assert told == [
        "onnxruntime runs the network, on the CPU: no TensorRT engine of unvisor.onnx fits "
        "(none was built yet); run `unvisor build-engine`."
    ]


@pytest.mark.usefixtures("jetson")
def test_an_engine_that_cannot_be_opened_ends_in_onnxruntime(
    network: Network, store: EngineStore, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here pycuda is what fails; on a Jetson it may be TensorRT, the plan or the memory."""
    kept(store, network)

    def no_pycuda() -> PycudaDevice:
        raise EngineError("pycuda cannot be used (no module named pycuda)")

    monkeypatch.setattr(opening, "PycudaDevice", no_pycuda)
    assert isinstance(open_engine(network, "auto", store=store, tell=told.append), OnnxEngine)
    (sentence,) = told
    assert "onnxruntime runs the network" in sentence
    assert "pycuda cannot be used" in sentence
    assert not list(store.folder.glob("*.opening"))  # an orderly failure leaves no mark

    monkeypatch.setattr(opening, "PycudaDevice", lambda: 1 / 0)  # whatever else may be raised
    assert isinstance(open_engine(network, "auto", store=store, tell=told.append), OnnxEngine)
    assert len(told) == 2


@pytest.mark.usefixtures("jetson")
def test_an_engine_that_ended_the_program_last_time_is_not_opened_again(
    network: Network, store: EngineStore, told: list[str]
) -> None:
    stored = kept(store, network)
    mark = stored.path.with_suffix(".opening")
    mark.write_text("999999999")  # a process that is gone
    assert isinstance(open_engine(network, "auto", store=store, tell=told.append), OnnxEngine)
    assert "ended the program the last time" in told[0]
    assert "build-engine --rebuild" in told[0]
    kept(store, network)  # built anew: a new chance
    assert not mark.exists()


@pytest.mark.usefixtures("jetson")
def test_a_fitting_engine_runs_and_gives_what_onnxruntime_gives(
    network: Network,
    store: EngineStore,
    told: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half = tmp_path / "unvisor.onnx"
    write_half_precision(network.path, half)
    device, stored = HostDevice(), kept(store, network)
    seen: list[tuple[int, bool]] = []

    def opened(library: TensorRt, plan: bytes) -> OnnxPlan:
        assert (library, plan) == (LIBRARY, PLAN)
        mark = stored.path.with_suffix(".opening")
        seen.append((int(mark.read_text()), mark.exists()))
        return OnnxPlan(half, device)

    monkeypatch.setattr(opening, "PycudaDevice", lambda: device)
    monkeypatch.setattr(opening, "OpenedPlan", opened)
    engine = open_engine(network, "auto", store=store, tell=told.append)
    assert isinstance(engine, FallbackEngine)
    assert (told, seen) == ([], [(os.getpid(), True)])
    frame = np.random.default_rng(0).random((1, 8, 128, 128), np.float32)
    difference = np.abs(engine.step(frame) - OnnxEngine(network).step(frame)).max()
    assert 0 < difference < 0.01  # half precision, not another network
    assert device.launched == [1]


def test_a_trial_is_kept_in_the_manifest_and_a_failed_one_removes_the_engine(
    network: Network, store: EngineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "FRAMES", 6)
    monkeypatch.setattr(trial, "TIMED_FRAMES", 3)
    half = tmp_path / "unvisor.onnx"
    write_half_precision(network.path, half)
    stored, device = kept(store, network), HostDevice()
    reference = OnnxEngine(network)
    monkeypatch.setattr(opening, "OpenedPlan", lambda *_: OnnxPlan(half, device))
    tried = try_stored(network, LIBRARY, stored, store, reference, device)
    assert device.is_closed
    assert store.load(stored.manifest.identity).manifest == tried.manifest
    assert tried.manifest.parity_db is not None
    assert tried.manifest.parity_db > 40
    assert tried.manifest.latency_ms is not None
    assert len(device.launched) == 6 + 3

    def refuse(library: TensorRt, plan: bytes) -> OnnxPlan:
        raise EngineError("TensorRT refuses the engine: version tag does not match.")

    monkeypatch.setattr(opening, "OpenedPlan", refuse)
    with pytest.raises(EngineError, match="version tag does not match"):
        try_stored(network, LIBRARY, stored, store, reference, HostDevice())
    assert list(store.folder.iterdir()) == []


@pytest.mark.usefixtures("jetson")
def test_only_engines_that_were_asked_for_are_built_before_a_session(
    network: Network, store: EngineStore
) -> None:
    assert wants_build(network, "onnx", GPU, store) == ""
    assert wants_build(network, "auto", None, store) == ""
    assert wants_build(network, "auto", GPU, store) == ""  # never asked for
    assert wants_build(network, "tensorrt", GPU, store) == "none was built yet"
    old = kept(store, network, tensorrt="10.2.0")
    assert "TensorRT 10.2.0 instead of 10.3.0" in wants_build(network, "auto", GPU, store)
    kept(store, network)
    assert wants_build(network, "auto", GPU, store) == ""
    assert old.path.exists()


@pytest.mark.usefixtures("jetson")
def test_a_gpu_without_an_engine_leaves_the_processor_its_quick_network(
    network: Network, store: EngineStore, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "shipped_network", lambda precision: SHIPPED_INT8)
    assert session_network("auto", "auto", store) == SHIPPED_INT8
    assert session_network("auto", "tensorrt", store) == SHIPPED_NETWORK
    engine = open_engine(load_network(SHIPPED_INT8), "auto", 1, store=store, tell=told.append)
    assert engine.name == "onnxruntime CPU INT8"
    assert [line.count("unvisor build-engine") for line in told] == [1]
    kept(store, network)
    assert session_network("auto", "auto", store) == SHIPPED_NETWORK
    assert session_network("auto", "onnx", store) == SHIPPED_INT8


@pytest.mark.usefixtures("jetson")
def test_a_tensorrt_that_breaks_on_import_leaves_the_session_alone(
    network: Network, store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> TensorRt:
        raise RuntimeError("wrong driver")

    monkeypatch.setattr(choice, "find_tensorrt", broken)
    assert not runs_tensorrt(network, "auto", store)


def test_half_precision_of_a_quantised_network_is_refused() -> None:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("a", "s", "b")]
    node = helper.make_node("QuantizeLinear", ["a", "s"], ["b"])
    ends[2].type.tensor_type.elem_type = TensorProto.UINT8
    model = helper.make_model(helper.make_graph([node], "q", ends[:2], ends[2:]))
    with pytest.raises(QuantisedGraph):
        half_precision(model)
    assert isinstance(model, onnx.ModelProto)


def test_pycuda_that_is_missing_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(EngineError, match=r"pycuda cannot be used .*`unvisor doctor`"):
        PycudaDevice()


def test_open_tensorrt_raises_what_open_engine_tells(
    network: Network, store: EngineStore, jetson: None
) -> None:
    with pytest.raises(EngineError, match=r"no TensorRT engine of unvisor\.onnx fits"):
        open_tensorrt(network, GPU, store)
