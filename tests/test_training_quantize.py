"""`unvisor quantize`: what of the original its INT8 form keeps, and when it is not kept at all."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models.contract import CONTOURS, REFERENCE_RGB
from models.engine.onnx import OnnxEngine
from models.engine.plans.trial import made_up_frames
from models.export import export_network
from models.inpainting import architectures
from models.inpainting.inputs_choice import InputsChoice
from models.shipped import SHIPPED_INT8, SHIPPED_NETWORK, load_network, manifest_path
from streaming.errors import UserError
from training.quantisation import headset_command, long_check, parity, quantize_command
from training.quantisation.acceptance import accepted_as, default_place
from training.quantisation.parity import Parity
from training.quantisation.scene_scores import SceneScores

BLIND = {"reference": "none", "reference_in_hole_only": True, "landmarks": False}
GOOD = Parity(1, 8, 30.0, 29.9, 0.1, 50.0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("exported") / "peer.onnx"
    network = architectures.build("lgtsm", {"width": 16, "size_px": 32})
    export_network(network, path, {"inputs": BLIND, "licence_classes": ["open"]})
    return path


@pytest.fixture
def peer(exported: Path, tmp_path: Path) -> Path:
    """A network that is shown neither reference nor landmarks, with a state ours does not have."""
    for file in exported.parent.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / exported.name


class Workshop:
    """Stands for the data; keeps what streams were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Parity) -> None:
        self.settings: list[Any] = []
        row = SimpleNamespace(segment="drawn", frames=40)
        clips = SimpleNamespace(
            rows=lambda split: [row], frames=lambda *_: None, meshes=lambda *_: None
        )
        monkeypatch.setattr(quantize_command, "FaceClips", lambda data: clips)
        monkeypatch.setattr(quantize_command, "RANGE_STREAMS", 1)
        monkeypatch.setattr(quantize_command, "DecodedClip", lambda *_: None)
        monkeypatch.setattr(quantize_command, "StreamMaker", self._maker)
        monkeypatch.setattr(quantize_command, "check_parity", lambda *_: found)

    def _maker(self, clips: Any, settings: Any, seed: int) -> Any:
        self.settings.append(settings)
        contract = architectures.settings_of("lgtsm", {"width": 16, "size_px": 32}).contract
        frames = np.concatenate(made_up_frames(contract, 9))
        return SimpleNamespace(make=lambda number: SimpleNamespace(inputs=lambda: frames))


def test_the_int8_form_is_used_as_its_original_is(
    peer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(monkeypatch, GOOD)
    quantize_command.quantize(peer.parent, peer, None, "cpu", 0)
    original, int8 = load_network(peer), load_network(peer.with_name("peer_int8.onnx"))
    assert int8.inputs == original.inputs == InputsChoice(**BLIND)
    assert [s.inputs for s in workshop.settings] == [original.inputs]
    assert int8.contract.state_names == original.contract.state_names
    assert int8.manifest["licence_classes"] == ["open"]
    engine, plain = OnnxEngine(int8, 1), OnnxEngine(original, 1)
    for frame in made_up_frames(original.contract, 3):
        fill, wanted = (each.step(frame)[..., 8:-8, 8:-8].ravel() for each in (engine, plain))
    assert np.corrcoef(fill, wanted)[0, 1] > 0.9  # untrained it hardly says anything


def test_ranges_and_judgement_are_of_the_licence_classes_asked_for(
    peer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was no such option: a network trained on free clips took its ranges from all."""
    Workshop(monkeypatch, GOOD)
    rows = [
        SimpleNamespace(segment=name, frames=40, licence_class=name) for name in ("free", "paid")
    ]
    clips = SimpleNamespace(rows=lambda split: rows, frames=lambda *_: None, meshes=lambda *_: None)
    judged: list[Any] = []

    def judge(*given: Any) -> Parity:
        judged.append(given[3])
        return GOOD

    monkeypatch.setattr(quantize_command, "FaceClips", lambda data: clips)
    monkeypatch.setattr(quantize_command, "check_parity", judge)
    quantize_command.quantize(peer.parent, peer, None, "cpu", 0, ["free"])
    assert judged == [[rows[0]]]
    ranges = load_network(peer.with_name("peer_int8.onnx")).manifest["ranges"]
    assert (ranges["clips"], ranges["licence_classes"]) == (1, ["free"])
    with pytest.raises(UserError, match=r"licence class other.*classes are: free, paid"):
        quantize_command.quantize(peer.parent, peer, None, "cpu", 0, ["other"])


def test_clips_that_are_too_short_are_told_in_a_sentence(
    peer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the ranges, for the comparison, and for the long one."""
    maker, decoded = quantize_command.StreamMaker, quantize_command.DecodedClip
    Workshop(monkeypatch, GOOD)
    monkeypatch.setattr(quantize_command, "StreamMaker", maker)
    short = decoded(np.zeros((9, 8, 8, 3), np.uint8), np.zeros((9, 478, 3), np.float32))
    monkeypatch.setattr(quantize_command, "DecodedClip", lambda *_: short)
    with pytest.raises(UserError, match="Ranges cannot be measured: no clip is longer than 32"):
        quantize_command.quantize(peer.parent, peer, None, "cpu", 0)
    still = SimpleNamespace(rows=lambda split: [SimpleNamespace(frames=1)])
    monkeypatch.setattr(quantize_command, "FaceClips", lambda data: still)
    monkeypatch.setattr(long_check, "FaceClips", lambda data: still)
    with pytest.raises(UserError, match="has the 3 frames"):
        quantize_command.quantize(peer.parent, peer, None, "cpu", 0)
    with pytest.raises(UserError, match="has the 3 frames"):
        long_check.check_int8(peer.parent, peer, peer)
    with pytest.raises(UserError, match="absent"):
        long_check.check_int8(peer.parent, peer, tmp_path / "absent.onnx")


def test_a_form_that_loses_too_much_is_not_left_where_sessions_look(
    peer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = peer.with_name("peer_int8.onnx")
    before.write_bytes(b"the one of before")
    Workshop(monkeypatch, replace(GOOD, int8_psnr_db=20.0))
    with pytest.raises(UserError, match="not kept"):
        quantize_command.quantize(peer.parent, peer, None, "cpu", 0)
    assert before.read_bytes() == b"the one of before"
    assert sorted(path.name for path in peer.parent.iterdir()) == [
        "peer.json",
        "peer.onnx",
        "peer_int8.onnx",
    ]


@pytest.mark.parametrize(
    ("iou", "error", "passes"),
    [(0.9, 0.05, True), (0.8, 0.05, False), (0.9, 0.06, False), (float("nan"), 0.05, False)],
)
def test_the_trackers_int8_form_must_find_as_much(iou: float, error: float, passes: bool) -> None:
    before = SceneScores(8, 0.9, 0.05, 0.0, 0.0)
    console = Console(quiet=True)
    with nullcontext() if passes else pytest.raises(UserError, match="not kept"):
        headset_command._tell(console, before, replace(before, mask_iou=iou, mesh_nme=error))


def test_only_the_form_for_processors_goes_where_sessions_look() -> None:
    assert default_place(SHIPPED_NETWORK, "cpu") == SHIPPED_INT8
    places = {default_place(SHIPPED_NETWORK, target) for target in ("cpu", "pairs", "tensorrt")}
    assert len(places) == 3


def test_a_network_and_its_manifest_arrive_together(tmp_path: Path) -> None:
    out = tmp_path / "new" / "net.onnx"
    with accepted_as(out) as made:
        made.write_bytes(b"graph")
        manifest_path(made).write_text(json.dumps({"schema": 1}))
        assert not out.exists()
    assert out.read_bytes() == b"graph"
    assert sorted(path.name for path in out.parent.iterdir()) == ["net.json", "net.onnx"]


def test_parity_is_measured_on_what_the_network_is_shown(
    peer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    prepared = SimpleNamespace(network_input=None)
    preparer = SimpleNamespace(step=lambda *_: prepared)
    monkeypatch.setattr(parity, "ReferenceBank", lambda *_: None)
    monkeypatch.setattr(parity, "Preparer", lambda bank: preparer)
    everything = np.ones((8, 32, 32), np.float32)
    monkeypatch.setattr(parity.preparation, "network_input", lambda _: everything.copy())
    monkeypatch.setattr(
        parity, "filled", lambda network, inputs, crop, hidden: seen.append(inputs) or crop
    )
    crop = np.zeros((1, 32, 32, 3), np.uint8)
    scored = SimpleNamespace(
        reference_image=crop[0],
        reference_mesh=np.zeros((478, 3), np.float32),
        truth=crop,
        hidden=crop[..., 0],
        meshes=np.zeros((1, 478, 3), np.float32),
    )
    monkeypatch.setattr(parity.protocol, "load", lambda *_: scored)
    row: Any = None
    parity.check_parity(peer, peer, row, [row], 32)
    assert len(seen) == 2
    for inputs in seen:
        assert not inputs[:, CONTOURS].any()
        assert not inputs[:, REFERENCE_RGB].any()
