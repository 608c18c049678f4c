from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from edge.hmd_process import camera_arguments
from edge.run import _check
from edge.settings import SessionSettings, from_json, load_toml, override, to_json
from streaming.errors import UserError


def test_settings_survive_the_trip_to_a_child_process() -> None:
    settings = override(SessionSettings(), {"edge.camera.source": "a.mp4", "models.size_px": 64})
    assert from_json(to_json(settings)) == settings
    assert settings.edge.camera.source == "a.mp4"


def test_a_toml_file_sets_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "unvisor.toml"
    path.write_text('[edge]\nlandmarks = "mediapipe"\n[edge.camera]\nseconds = 3\n')
    settings = load_toml(path)
    assert settings.edge.landmarks == "mediapipe"
    assert settings.edge.camera.seconds == 3.0
    assert settings.models == SessionSettings().models


def test_each_eye_names_its_own_camera(tmp_path: Path) -> None:
    path = tmp_path / "unvisor.toml"
    path.write_text(
        '[hmd_capture.left]\nsource = "mjpeg:http://10.0.0.7"\nrotation_deg = 90\n'
        'flip = "horizontal"\nregion = "0,0,200,180"\n'
    )
    hmd = load_toml(path).hmd_capture
    assert hmd.right.source == ""
    assert camera_arguments("left", hmd.left) == [
        "--left=mjpeg:http://10.0.0.7",
        "--left-rotation=90.0",
        "--left-flip=horizontal",
        "--left-region=0,0,200,180",
    ]
    assert from_json(to_json(load_toml(path))).hmd_capture == hmd


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[edge]\nlandmark = 'oracle'\n", "landmark"),
        ("[edge]\nlandmarks = 'guess'\n", "guess"),
        ("[models]\nsize_px = 'big'\n", "size_px must be a whole number, not 'big'"),
        ("[models]\nsize_px = true\n", "size_px"),
        ("[edge]\ncamera = 3\n", "section"),
        ("[edge\n", "TOML"),
        ("[hmd_capture.left]\nflip = 'sideways'\n", "sideways"),
        # These ended in a traceback, in whichever part met them first.
        ("[streaming]\njpeg_quality = 0\n", "jpeg_quality must be from 1 to 100, not 0"),
        ("[streaming]\npublisher_port = 70000\n", "publisher_port must be from 0 to 65535"),
        ("[models]\nthreads = -1\n", "threads must be from 0 to 256"),
        ("[edge.camera]\nmax_width_px = 0\n", "max_width_px must be from 16"),
        ("[edge.camera]\nfps = nan\n", "fps must be from 1 to 1000, not nan"),
        (f"[edge]\nmax_gap_ms = 1{'0' * 400}\n", "max_gap_ms must be a number of fewer digits"),
        ("[edge]\nmax_gap_ms = 0\n", "max_gap_ms must be from 1 to 60000, not 0"),
        ("[edge.simulation]\nseed = -1\n", "seed must be from 0"),
    ],
)
def test_a_wrong_config_file_is_one_clear_sentence(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "unvisor.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=named):
        load_toml(path)


@pytest.mark.parametrize(
    ("source", "gap_ms", "is_told"),
    [("webcam:0", 30.0, True), ("webcam:0", 500.0, False), ("clip.mp4", 30.0, False)],
)
def test_a_gap_that_every_frame_comes_after_is_refused(
    source: str, gap_ms: float, is_told: bool
) -> None:
    """The network's memory never filled; a file may be of any rate."""
    changes = {"edge.camera.source": source, "edge.max_gap_ms": gap_ms}
    with pytest.raises(UserError, match="to 67 or more") if is_told else nullcontext():
        _check(override(SessionSettings(), changes))


def test_a_missing_config_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml"):
        load_toml(tmp_path / "nowhere.toml")


def test_overrides_ignore_none_and_refuse_unknown_keys() -> None:
    assert override(SessionSettings(), {"edge.profile": None}) == SessionSettings()
    with pytest.raises(UserError, match=r"edge\.speed"):
        override(SessionSettings(), {"edge.speed": 1})
