"""With what a profile was taken, and which camera a session takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from saved_profiles import OLD, small_profile

from edge.__main__ import main
from edge.devices import CameraDevice
from edge.profile import Part, load_profile, save_profile
from edge.settings import SessionSettings, names_camera
from edge.setup.camera_choice import profiles_camera
from edge.setup.part import CaptureSetup

DESK = CameraDevice("/dev/v4l/by-id/usb-Desk_A1", "/dev/video2", "Desk", "A1", True)
SIDE = CameraDevice("/dev/video0", "/dev/video0", "Side", "", True)
TAKEN = CaptureSetup(
    "webcam", (1280, 720), 30.0, "mediapipe", "0.10.18", DESK.id, "2", DESK.name, DESK.serial
)
DEFAULT = "webcam:0"


def connected(**cameras: CameraDevice) -> Any:
    """Finds what is connected by node number ("n2"), and everything by its own id."""

    def find(camera_id: str) -> CameraDevice | None:
        by_id = {camera.id: camera for camera in cameras.values()}
        return by_id.get(camera_id) or cameras.get(f"n{camera_id}")

    return find


def test_the_setup_is_kept_in_the_profile_and_comes_back(tmp_path: Path) -> None:
    save_profile(dataclasses.replace(small_profile(OLD), setup=TAKEN), tmp_path / "anna")
    assert load_profile(tmp_path / "anna").setup == TAKEN
    assert TAKEN.words.startswith("Desk (webcam:/dev/v4l/by-id/usb-Desk_A1), 1280×720 px, 30 fps")


def test_the_profiles_camera_is_used_while_it_is_connected() -> None:
    source, told = profiles_camera(TAKEN, DEFAULT, connected(n0=SIDE, n5=DESK))
    assert source == f"webcam:{DESK.id}"
    assert "Camera Desk" in told
    assert "as in the profile" in told


def test_the_id_as_it_was_typed_is_used_while_it_is_that_camera() -> None:
    """A measured lens is kept by the id that was typed."""
    source, _ = profiles_camera(TAKEN, DEFAULT, connected(n0=SIDE, n2=DESK))
    assert source == "webcam:2"


@pytest.mark.parametrize(
    "cameras",
    [
        {},
        {"n0": SIDE},
        {"n2": dataclasses.replace(DESK, serial="B2")},
        {"n2": dataclasses.replace(DESK, name="Another")},
    ],
)
def test_a_camera_that_is_not_there_or_another_one_leaves_the_default_and_that_is_told(
    cameras: dict[str, CameraDevice],
) -> None:
    source, told = profiles_camera(TAKEN, DEFAULT, connected(**cameras))
    assert source == DEFAULT
    assert "Desk, is not connected: using webcam:0" in told


@pytest.mark.parametrize("kind", ["recording", "pictures"])
def test_what_was_no_camera_leaves_the_default_without_a_word(kind: Any) -> None:
    setup = CaptureSetup(kind, (640, 480), 25.0, "mediapipe")
    assert profiles_camera(setup, DEFAULT, connected(n0=SIDE)) == (DEFAULT, "")
    assert profiles_camera(None, DEFAULT, connected(n0=SIDE)) == (DEFAULT, "")


def test_a_pipeline_is_never_taken_from_a_profile() -> None:
    """A profile may come from anybody; a pipeline can write files."""
    setup = dataclasses.replace(TAKEN, kind="gst", camera_id="gst:filesink location=/x")
    source, told = profiles_camera(setup, DEFAULT, connected(n0=SIDE))
    assert source == DEFAULT
    assert "--camera gst:PIPELINE" in told


def test_only_cameras_of_this_machine_are_opened_whatever_a_profile_names() -> None:
    for hostile in ("http://example.org/stream", "/etc/passwd", "rtsp://x/y"):
        setup = dataclasses.replace(TAKEN, camera_id=hostile, typed_id=hostile)
        assert profiles_camera(setup, DEFAULT)[0] == DEFAULT


@pytest.mark.parametrize(
    "change",
    [
        {"size_px": [0, 720]},
        {"fps": -1},
        {"kind": "telescope"},
        {"camera_name": "\x1b[2J"},
        {"serial": 7},
        {"tracker": "x" * 1000},
    ],
)
def test_a_setup_that_does_not_fit_is_refused(change: Mapping[str, Any]) -> None:
    part = TAKEN.to_part()
    with pytest.raises(ValueError):  # noqa: PT011 - whichever
        CaptureSetup.from_part(Part({**part.document, **change}, version=part.version))


@pytest.mark.parametrize(
    ("config", "is_named"),
    [
        ("", False),
        ("[edge.camera]\nfps = 25.0", False),
        ("[edge.camera]\nsource = 'webcam:0'", True),
    ],
)
def test_a_config_file_that_names_a_camera_is_noticed(
    config: str, is_named: bool, tmp_path: Path
) -> None:
    path = tmp_path / "unvisor.toml"
    path.write_text(config)
    assert names_camera(path) is is_named


@pytest.mark.parametrize(
    ("arguments", "config", "source"),
    [
        ([], "", "webcam:2"),
        ([], "[edge]\nperson = 'left'", "webcam:2"),
        (["--camera", "clip.mp4"], "", "clip.mp4"),
        ([], "[edge.camera]\nsource = 'webcam:0'", "webcam:0"),
    ],
)
def test_command_line_and_config_file_win_over_the_profiles_camera(
    arguments: list[str],
    config: str,
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Started(Exception):
        """The session would begin now."""

    ran: list[SessionSettings] = []

    def started(settings: SessionSettings, *others: object, **more: object) -> None:
        ran.append(settings)
        raise Started

    monkeypatch.setattr("edge.run.run_session", started)
    monkeypatch.setattr(
        "edge.run.profiles_camera",
        lambda setup, default: profiles_camera(setup, default, connected(n2=DESK)),
    )
    save_profile(dataclasses.replace(small_profile(OLD), setup=TAKEN), tmp_path / "anna")
    (tmp_path / "unvisor.toml").write_text(config)
    options = ["--config", str(tmp_path / "unvisor.toml")] if config else []
    with pytest.raises(Started):
        main(["run", "--profile", str(tmp_path / "anna"), "--yes", *options, *arguments])
    assert ran[0].edge.camera.source == source
    told = " ".join(capsys.readouterr().err.split())
    assert ("as in the profile" in told) is (source == "webcam:2")
