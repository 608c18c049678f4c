"""A network of the wearer's own: the process that learns it, what is kept, what a session runs."""

from __future__ import annotations

import dataclasses
import json
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_profiles import OLD, small_profile

from calibration.finetune import process as processes
from calibration.finetune.frames import CapturedClip
from calibration.finetune.process import check_torch, finetune_profile
from edge.__main__ import main
from edge.filler_opening import open_filler
from edge.profile import SessionProfile, load_profile, save_profile, sealing
from edge.profile.own_network import OwnNetwork
from edge.profile.parts import Part
from edge.settings import ModelsSettings
from edge.timing import StageTimes
from models.engine.cuda.driver import Gpu
from models.engine.onnx import OnnxEngine
from models.personal.exchange import Answer, Order
from models.personal.network import PersonalWeights, parameters_of
from models.shipped import SHIPPED_NETWORK, Network, load_network
from models.weights_error import WeightsError
from streaming.errors import UserError

NAME = "conv11.feature.bias"
SCORES = {"base_psnr_masked_db": 24.0, "psnr_masked_db": 24.75, "frames": 60.0}
GPU = Gpu("NVIDIA GeForce RTX 3080", "8.6", "13.0")
PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def base() -> Network:
    return load_network(SHIPPED_NETWORK)


@pytest.fixture
def own(base: Network) -> OwnNetwork:
    brighter = parameters_of(base)[NAME] + np.float32(0.25)
    return OwnNetwork(PersonalWeights(base.manifest["sha256"], {NAME: brighter}), SCORES)


@pytest.fixture
def clip() -> CapturedClip:
    found = CapturedClip(128)
    rng = np.random.default_rng(1)
    for index in (3, 4, 5, 9, 10):
        mesh = (rng.random((478, 3)) * 100 + 60).astype(np.float32)
        found.add(index, rng.integers(0, 256, (240, 320, 3), np.uint8), mesh)
    return found


def a_process(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Stands in for the process that learns: `order` has what it was given."""
    path = folder / "process.py"
    path.write_text(
        "import json, sys, time\n"
        "from models.personal.exchange import Answer, Order\n"
        "order = Order.unpack(sys.stdin.buffer.read())\n"
        "def say(**facts): print(json.dumps(facts), file=sys.stderr, flush=True)\n" + script
    )
    monkeypatch.setenv("PYTHONPATH", str(processes.ROOT))
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, str(path)))


def answers(is_kept: bool) -> str:
    weights = f"{{{NAME!r}: np.ones(3, np.float32)}}" if is_kept else "{}"
    return (
        "import numpy as np\nsay(share=0.5, words='learning')\n"
        f"answer = Answer({is_kept}, 7, {SCORES!r}, {weights})\n"
        "sys.stdout.buffer.write(answer.pack())\n"
    )


def test_orders_and_answers_arrive_as_they_were_sent(clip: CapturedClip) -> None:
    images, meshes, starts = clip.arrays()
    assert starts.tolist() == [True, False, False, True, False]
    order = Order.unpack(Order(images, meshes, starts, "unvisor.onnx", 90.0, 4).pack())
    assert (order.images == images).all()
    assert (order.meshes == meshes).all()
    assert (order.network, order.seconds, order.seed) == ("unvisor.onnx", 90.0, 4)
    answer = Answer.unpack(Answer(True, 3, SCORES, {NAME: np.ones(3, np.float32)}).pack())
    assert answer.scores == SCORES
    assert answer.weights[NAME].tolist() == [1, 1, 1]


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_better_network_is_kept_in_the_profile(
    tmp_path: Path,
    clip: CapturedClip,
    monkeypatch: pytest.MonkeyPatch,
    passphrase: str | None,
) -> None:
    monkeypatch.setattr(sealing, "SCRYPT_N", 1 << 10)
    lock = None if passphrase is None else sealing.Lock.new(passphrase)
    folder = tmp_path / "anna"
    save_profile(dataclasses.replace(small_profile(OLD), lock=lock), folder)
    a_process(monkeypatch, tmp_path, answers(is_kept=True))
    told = finetune_profile(folder, clip, 1.0, passphrase)
    assert "network of its own" in told
    assert "24.00 dB before, 24.75 dB after" in told
    kept = load_profile(folder, passphrase).network
    assert kept is not None
    assert kept.gain_db == pytest.approx(0.75)
    assert kept.weights.values[NAME].tolist() == [1, 1, 1]
    files = {path.name.split(".")[0]: path.stat().st_mode for path in folder.iterdir()}
    assert {stat.S_IMODE(mode) for mode in files.values()} == {0o600}
    assert ("sealed" if passphrase else "network") in files


def test_a_network_that_is_not_better_is_not_kept(
    tmp_path: Path, clip: CapturedClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(small_profile(OLD), tmp_path / "anna")
    before = (tmp_path / "anna" / "profile.json").read_bytes()
    a_process(monkeypatch, tmp_path, answers(is_kept=False))
    assert "not better" in finetune_profile(tmp_path / "anna", clip, 1.0)
    assert (tmp_path / "anna" / "profile.json").read_bytes() == before


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("say(error='The clip is short.', next_step='Talk longer.')\nsys.exit(1)", "Talk longer"),
        ("sys.exit(3)", "ended before it was done"),
        ("print('a warning', file=sys.stderr)", "ended before it was done"),
    ],
)
def test_a_process_that_fails_leaves_the_profile(
    tmp_path: Path, clip: CapturedClip, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    save_profile(small_profile(OLD), tmp_path / "anna")
    before = (tmp_path / "anna" / "profile.json").read_bytes()
    a_process(monkeypatch, tmp_path, script)
    with pytest.raises(UserError, match=told):
        finetune_profile(tmp_path / "anna", clip, 1.0)
    assert (tmp_path / "anna" / "profile.json").read_bytes() == before


@pytest.mark.parametrize("what", ["views", "eyes"])
def test_a_profile_that_was_captured_anew_meanwhile_is_left_alone(
    tmp_path: Path, clip: CapturedClip, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The network went into the new one, whose views it had never seen; new eyes do no harm."""
    folder = tmp_path / "anna"
    save_profile(small_profile(OLD), folder)
    a_process(monkeypatch, tmp_path, answers(is_kept=True))
    known = small_profile(OLD)
    view = dataclasses.replace(known.references[0], image=known.references[0].image ^ 1)
    eye = dataclasses.replace(known.eyes[0], open=known.eyes[0].open + 0.01)
    changes: dict[str, Any] = {"references": (view,)} if what == "views" else {"eyes": (eye, eye)}
    learned = processes.learned

    def captured_anew(*arguments: Any, **options: Any) -> Answer:
        answer = learned(*arguments, **options)
        save_profile(dataclasses.replace(known, **changes), folder)
        return answer

    monkeypatch.setattr(processes, "learned", captured_anew)
    told = finetune_profile(folder, clip, 1.0)
    assert ("captured anew" in told) == (what == "views")
    assert (load_profile(folder).network is None) == (what == "views")


def test_ctrl_c_stops_the_process_and_leaves_the_profile(
    tmp_path: Path, clip: CapturedClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(small_profile(OLD), tmp_path / "anna")
    before = (tmp_path / "anna" / "profile.json").read_bytes()
    alive = tmp_path / "alive"
    a_process(
        monkeypatch,
        tmp_path,
        f"open({str(alive)!r}, 'w').write('1')\ntime.sleep(60)\n",
    )

    def interrupt() -> None:
        while not alive.exists():
            time.sleep(0.02)
        signal.pthread_kill(main_thread, signal.SIGINT)

    main_thread = threading.get_ident()
    threading.Thread(target=interrupt, daemon=True).start()
    begin_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        finetune_profile(tmp_path / "anna", clip, 1.0)
    assert time.monotonic() - begin_s < 30  # it did not wait for the process to end by itself
    assert (tmp_path / "anna" / "profile.json").read_bytes() == before


def test_without_torch_the_command_says_so_before_anybody_sits_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs torch.*make install"):
        check_torch()
    with pytest.raises(SystemExit) as ended:
        main(["calibrate-reference", "--profile", "a", "--camera", "none", "--finetune", "3"])
    assert ended.value.code == 1
    assert "needs torch" in " ".join(capsys.readouterr().err.split())


def test_own_weights_change_what_the_network_says_and_nothing_else(
    base: Network, own: OwnNetwork
) -> None:
    inputs = np.random.default_rng(0).random((1, 8, 128, 128), np.float32)
    shipped = OnnxEngine(base, 1).step(inputs).copy()
    personal = OnnxEngine(own.weights.applied(base), 1).step(inputs)
    assert np.abs(personal - shipped).max() > 0.05
    same = PersonalWeights(base.manifest["sha256"], {NAME: parameters_of(base)[NAME]})
    np.testing.assert_array_equal(OnnxEngine(same.applied(base), 1).step(inputs), shipped)


@pytest.mark.parametrize(
    ("sha256", "name", "value"),
    [
        ("0" * 64, NAME, np.zeros(3, np.float32)),
        ("", "conv99.bias", np.zeros(3, np.float32)),
        ("", NAME, np.zeros(4, np.float32)),
        ("", NAME, np.full(3, np.nan, np.float32)),
        ("", NAME, np.full(3, 1e30, np.float32)),
        ("", NAME, np.zeros(3, np.float64)),
    ],
)
def test_weights_that_do_not_fit_the_shipped_network_are_refused(
    base: Network, sha256: str, name: str, value: Any
) -> None:
    weights = PersonalWeights(sha256 or base.manifest["sha256"], {name: value})
    with pytest.raises(WeightsError):
        weights.applied(base)


@pytest.mark.parametrize(
    "part",
    [
        Part({"base_sha256": "0", "names": ["a", "b"], "scores": {}}, {"value_0": np.ones(2)}),
        Part({"base_sha256": "0", "names": ["a"], "scores": {}}, {"value_0": np.ones(2)}),
        Part(
            {"base_sha256": "0", "names": ["a"], "scores": {}},
            {"value_0": np.full(2, np.inf, np.float32)},
        ),
    ],
)
def test_a_part_of_other_numbers_than_it_names_is_refused(part: Part) -> None:
    with pytest.raises((KeyError, ValueError)):
        OwnNetwork.from_part(part)


@pytest.fixture
def profile(canonical_mesh: Any, textured_image: Any, own: OwnNetwork) -> SessionProfile:
    from models.filling import Reference

    return SessionProfile((Reference(textured_image, canonical_mesh),), network=own)


@pytest.mark.parametrize(
    ("changes", "runs", "said"),
    [
        ({}, "the profile's own unvisor.onnx", ""),
        ({"precision": "int8"}, "unvisor_int8.onnx", "INT8 was asked for"),
        ({"weights": str(SHIPPED_NETWORK)}, "unvisor.onnx", ""),
    ],
)
def test_a_session_runs_the_profiles_own_network(
    profile: SessionProfile, changes: dict[str, Any], runs: str, said: str
) -> None:
    notes: list[str] = []
    models = ModelsSettings(**{"engine": "onnx", **changes})
    _, name = open_filler(models, profile, StageTimes(), notes.append)
    assert name == runs
    assert said in " ".join(notes)
    assert bool(notes) == bool(said)


def test_a_gpu_without_an_engine_does_not_keep_the_own_network_from_running(
    profile: SessionProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where no engine was ever built
    for module in ("edge.filler_opening", "models.engine.choice"):
        monkeypatch.setattr(f"{module}.find_gpu", lambda: GPU, raising=False)
    notes: list[str] = []
    _, name = open_filler(ModelsSettings(engine="auto"), profile, StageTimes(), notes.append)
    assert (name, notes) == ("the profile's own unvisor.onnx", [])


def test_where_tensorrt_runs_the_shipped_network_that_is_told_with_the_way_out(
    profile: SessionProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.filler_opening.runs_tensorrt", lambda *arguments: True)
    notes: list[str] = []
    _, name = open_filler(ModelsSettings(precision="fp32"), profile, StageTimes(), notes.append)
    assert name == "unvisor.onnx"
    assert 'engine = "onnx"' in notes[0]


def test_a_network_of_an_older_version_is_not_used_and_that_is_told(
    profile: SessionProfile, own: OwnNetwork
) -> None:
    weights = dataclasses.replace(own.weights, base_sha256="0" * 64)
    older = dataclasses.replace(profile, network=dataclasses.replace(own, weights=weights))
    notes: list[str] = []
    _, name = open_filler(ModelsSettings(precision="fp32"), older, StageTimes(), notes.append)
    assert name == "unvisor.onnx"
    assert "another version" in notes[0]


def test_profiles_show_names_the_network_and_drop_takes_it_out(
    tmp_path: Path, own: OwnNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "anna"
    save_profile(dataclasses.replace(small_profile(OLD), network=own), folder)

    def profiles(*words: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["profiles", *words])
        return int(ended.value.code or 0)

    assert profiles("show", str(folder)) == 0
    assert "+0.75 dB on 60 frames" in capsys.readouterr().out
    assert profiles("show", str(folder), "--json") == 0
    assert json.loads(capsys.readouterr().out)["network"] == SCORES
    assert profiles("drop", str(folder), "network") == 0
    assert load_profile(folder).network is None
    assert not list(folder.glob("network.*"))
    assert profiles("drop", str(folder), "network") == 1
    assert "has no part" in capsys.readouterr().err
