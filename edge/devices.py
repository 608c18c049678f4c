"""`unvisor devices`: cameras with ids that stay the same when another one is plugged in.

On Linux everything comes from sysfs and /dev/v4l, which udev keeps; elsewhere OpenCV's indices are
all there is.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hmd_capture.camera_address import opencv_address
from streaming.errors import UserError
from streaming.records import ImageU8

INDICES_TRIED = 5  # where the system lists no cameras
WARM_UP_FRAMES = 8  # exposure settles meanwhile
VIDIOC_QUERYCAP = 0x80685600  # linux/videodev2.h
DEVICE_CAPS_OFFSET = 88  # of v4l2_capability.device_caps
VIDEO_CAPTURE = 0x1 | 0x1000  # single- and multi-planar

log = logging.getLogger(__name__)

Capabilities = Callable[[Path], int | None]
Grab = Callable[[str], ImageU8 | None]


@dataclass(frozen=True)
class CameraDevice:
    """One camera as the system shows it."""

    id: str  # what `--camera webcam:ID` takes; stable where the system allows it
    node: str  # /dev/videoN, or the index as text
    name: str
    serial: str  # empty when the camera tells none
    is_readable: bool  # may this user open it


def devices(
    thumbnails: Annotated[
        Path | None, typer.Option(help="Write one picture per camera into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the cameras with the ids that `--camera webcam:ID` takes."""
    cameras = list_cameras()
    pictures = write_thumbnails(cameras, thumbnails) if thumbnails else {}
    if as_json:
        rows = [asdict(c) | {"thumbnail": pictures.get(c.id)} for c in cameras]
        Console(soft_wrap=True).print_json(json.dumps({"cameras": rows}))
        return
    console = Console()
    if not cameras:
        console.print(
            "No camera was found. Plug one in (on a virtual machine: pass it through) and run "
            "`unvisor devices` again; without one, `unvisor demo` plays a clip."
        )
        return
    console.print(_table(cameras, pictures))
    for camera in cameras:
        if not camera.is_readable:
            console.print(f"{camera.node} may not be opened: {permission_fix()}", soft_wrap=True)


def list_cameras(
    root: Path = Path("/"), capabilities: Capabilities | None = None
) -> list[CameraDevice]:
    """All cameras, in the order of their nodes.

    `root` holds `sys` and `dev`; `capabilities` asks a node for its V4L2 capability bits.
    """
    if platform.system() != "Linux":
        return _cameras_by_index(grab_image)
    ask = _capabilities if capabilities is None else capabilities
    entries = (root / "sys/class/video4linux").glob("video*")
    found = sorted(entries, key=lambda entry: int(entry.name.removeprefix("video") or 0))
    return [_camera(root, entry) for entry in found if _is_capture(root, entry, ask)]


def find_camera(
    camera_id: str, root: Path = Path("/"), capabilities: Capabilities | None = None
) -> CameraDevice | None:
    """The connected camera of an id, a node (/dev/video0) or an index; None if there is none.

    What is no camera of this machine, such as an address, is not opened.
    """
    if platform.system() == "Linux":
        named = f"/dev/video{camera_id}" if camera_id.isdecimal() else opencv_address(camera_id)
        node = (root / str(named).lstrip("/")).resolve()
        for camera in list_cameras(root, capabilities):
            if camera.id == camera_id or Path(camera.node).resolve() == node:
                return camera
        return None
    if not camera_id.isdecimal() or grab_image(camera_id) is None:
        return None
    return _by_index(camera_id)


def write_thumbnails(
    cameras: list[CameraDevice], folder: Path, grab: Grab | None = None
) -> dict[str, str]:
    """Write `folder`/NODE.jpg for each camera that gives an image; returns paths by camera id.

    Raises UserError when the folder cannot be written.
    """
    import cv2

    taken: dict[str, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for camera in track(cameras, "taking pictures", console=Console(stderr=True)):
            image = (grab or grab_image)(camera.node)
            if image is None:
                log.warning("%s gives no image; is another program using it?", camera.node)
                continue
            _, jpeg = cv2.imencode(".jpg", image)
            path = folder / f"{Path(camera.node).name}.jpg"
            path.touch(0o600)
            path.chmod(0o600)  # whoever sits before the camera: for this user alone
            path.write_bytes(jpeg.tobytes())
            taken[camera.id] = str(path)
    except OSError as error:
        raise UserError(
            f"Thumbnails cannot be written into {folder}: {error.strerror}.",
            "Choose another folder with `--thumbnails`.",
        ) from error
    return taken


def permission_fix() -> str:
    """What to do when a camera may not be opened."""
    return "run `sudo usermod -aG video $USER`, then log out and in again."


def grab_image(node: str) -> ImageU8 | None:
    """One settled image of a camera, or None when it gives none."""
    import cv2
    import numpy as np

    camera = cv2.VideoCapture(int(node)) if node.isdecimal() else cv2.VideoCapture(node)
    try:
        image = None
        for _ in range(WARM_UP_FRAMES):
            is_read, candidate = camera.read()
            if not is_read:
                break
            image = np.asarray(candidate, np.uint8)
        return image
    finally:
        camera.release()


def _is_capture(root: Path, entry: Path, capabilities: Capabilities) -> bool:
    """Many cameras have a second node for metadata only."""
    bits = capabilities(root / "dev" / entry.name)
    if bits is not None:
        return bool(bits & VIDEO_CAPTURE)
    return _read(entry / "index") in ("", "0")


def _camera(root: Path, entry: Path) -> CameraDevice:
    node = root / "dev" / entry.name
    link = _link_to(root / "dev/v4l/by-id", node) or _link_to(root / "dev/v4l/by-path", node)
    return CameraDevice(
        id=str(link or node),
        node=str(node),
        name=_read(entry / "name") or entry.name,
        serial=_serial(entry),
        is_readable=os.access(node, os.R_OK | os.W_OK),
    )


def _link_to(folder: Path, node: Path) -> Path | None:
    """The link in a udev folder that leads to `node`."""
    if not folder.is_dir():
        return None
    for link in sorted(folder.iterdir()):
        if link.resolve() == node.resolve():
            return link
    return None


def _serial(entry: Path) -> str:
    """The serial number of the USB device that the video interface belongs to.

    What lies above the device is a hub or the USB controller, whose numbers tell the socket.
    """
    interface = (entry / "device").resolve()
    for folder in (interface, interface.parent):
        if (folder / "idVendor").is_file():  # as devices have, and interfaces have not
            return _read(folder / "serial")
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _capabilities(node: Path) -> int | None:
    """The node's V4L2 capability bits, or None when it cannot be asked."""
    import fcntl

    answer = bytearray(104)
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, answer)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return int(struct.unpack_from("<I", answer, DEVICE_CAPS_OFFSET)[0])


def _cameras_by_index(grab: Grab) -> list[CameraDevice]:
    tried = track(range(INDICES_TRIED), "looking for cameras", console=Console(stderr=True))
    answering = [str(index) for index in tried if grab(str(index)) is not None]
    return [_by_index(index) for index in answering]


def _by_index(index: str) -> CameraDevice:
    return CameraDevice(index, index, f"camera {index}", "", True)


def _table(cameras: list[CameraDevice], pictures: dict[str, str]) -> Table:
    table = Table("id for --camera webcam:ID", "node", "name", "serial")
    if pictures:
        table.add_column("picture")
    for camera in cameras:
        row = [camera.id, camera.node, camera.name, camera.serial or "-"]
        table.add_row(*row, *([pictures.get(camera.id, "none")] if pictures else []))
    for column in table.columns:
        column.overflow = "fold"  # an id that is cut short cannot be copied
    return table
