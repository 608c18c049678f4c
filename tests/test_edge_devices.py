"""Cameras as sysfs and udev describe them, on a made-up tree."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import devices as module
from edge.__main__ import main
from edge.devices import CameraDevice, find_camera, list_cameras, write_thumbnails
from streaming.errors import UserError


def _plug(
    root: Path,
    number: int,
    *,
    name: str = "HD Webcam",
    index: int = 0,
    serial: str = "",
    by_id: str = "",
    by_path: str = "",
) -> None:
    node = root / "dev" / f"video{number}"
    node.parent.mkdir(parents=True, exist_ok=True)
    node.touch()
    usb = root / f"sys/devices/pci/usb1/1-{name}"
    interface = usb / "1-1:1.0"
    interface.mkdir(parents=True, exist_ok=True)
    (usb / "idVendor").write_text("046d\n")
    if serial:
        (usb / "serial").write_text(serial + "\n")
    entry = root / f"sys/class/video4linux/video{number}"
    entry.mkdir(parents=True)
    (entry / "name").write_text(name + "\n")
    (entry / "index").write_text(f"{index}\n")
    (entry / "device").symlink_to(interface)
    for folder, link in (("by-id", by_id), ("by-path", by_path)):
        if link:
            (root / "dev/v4l" / folder).mkdir(parents=True, exist_ok=True)
            (root / "dev/v4l" / folder / link).symlink_to(f"../../video{number}")


def _no_capabilities(node: Path) -> int | None:
    return None


def test_the_id_is_the_udev_link_that_survives_replugging(tmp_path: Path) -> None:
    _plug(tmp_path, 2, name="Desk", serial="A1B2", by_id="usb-Desk_A1B2-index0", by_path="pci-1")
    _plug(tmp_path, 10, name="Side", by_path="pci-0000:00:14.0-usb-0:2:1.0-index0")
    _plug(tmp_path, 4, name="Bare")
    first, second, third = list_cameras(tmp_path, _no_capabilities)
    assert (first.name, first.serial) == ("Desk", "A1B2")
    assert first.id.endswith("/dev/v4l/by-id/usb-Desk_A1B2-index0")
    assert (second.name, second.id) == ("Bare", str(tmp_path / "dev/video4"))
    assert third.id.endswith("/dev/v4l/by-path/pci-0000:00:14.0-usb-0:2:1.0-index0")
    assert third.serial == ""


def test_a_camera_without_a_serial_number_has_not_that_of_its_socket(tmp_path: Path) -> None:
    """Else it would be another camera, for the profile it was taken with, in another socket."""
    _plug(tmp_path, 0, name="Side")
    controller = tmp_path / "sys/devices/pci/usb1"
    (controller / "idVendor").write_text("1d6b\n")
    (controller / "serial").write_text("0000:00:14.0\n")
    (camera,) = list_cameras(tmp_path, _no_capabilities)
    assert camera.serial == ""


def test_metadata_nodes_are_left_out(tmp_path: Path) -> None:
    _plug(tmp_path, 0)
    _plug(tmp_path, 1, index=1)
    assert [c.node[-6:] for c in list_cameras(tmp_path, _no_capabilities)] == ["video0"]


def test_what_the_driver_says_counts_more_than_the_index(tmp_path: Path) -> None:
    """Depth cameras have several picture nodes under one device."""
    _plug(tmp_path, 0)
    _plug(tmp_path, 1, index=1)
    bits = {"video0": 0x00A00000, "video1": 0x04200001}  # metadata only; video capture
    cameras = list_cameras(tmp_path, lambda node: bits[node.name])
    assert [c.node[-6:] for c in cameras] == ["video1"]


def test_a_camera_is_found_by_every_name_that_it_has(tmp_path: Path) -> None:
    _plug(tmp_path, 2, name="Desk", by_id="usb-Desk_A1B2-index0", by_path="pci-1")
    _plug(tmp_path, 3, index=1)
    (desk,) = list_cameras(tmp_path, _no_capabilities)
    named = ("2", "/dev/video2", "/dev/v4l/by-path/pci-1", desk.id)
    assert [find_camera(name, tmp_path, _no_capabilities) for name in named] == [desk] * 4
    for other in ("0", "3", "http://example.org/x", "/etc/passwd", ""):
        assert find_camera(other, tmp_path, _no_capabilities) is None


def test_without_cameras_the_list_is_empty(tmp_path: Path) -> None:
    assert list_cameras(tmp_path) == []


def test_a_node_that_answers_no_question_is_judged_by_its_index(tmp_path: Path) -> None:
    _plug(tmp_path, 0)  # a plain file: asking it for capabilities fails
    assert len(list_cameras(tmp_path)) == 1


def test_thumbnails_are_written_for_cameras_that_give_an_image(tmp_path: Path) -> None:
    cameras = [CameraDevice(f"id{n}", f"/dev/video{n}", "x", "", True) for n in (0, 3)]
    image = np.full((48, 64, 3), 120, np.uint8)
    taken = write_thumbnails(
        cameras, tmp_path / "new", lambda node: image if node.endswith("3") else None
    )
    assert taken == {"id3": str(tmp_path / "new/video3.jpg")}
    read = cv2.imread(taken["id3"])
    assert read.shape == image.shape
    assert abs(float(read.mean()) - 120) < 2
    assert stat.S_IMODE(Path(taken["id3"]).stat().st_mode) == 0o600


def test_a_thumbnail_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="--thumbnails"):
        write_thumbnails([], tmp_path / "taken")


def test_the_command_prints_json_and_says_what_to_do_without_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _plug(tmp_path, 0, name="Desk", serial="A1")
    found = list_cameras(tmp_path, _no_capabilities)
    monkeypatch.setattr(module, "list_cameras", lambda: found)
    with pytest.raises(SystemExit) as ended:
        main(["devices", "--json"])
    assert not ended.value.code
    (row,) = json.loads(capsys.readouterr().out)["cameras"]
    assert (row["name"], row["serial"], row["is_readable"]) == ("Desk", "A1", True)
    monkeypatch.setattr(module, "list_cameras", list)
    with pytest.raises(SystemExit):
        main(["devices"])
    assert "No camera was found. Plug one in" in capsys.readouterr().out
