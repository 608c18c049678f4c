"""Every failing check names its exact fix; the exit code says whether something is missing."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest

from edge import doctor as module
from edge.__main__ import main
from edge.check import Check
from edge.doctor import (
    all_checks,
    check_all_networks,
    check_cameras,
    check_checkout,
    check_eye_network,
    check_npm,
    check_opencv_loads,
    check_packages,
    check_ports,
    check_python,
    check_single_opencv,
    check_weights,
    requirements,
)


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 9), "missing"), ((3, 10), "ok"), ((3, 12), "ok"), ((3, 13), "missing")],
)
def test_python_is_accepted_where_mediapipe_has_wheels(
    version: tuple[int, int], state: str
) -> None:
    assert check_python(version).state == state


def test_a_wrong_or_missing_package_names_the_install_command() -> None:
    wanted = ["numpy>=1.26,<2", "av==18.*", "tomli>=2; python_version < '3.0'", "rich>=13"]
    versions = {"numpy": "2.1.0", "rich": "15.0.0"}
    checks = list(check_packages(wanted, versions.get))
    assert [(c.name, c.state) for c in checks] == [
        ("numpy", "missing"),
        ("av", "missing"),
        ("rich", "ok"),
    ]
    assert checks[0].detail == "2.1.0, needed <2,>=1.26"
    assert checks[1].fix.endswith('-m pip install "av==18.*"')


def test_the_requirements_are_those_of_the_project_file() -> None:
    assert "mediapipe==0.10.18" in requirements()


def test_this_environment_has_what_the_project_asks_for() -> None:
    assert [c for c in check_packages(requirements()) if c.state != "ok"] == []


def test_a_second_opencv_is_found_and_the_way_back_named() -> None:
    versions = {"opencv-contrib-python": "4.11", "opencv-python-headless": "4.12"}
    check = check_single_opencv(versions.get)
    assert check.state == "missing"
    assert "uninstall -y opencv-python-headless" in check.fix
    assert check_single_opencv({"opencv-contrib-python": "4.11"}.get).state == "ok"


def test_a_missing_libgl_names_the_system_package() -> None:
    def load(name: str) -> object:
        raise ImportError("libGL.so.1: cannot open shared object file")

    check = check_opencv_loads(load)
    assert (check.state, "libGL.so.1" in check.detail) == ("missing", True)
    assert "apt-get install -y libgl1" in check.fix


def _network(folder: Path, content: bytes, digest: str) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(content)
    manifest = {"schema": 1, "sha256": digest, "settings": {"width": 32, "size_px": 128}}
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


def test_weights_are_checked_against_their_manifest(tmp_path: Path) -> None:
    good = hashlib.sha256(b"network").hexdigest()
    assert check_weights(_network(tmp_path, b"network", good)).state == "ok"
    damaged = check_weights(_network(tmp_path, b"network!", good))
    assert (damaged.state, damaged.fix) == ("missing", "git checkout -- models/weights")
    assert "wrong sha256" in damaged.detail
    assert check_weights(tmp_path / "absent.onnx").state == "missing"
    assert check_eye_network().state == "ok"
    absent = check_eye_network(tmp_path / "eye_net.onnx")
    assert (absent.state, absent.fix) == ("missing", "git checkout -- models/weights")


def test_every_network_file_is_checked_and_int8_forms_against_their_originals(
    tmp_path: Path,
) -> None:
    assert check_all_networks().state == "ok"
    path = _network(tmp_path, b"network", hashlib.sha256(b"network").hexdigest())
    int8 = tmp_path / "net_int8.onnx"
    int8.write_bytes(b"int8")
    manifest = {"schema": 1, "sha256": hashlib.sha256(b"int8").hexdigest()}
    for source, state in ((b"network", "ok"), (b"older", "missing")):
        told = {**manifest, "from_sha256": hashlib.sha256(source).hexdigest()}
        int8.with_suffix(".json").write_text(json.dumps(told))
        assert check_all_networks(tmp_path).state == state
    assert "from another network" in check_all_networks(tmp_path).detail
    path.unlink()
    assert "net.onnx is missing" in check_all_networks(tmp_path).detail


def test_a_port_in_use_names_the_port_and_how_to_find_its_owner() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (check,) = check_ports({port: "preview"})
        assert check.state == "missing"
        assert f"sport = :{port}" in check.fix
    (check,) = check_ports({port: "preview"})
    assert check.state == "ok"


def test_no_camera_is_a_note_and_not_a_failure(tmp_path: Path) -> None:
    assert check_cameras(tmp_path).state == "optional"


def test_a_camera_without_permission_names_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tmp_path / "sys/class/video4linux/video0"
    entry.mkdir(parents=True)
    (entry / "name").write_text("Desk")
    monkeypatch.setattr("edge.devices.os.access", lambda *_: False)
    check = check_cameras(tmp_path)
    assert check.state == "missing"
    assert "usermod -aG video" in check.fix


def test_npm_is_a_note_when_absent() -> None:
    assert check_npm(lambda _: None).state == "optional"
    assert check_npm(lambda _: "/usr/bin/npm").state == "ok"


def test_a_package_that_stands_in_for_ours_is_found(tmp_path: Path) -> None:
    assert check_checkout().state == "ok"
    check = check_checkout(["json"], tmp_path)
    assert check.state == "missing"
    assert "`json` was found at" in check.detail


def test_every_check_of_this_machine_runs_and_failures_have_fixes() -> None:
    checks = list(all_checks())
    assert {"Python", "own packages", "mediapipe", "weights", "npm", "GPU"} <= {
        c.name for c in checks
    }
    assert [c for c in checks if c.state == "missing" and not c.fix] == []


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("optional", 0), ("missing", 1)])
def test_the_exit_code_says_whether_something_is_missing(
    state: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check("[thing]", state, "detail", "do this")  # type: ignore[arg-type]
    monkeypatch.setattr(module, "all_checks", lambda: iter([check]))
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert (ended.value.code or 0) == code
    assert "[thing]: detail" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    assert (ended.value.code or 0) == code
    assert json.loads(capsys.readouterr().out)["is_ready"] is (code == 0)
