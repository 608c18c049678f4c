"""The virtual webcam: steady, never stretched, and never a face that stands still for long."""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from streaming import heard_pause
from streaming.clock import monotonic_ns
from streaming.errors import UserError
from streaming.messages import FrameMessage, Notification
from streaming.publisher import Publisher
from streaming.records import ImageU8, RestoredFace, Status
from streaming.subscriber import Arrival
from streaming.topics import FRAME_WORLD
from streaming.watch import watch
from streaming.watch_outputs import size_of
from streaming.webcam import virtual_camera
from streaming.webcam.picture import BARS, GROUND, card, fitted
from streaming.webcam.virtual_camera import NoVirtualCamera, VirtualCamera

WAIT_S = 20.0
APP = typer.Typer()
APP.command()(watch)
BLUE = np.full((60, 80, 3), (200, 40, 30), np.uint8)


class FakeCamera:
    """Takes and refuses what pyvirtualcam 0.15's `Camera` takes and refuses."""

    opened: ClassVar[list[FakeCamera]] = []
    missing = ""  # why no device can be opened

    def __init__(
        self,
        width: int,
        height: int,
        fps: float,
        *,
        fmt: str = "rgb",
        device: str | None = None,
        backend: str | None = None,
        print_fps: bool = False,
    ) -> None:
        if self.missing:
            raise RuntimeError(self.missing)
        self.width, self.height, self.fps, self.fmt = width, height, fps, fmt
        self.device = device or "/dev/video10"
        self.seen: list[ImageU8] = []
        self.looked = 0  # of these, by the test
        self.fails = False
        self.closed = False
        FakeCamera.opened.append(self)

    def send(self, frame: ImageU8) -> None:
        assert not self.closed
        if self.fails:
            raise RuntimeError("device is gone")
        if frame.dtype != np.uint8:
            raise TypeError(f"unexpected frame dtype: {frame.dtype} != uint8")
        if frame.shape != (self.height, self.width, 3):
            raise ValueError(f"unexpected frame shape: {frame.shape}")
        self.seen.append(frame.copy())

    def sleep_until_next_frame(self) -> None:
        time.sleep(1 / self.fps)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeCamera]:
    module: Any = types.ModuleType("pyvirtualcam")
    module.Camera = FakeCamera
    module.PixelFormat = types.SimpleNamespace(BGR="bgr", RGB="rgb")
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    monkeypatch.setattr(FakeCamera, "opened", [])
    return FakeCamera


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def an_arrival(image: ImageU8 = BLUE, image_format: str = "bgr") -> Arrival:
    message = FrameMessage(
        topic=FRAME_WORLD,
        width=image.shape[1],
        height=image.shape[0],
        index=1,
        timestamp=0.0,
        format=image_format,
        capture_time_ns=1,
        publish_time_ns=1,
        status=(Status.LIVE,),
        filler="unvisor",
        landmark_source="oracle",
        synthesised=True,
        pixels=image.tobytes() if image_format == "bgr" else b"\xff\xd8 broken",
    )
    return Arrival(message, monotonic_ns())


def word(subject: str) -> Arrival:
    return Arrival(Notification(subject), monotonic_ns())


def is_card(picture: ImageU8) -> bool:
    """Grey with a few letters: nothing of a face."""
    return bool((picture == GROUND).mean() > 0.9 and np.ptp(picture, axis=2).max() == 0)


def shows(camera: VirtualCamera, fake: type[FakeCamera], picture: ImageU8) -> None:
    """Wait until this picture was sent, after those that were waited for before."""
    opened = fake.opened[-1]

    def is_sent() -> bool:
        while opened.looked < len(opened.seen):
            if np.array_equal(opened.seen[opened.looked], picture):
                return True
            opened.looked += 1
        return False

    wait_until(is_sent)


def test_pictures_keep_coming_at_one_size_before_during_and_after_the_stream(
    fake: type[FakeCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_camera, "HOLD_S", 0.3)
    with VirtualCamera(width=160, height=90, fps=100) as camera:
        opened = fake.opened[-1]
        assert (opened.fmt, opened.width, opened.height, opened.fps) == ("bgr", 160, 90, 100)
        shows(camera, fake, card("Waiting for the picture", 160, 90))
        camera.take(an_arrival())
        shows(camera, fake, fitted(BLUE, 160, 90))
        shows(camera, fake, card("No picture for 1 s", 160, 90))  # the stream stopped
        shows(camera, fake, card("No picture for 2 s", 160, 90))
        camera.take(an_arrival())
        shows(camera, fake, fitted(BLUE, 160, 90))
    assert opened.closed


def test_a_pause_is_shown_at_once_and_the_old_face_never_comes_back(
    fake: type[FakeCamera],
) -> None:
    with VirtualCamera(width=160, height=90, fps=200) as camera:
        camera.take(an_arrival())
        shows(camera, fake, fitted(BLUE, 160, 90))
        camera.take(word("unvisor.paused"))
        shows(camera, fake, card("Paused", 160, 90))
        begin = fake.opened[-1].looked
        camera.take(word("unvisor.resumed"))
        shows(camera, fake, card("Waiting for the picture", 160, 90))
        assert all(is_card(picture) for picture in fake.opened[-1].seen[begin:])
        camera.take(an_arrival())
        shows(camera, fake, fitted(BLUE, 160, 90))


def test_a_publisher_that_ended_while_paused_is_not_called_paused_for_ever(
    fake: type[FakeCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heard_pause, "BELIEVED_S", 0.3)
    with VirtualCamera(width=160, height=90, fps=200) as camera:
        camera.take(an_arrival())
        shows(camera, fake, fitted(BLUE, 160, 90))
        camera.take(word("unvisor.paused"))
        shows(camera, fake, card("Paused", 160, 90))
        shows(camera, fake, card("Waiting for the picture", 160, 90))


def test_other_words_change_nothing(fake: type[FakeCamera]) -> None:
    with VirtualCamera(width=160, height=90, fps=100) as camera:
        camera.take(an_arrival())
        camera.take(word("frame_publishing.started"))
        shows(camera, fake, fitted(BLUE, 160, 90))


def test_a_broken_picture_is_skipped(fake: type[FakeCamera]) -> None:
    with VirtualCamera(width=160, height=90, fps=100) as camera:
        camera.take(an_arrival(image_format="jpeg"))
        wait_until(lambda: len(fake.opened[-1].seen) > 5)
        camera.check()
        camera.take(an_arrival())
        shows(camera, fake, fitted(BLUE, 160, 90))


def test_a_camera_that_goes_away_is_told(fake: type[FakeCamera]) -> None:
    with VirtualCamera(width=160, height=90, fps=100) as camera:
        camera.check()
        fake.opened[-1].fails = True

        def is_told() -> bool:
            try:
                camera.check()
            except NoVirtualCamera as error:
                return "/dev/video10" in str(error) and "device is gone" in str(error)
            return False

        wait_until(is_told)


@pytest.mark.parametrize(
    ("width", "height", "left", "top"),
    [(160, 90, 20, 0), (80, 90, 0, 15), (80, 60, 0, 0), (40, 30, 0, 0), (16, 90, 0, 39)],
)
def test_a_frame_is_fitted_with_bars_and_never_stretched(
    width: int, height: int, left: int, top: int
) -> None:
    picture = fitted(BLUE, width, height)
    assert picture.shape == (height, width, 3)
    inside = picture[top : height - top, left : width - left]
    assert (inside == BLUE[0, 0]).all()
    assert (picture == BARS).all(axis=2).sum() == height * width - inside[..., 0].size


def test_mirroring_swaps_the_frame_but_not_the_words(fake: type[FakeCamera]) -> None:
    half = BLUE.copy()
    half[:, :40] = 255
    np.testing.assert_array_equal(fitted(half, 80, 60, mirror=True), half[:, ::-1])
    with VirtualCamera(width=160, height=90, fps=100, mirror=True) as camera:
        shows(camera, fake, card("Waiting for the picture", 160, 90))
        camera.take(an_arrival(half))
        shows(camera, fake, np.ascontiguousarray(fitted(half, 160, 90)[:, ::-1]))


def test_grey_frames_become_colour_pictures() -> None:
    assert (fitted(np.full((60, 80), 9, np.uint8), 80, 60) == 9).all()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 480), (160, 90), (16, 16)])
def test_a_card_is_mostly_grey_and_its_words_lie_inside(width: int, height: int) -> None:
    picture = card("No picture for 125 s", width, height)
    assert picture.shape == (height, width, 3)
    if width >= 160:
        assert is_card(picture)
        rows, columns = np.nonzero(picture[..., 0] != GROUND)
        assert columns.min() > 0.05 * width
        assert columns.max() < 0.95 * width
        assert abs((rows.min() + rows.max()) / 2 - height / 2) < 0.05 * height


def test_without_the_package_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(NoVirtualCamera, match=r'pyvirtualcam.*pip install -e "\.\[webcam\]"'):
        VirtualCamera()


@pytest.mark.parametrize(
    ("platform", "has_driver", "told"),
    [
        ("linux", False, r"sudo modprobe v4l2loopback exclusive_caps=1 card_label=unvisor"),
        ("linux", True, r"--camera-name /dev/videoN"),
        ("win32", False, "OBS Studio"),
        ("darwin", False, "OBS Studio"),
    ],
)
def test_without_a_device_the_command_that_makes_one_is_told(
    fake: type[FakeCamera],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    platform: str,
    has_driver: bool,
    told: str,
) -> None:
    monkeypatch.setattr(fake, "missing", "'v4l2loopback' backend: No device found.")
    monkeypatch.setattr(virtual_camera.sys, "platform", platform)
    driver = tmp_path if has_driver else tmp_path / "missing"
    monkeypatch.setattr(virtual_camera, "DRIVERS", driver)
    with pytest.raises(NoVirtualCamera, match=rf"any virtual camera .*No device found.*{told}"):
        VirtualCamera()


def test_a_label_names_its_device(
    fake: type[FakeCamera], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number, label in ((0, "Integrated Webcam"), (7, "unvisor")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(label + "\n")
    monkeypatch.setattr(virtual_camera, "DEVICES", tmp_path)
    for name, device in (("unvisor", "/dev/video7"), ("/dev/video3", "/dev/video3")):
        with VirtualCamera(name) as camera:
            assert camera.device == device


real_package = pytest.mark.skipif(
    importlib.util.find_spec("pyvirtualcam") is None,
    reason='no pyvirtualcam here (pip install -e ".[webcam]")',
)


@real_package
def test_the_real_package_takes_what_we_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own checks of size and type, with a device of ours behind them."""
    import pyvirtualcam
    from pyvirtualcam import camera as real

    sent: list[ImageU8] = []

    class Backend:
        def __init__(self, width: int, height: int, fps: float, **others: object) -> None:
            self.shape = height, width, 3

        def device(self) -> str:
            return "/dev/video42"

        def native_fourcc(self) -> int | None:
            return None

        def send(self, frame: ImageU8) -> None:
            sent.append(frame.copy().reshape(self.shape))

        def close(self) -> None:
            sent.append(np.zeros(0, np.uint8))

    monkeypatch.setattr(real, "BACKENDS", {})
    pyvirtualcam.register_backend("recording", Backend)
    with VirtualCamera(width=160, height=90, fps=60) as camera:
        assert camera.device == "/dev/video42"
        camera.take(an_arrival())
        wait_until(lambda: bool(sent) and np.array_equal(sent[-1], fitted(BLUE, 160, 90)))
    assert sent[-1].size == 0  # closed


@real_package
def test_the_real_package_without_a_device_says_so() -> None:
    with pytest.raises(NoVirtualCamera, match="/dev/no-such-camera"):
        VirtualCamera("/dev/no-such-camera")


def a_face(frame_id: int) -> RestoredFace:
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=monotonic_ns(),
        publish_time_ns=monotonic_ns(),
        image=BLUE,
        crop=BLUE,
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.zeros((0, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="none",
        landmark_source="oracle",
    )


def test_watch_feeds_the_camera_and_waits_for_the_stream_to_come_back(
    fake: type[FakeCamera],
) -> None:
    publisher = Publisher(port=0)
    ended = threading.Event()

    def publish() -> None:
        frame_id = 0
        while not ended.wait(0.02):
            is_away = 20 <= frame_id < 45  # half a second without frames
            if publisher.wants(FRAME_WORLD):
                frame_id += 1
                if not is_away:
                    publisher.publish_restored(a_face(frame_id))

    thread = threading.Thread(target=publish)
    thread.start()
    arguments = [publisher.endpoint, "--virtual-camera", "--camera-name", "/dev/video9"]
    arguments += ["--camera-size", "320x180", "--frames", "30", "--timeout", "0.2"]
    outcome = CliRunner().invoke(APP, arguments, catch_exceptions=False)
    ended.set()
    thread.join()
    publisher.close()
    assert outcome.exit_code == 0
    assert "virtual camera: /dev/video9, 320×180 at 30 fps" in " ".join(outcome.output.split())
    (camera,) = fake.opened
    assert camera.closed
    assert any(cv2.PSNR(picture, fitted(BLUE, 320, 180)) > 35 for picture in camera.seen)


@pytest.mark.parametrize("text", ["", "1280", "1280*720", "0x0", "1281x720", "9999x9999", "-2x4"])
def test_what_is_no_size_is_told_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match=re.escape("1280x720")):
        size_of(text)


@pytest.mark.parametrize("text", ["1280x720", " 1280X720 ", "1280×720"])
def test_sizes_are_read_as_people_write_them(text: str) -> None:
    assert size_of(text) == (1280, 720)
