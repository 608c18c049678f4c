"""Engines are built for real (TensorRT-RTX needs no GPU for that), kept, compared, built again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.engine.cuda.driver import Gpu
from models.engine.interface import EngineError
from models.engine.plans.calls import build_plan
from models.engine.plans.library import TensorRt, find_tensorrt
from models.engine.plans.making import choose_precision, engine_contract, make_engine
from models.engine.plans.manifest import BadManifest, EngineManifest, identity_of
from models.engine.plans.progress import BuildProgress
from models.engine.plans.store import KEPT_PLANS, EngineStore, StoredPlan, Unusable
from models.shipped import SHIPPED_NETWORK, Network, load_network

TARGETS = ("SM86", "SM89")
GPU = Gpu("NVIDIA GeForce RTX 3080", "8.6", "13.0")


@pytest.fixture(scope="module")
def library() -> TensorRt:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is only in the dev extra on x86-64")
    return find_tensorrt(["tensorrt-rtx"])


@pytest.fixture(scope="module")
def built_once(library: TensorRt, tmp_path_factory: pytest.TempPathFactory) -> StoredPlan:
    folder = tmp_path_factory.mktemp("once")
    return made(small_network(folder), library, EngineStore(folder))


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return small_network(tmp_path)


def small_network(folder: Path, seed: int = 0) -> Network:
    """One convolution: what is tested here is what happens around the build."""
    weights = np.random.default_rng(seed).random((8, 8, 3, 3)).astype(np.float32)
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8, 32, 32]) for n in ("in", "out")
    ]
    node = helper.make_node("Conv", ["in", "w"], ["out"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node], "small", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "small.onnx"
    onnx.save(model, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Network(path, 8, 32, {"sha256": digest})


def made(network: Network, library: TensorRt, store: EngineStore, **more: object) -> StoredPlan:
    """An engine for a GPU that is not here: TensorRT-RTX is told its generation."""
    return make_engine(network, "fp32", library, None, store, targets=TARGETS, **more)  # type: ignore[arg-type]


def count_builds(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every plan built from now on."""
    plans: list[bytes] = []

    def counting(*arguments: object, **more: object) -> object:
        built = build_plan(*arguments, **more)  # type: ignore[arg-type]
        plans.append(built.plan)
        return built

    monkeypatch.setattr("models.engine.plans.making.build_plan", counting)
    return plans


def test_an_engine_is_built_once_and_comes_back_with_its_manifest(
    network: Network, library: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds, store = count_builds(monkeypatch), EngineStore(tmp_path / "engines")
    first, second = made(network, library, store), made(network, library, store)
    assert (first, len(builds)) == (second, 1)
    assert first.path.read_bytes() == first.plan == builds[0]
    assert EngineManifest.from_json(first.manifest.to_json()) == first.manifest
    identity = first.manifest.identity
    assert (identity.gpu, identity.compute_capability) == ("any", "SM86+SM89")
    assert (identity.flavour, identity.tensorrt) == ("tensorrt-rtx", library.version)
    assert first.manifest.parity_db is None  # nothing was run here
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert sorted(path.suffix for path in store.folder.iterdir()) == [".json", ".plan"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda plan: plan.write_bytes(plan.read_bytes()[:-100]), "bytes instead of"),
        (lambda plan: plan.write_bytes(b""), "0 bytes instead of"),
        (lambda plan: flip(plan), "changed since it was built"),
        (lambda plan: plan.with_suffix(".json").unlink(), "manifest is unusable"),
        (lambda plan: plan.with_suffix(".json").write_text("{}"), "manifest is unusable"),
        (lambda plan: plan.with_suffix(".json").write_bytes(b"\xff\xfe"), "manifest is unusable"),
        (lambda plan: retell(plan, tensorrt="10.3.0"), "TensorRT 10.3.0 instead of 1.7"),
        (lambda plan: retell(plan, gpu="Orin"), "GPU Orin instead of any"),
        (lambda plan: retell(plan, onnx_sha256="0" * 64), "SHA-256 000000000000… instead of"),
        (lambda plan: retell(plan, surplus=1), "manifest is unusable"),
    ],
)
def test_a_damaged_or_foreign_engine_is_noticed(
    damage: object, reason: str, built_once: StoredPlan, tmp_path: Path
) -> None:
    store = EngineStore(tmp_path / "engines")
    store.save(built_once.plan, built_once.manifest)
    damage(store.path(built_once.manifest.identity))  # type: ignore[operator]
    with pytest.raises(Unusable, match=reason):
        store.load(built_once.manifest.identity)


def test_after_damage_the_next_start_builds_anew(
    network: Network, library: TensorRt, tmp_path: Path
) -> None:
    store = EngineStore(tmp_path / "engines")
    good = made(network, library, store)
    flip(good.path)
    again = made(network, library, store)
    assert store.load(good.manifest.identity) == again


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def retell(plan: Path, **changes: object) -> None:
    """Let the manifest claim something else."""
    path = plan.with_suffix(".json")
    tree = json.loads(path.read_text())
    tree["identity"] |= changes
    path.write_text(json.dumps(tree))


def test_another_network_version_or_gpu_is_another_engine_and_the_difference_is_told(
    network: Network, library: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds, store = count_builds(monkeypatch), EngineStore(tmp_path / "engines")
    stored = made(network, library, store)
    identity = stored.manifest.identity
    for change, words in [
        ({"tensorrt": "10.7.0"}, f"TensorRT {library.version} instead of 10.7.0"),
        ({"gpu": "Orin"}, "GPU any instead of Orin"),
        ({"compute_capability": "8.7"}, "compute capability SM86\\+SM89 instead of 8.7"),
        ({"machine": "riscv"}, "processor x86_64 instead of riscv"),
        ({"revision": 99}, "builder revision 1 instead of 99"),
    ]:
        with pytest.raises(Unusable, match=words):
            store.load(dataclasses.replace(identity, **change))
    with pytest.raises(Unusable, match="none was built yet"):
        store.load(dataclasses.replace(identity, precision="int8"))
    newer = dataclasses.replace(library, version="1.8.0")
    assert made(network, newer, store).manifest.identity.tensorrt == "1.8.0"
    retrained = small_network(tmp_path, seed=1)
    assert made(retrained, library, store).plan != stored.plan
    assert len(builds) == 3
    assert store.load(identity) == stored  # the others stay


def test_a_full_disk_costs_the_cache_and_not_the_engine(
    network: Network, library: TensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = EngineStore(tmp_path / "engines")
    with largest_file(1000):
        stored = made(network, library, store)
    assert len(stored.plan) == stored.manifest.plan_bytes > 1000
    assert "make room there" in caplog.text
    assert list(store.folder.iterdir()) == []  # nothing half written stays behind
    assert made(network, library, store).path.is_file()


class largest_file:
    """While entered, writing a larger file fails, as on a full disk."""

    def __init__(self, byte_count: int) -> None:
        self.byte_count = byte_count

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.byte_count, self.before[1]))

    def __exit__(self, *exception: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_write_that_is_cut_off_leaves_the_engine_of_before(
    built_once: StoredPlan, tmp_path: Path
) -> None:
    store = EngineStore(tmp_path / "engines")
    store.save(built_once.plan, built_once.manifest)
    with largest_file(1000), pytest.raises(OSError, match="too large"):
        store.save(built_once.plan + b"more", built_once.manifest)
    assert store.load(built_once.manifest.identity).plan == built_once.plan


def test_only_the_newest_engines_are_kept(built_once: StoredPlan, tmp_path: Path) -> None:
    store, manifest = EngineStore(tmp_path / "engines"), built_once.manifest
    oldest = store.save(b"plan", manifest)
    for number in range(KEPT_PLANS):
        identity = dataclasses.replace(manifest.identity, revision=100 + number)
        path = store.save(b"plan", dataclasses.replace(manifest, identity=identity))
        os.utime(path, (2e9 + number, 2e9 + number))
    assert len(list(store.folder.glob("*.plan"))) == KEPT_PLANS
    assert len(list(store.folder.glob("*.json"))) == KEPT_PLANS
    assert not oldest.exists()


def test_progress_rises_to_the_end_and_names_what_is_done(
    network: Network, library: TensorRt, tmp_path: Path
) -> None:
    told: list[tuple[float, str]] = []
    made(network, library, EngineStore(tmp_path), on_progress=lambda *words: told.append(words))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert 0 <= shares[0] < 0.5 < shares[-1] == 1
    assert all(phase for _, phase in told)


def test_nested_phases_count_as_part_of_the_step_that_they_belong_to() -> None:
    told: list[float] = []
    progress = BuildProgress(lambda share, phase: told.append(share))
    progress.start("build", None, 2)
    progress.start("inner", "build", 4)
    assert progress.advance("inner", 1)
    progress.finish("inner")
    assert progress.advance("build", 0)
    assert progress.advance("build", 1)
    assert told == pytest.approx([0.25, 0.5, 1.0], abs=0.13)
    assert told == sorted(told)


def test_a_build_ends_at_once_when_the_user_interrupts_it(
    network: Network, library: TensorRt, tmp_path: Path
) -> None:
    def interrupted(share: float, phase: str) -> None:
        raise KeyboardInterrupt

    store = EngineStore(tmp_path / "engines")
    with pytest.raises(KeyboardInterrupt):
        made(network, library, store, on_progress=interrupted)
    assert not store.folder.exists()


def test_what_tensorrt_cannot_read_is_told_in_its_own_words(library: TensorRt) -> None:
    with pytest.raises(EngineError, match=r"cannot read the network: .*parse"):
        build_plan(library, b"no network", "fp32", targets=TARGETS)
    with pytest.raises(EngineError, match="cannot build for SM87; it knows SM75, SM80, SM86"):
        build_plan(library, b"", "fp32", targets=["SM87"])


def test_without_a_gpu_an_engine_for_this_one_cannot_be_built(
    network: Network, library: TensorRt
) -> None:
    if os.path.exists("/proc/driver/nvidia/version"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineError, match="cannot build the network"):
        build_plan(library, network.path.read_bytes(), "fp32")


def test_a_manifest_of_another_version_is_not_read() -> None:
    with pytest.raises(BadManifest, match="schema 7, expected 1"):
        EngineManifest.from_json('{"schema": 7}')


def test_an_identity_needs_a_gpu_or_targets(network: Network) -> None:
    rtx = TensorRt(None, "tensorrt-rtx", "1.7.1")
    assert identity_of(network, "fp16", rtx, GPU).compute_capability == "8.6"
    with pytest.raises(ValueError, match="for a GPU or for named targets"):
        identity_of(network, "fp16", rtx, None)


def test_precision_follows_the_file_and_half_precision_halves_the_states() -> None:
    shipped = load_network(SHIPPED_NETWORK)
    assert choose_precision(shipped) == "fp16"
    assert choose_precision(shipped, "fp32") == "fp32"
    with pytest.raises(EngineError, match="is fp32, not int8; make a quantised one"):
        choose_precision(shipped, "int8")
    odd = dataclasses.replace(shipped, manifest=shipped.manifest | {"precision": "int3"})
    with pytest.raises(EngineError, match="unknown precision, int3"):
        choose_precision(odd)
    quantised = dataclasses.replace(shipped, manifest=shipped.manifest | {"precision": "int8"})
    assert choose_precision(quantised) == "int8"
    assert {s.dtype for s in engine_contract(shipped, "fp16").states} == {"float16"}
    assert {s.dtype for s in engine_contract(shipped, "fp32").states} == {"float32"}
    assert {s.dtype for s in engine_contract(quantised, "int8").states} == {"float32"}


def test_a_wearers_own_network_is_not_run_by_the_engine_of_the_shipped_one() -> None:
    """Engines are known by the file's hash, which a network in memory has too."""
    own = dataclasses.replace(load_network(SHIPPED_NETWORK), content=SHIPPED_NETWORK.read_bytes())
    with pytest.raises(EngineError, match="wearer's own"):
        choose_precision(own)


@pytest.mark.parametrize(
    ("flavour", "version", "is_strong", "flags"),
    [
        ("tensorrt", "10.3.0", False, ("INT8", "FP16")),
        ("tensorrt", "10.11.0.33", False, ("INT8", "FP16")),
        ("tensorrt", "10.12.0", True, ()),
        ("tensorrt", "11.4.1", True, ()),
        ("tensorrt-rtx", "1.7.1.116", True, ()),
    ],
)
def test_versions_differ_in_how_precision_is_asked_for(
    flavour: str, version: str, is_strong: bool, flags: tuple[str, ...]
) -> None:
    kinds = SimpleNamespace(STRONGLY_TYPED=1)
    module = SimpleNamespace(
        Builder=object, __version__=version, NetworkDefinitionCreationFlag=kinds
    )
    library = find_tensorrt([flavour], lambda name: module)  # type: ignore[list-item]
    assert library.is_strongly_typed is is_strong
    assert library.precision_flags("int8") == flags
    assert library.precision_flags("fp32") == ()
    assert library.network_flags == (2 if is_strong else 0)
    assert library.has_timing_cache is (flavour == "tensorrt")


def test_an_old_missing_or_hollow_tensorrt_is_told_apart() -> None:
    def load(name: str) -> object:
        if name == "tensorrt_rtx":
            raise ImportError("libcudart.so.13: cannot open shared object file")
        return SimpleNamespace(**modules.pop())

    modules: list[dict[str, object]] = [{}, {"Builder": object, "__version__": "8.6.2"}]
    with pytest.raises(EngineError, match=r"8\.6\.2 is too old, .*libcudart.*`unvisor doctor`"):
        find_tensorrt(load=load)
    with pytest.raises(EngineError, match="tensorrt: is no TensorRT"):
        find_tensorrt(load=load)


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
