"""`unvisor build-engine`, and what a session does before its start, on a machine without a GPU."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import onnx
import pytest
import typer

from edge import engine_start
from edge.__main__ import main
from edge.engine_start import prepare_engine
from edge.settings import SessionSettings, override
from models.engine.cuda.driver import Gpu, find_gpu
from models.shipped import SHIPPED_NETWORK, WEIGHTS_FOLDER, load_network
from streaming.errors import UserError

GPU = Gpu("NVIDIA GeForce RTX 3080", "8.6", "13.0")
without_gpu = pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["build-engine", *arguments])
    return int(ended.value.code or 0)


@without_gpu
def test_without_a_gpu_one_sentence_says_so_and_what_else_can_be_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run() == 1
    said = capsys.readouterr().err
    assert said.startswith("There is no NVIDIA GPU here")
    assert "--target SM86" in said
    assert "Traceback" not in said


def test_an_engine_for_another_machine_is_built_once_and_told_as_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is only in the dev extra on x86-64")
    assert run("--target", "SM86", "--target", "SM89", "--json") == 0
    manifest = json.loads(capsys.readouterr().out)
    plan = Path(manifest["path"])
    assert plan.parent == tmp_path / "cache" / "unvisor" / "engines"
    assert plan.stat().st_size == manifest["plan_bytes"] > 1_000_000
    assert (manifest["identity"]["precision"], manifest["parity_db"]) == ("fp16", None)
    built_ns = plan.stat().st_mtime_ns
    assert run("--target", "SM86", "--target", "SM89") == 0
    assert "not run here" in capsys.readouterr().out
    assert plan.stat().st_mtime_ns == built_ns


def test_wrong_targets_precisions_and_networks_are_told_with_what_there_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is only in the dev extra on x86-64")
    for arguments, words in [
        (["--target", "SM87"], "it knows SM75, SM80, SM86"),
        (["--target", "SM86", "--precision", "int4"], "Choose auto or fp32, fp16, int8"),
        (["--target", "SM86", "--precision", "int8"], "make a quantised one"),
        (["--target", "SM86", "--weights", str(tmp_path / "none.onnx")], "is missing"),
    ]:
        assert run(*arguments) == 1
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said


def settings(**changes: str) -> SessionSettings:
    return override(SessionSettings(), {f"models.{name}": value for name, value in changes.items()})


def test_a_session_builds_nothing_that_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(engine_start, "_build", lambda *arguments: told.append((0, 0)))
    prepare_engine(settings(), lambda *share: told.append(share))  # no GPU, or none built yet
    monkeypatch.setattr(engine_start, "find_gpu", lambda: pytest.fail("asked"))
    prepare_engine(settings(engine="onnx"), lambda *share: told.append(share))
    prepare_engine(settings(filler="warp-blend"), lambda *share: told.append(share))
    assert told == []


@without_gpu
def test_a_build_that_fails_before_a_session_is_told_and_the_session_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The child has no GPU, whatever its parent believes: a real failure of a real process."""
    monkeypatch.setattr(engine_start, "find_gpu", lambda: GPU)
    monkeypatch.setattr(engine_start, "wants_build", lambda *arguments: "none was built yet")
    told: list[tuple[int, int]] = []
    with caplog.at_level(logging.WARNING):
        prepare_engine(settings(engine="tensorrt"), lambda *share: told.append(share))
    assert told == [(0, 100)]
    assert "the engine was not built, onnxruntime runs the network" in caplog.text
    assert "There is no NVIDIA GPU here" in caplog.text


@pytest.mark.parametrize("engine", ["auto", "onnx", "tensorrt"])
def test_the_engine_is_a_setting(engine: str) -> None:
    assert settings(engine=engine).models.engine == engine


def test_an_unknown_engine_is_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match="auto, onnx, tensorrt"):
        settings(engine="cuda")


def test_export_writes_a_half_precision_copy_of_any_shipped_network(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is only in the train and dev extras")
    from models.export import Precision, export

    for name in ("unvisor", "headset_net"):
        source, target = WEIGHTS_FOLDER / f"{name}.onnx", tmp_path / f"{name}.onnx"
        export(source, target, Precision.FP16)
        assert target.stat().st_size < 0.6 * source.stat().st_size
        types = {item.data_type for item in onnx.load(target).graph.initializer}
        assert onnx.TensorProto.FLOAT16 in types
    half = load_network(tmp_path / "unvisor.onnx")
    assert half.precision == "fp16"
    assert half.manifest["from_sha256"] == load_network(SHIPPED_NETWORK).manifest["sha256"]
    assert {state.dtype for state in half.contract.states} == {"float16"}
    assert half.contract.inputs == load_network(SHIPPED_NETWORK).contract.inputs


def test_export_does_not_overwrite_or_halve_what_it_should_not(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is only in the train and dev extras")
    from models.export import Precision, export

    copy = tmp_path / "copy.onnx"
    copy.write_bytes(SHIPPED_NETWORK.read_bytes())
    with pytest.raises(typer.BadParameter, match="another name"):
        export(copy, copy, Precision.FP16)
    with pytest.raises(typer.BadParameter, match="cannot be read"):
        export(copy, tmp_path / "half.onnx", Precision.FP16)  # it has no manifest
