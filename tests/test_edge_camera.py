from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edge.camera import CameraThread, open_source
from edge.records import Capture
from edge.settings import CameraSettings, SessionSettings
from edge.timing import StageTimes
from edge.video_file import VideoFile
from edge.webcam import Webcam
from edge.worker import Worker
from edge.working_ahead import WorkingAhead
from streaming.errors import UserError
from streaming.messages import Notification
from streaming.publisher import Publisher
from streaming.records import ImageU8
from streaming.subscriber import Subscriber


def write_clip(path: Path, count: int, size: tuple[int, int] = (64, 48), fps: int = 25) -> Path:
    """A clip whose frame n is grey 40 * n."""
    in_front = {"movflags": "faststart"} if path.suffix == ".mp4" else {}  # of an mp4: its index
    with av.open(str(path), "w", options=in_front) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(count):
            image = np.full((size[1], size[0], 3), 40 * index % 240, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        sound.time_base = Fraction(1, 16000)
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def greys(video: VideoFile, count: int) -> list[int]:
    images = (image for _, image in video.frames())
    return [round(float(image.mean()) / 40) for image in itertools.islice(images, count)]


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        VideoFile(tmp_path / "none.mp4")


@pytest.mark.parametrize("name", ["0", "/dev/video0", "/dev/v4l/by-id/usb-Cam-index0"])
def test_a_cameras_bare_id_is_told_how_to_write_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"webcam:{name}"):
        open_source(CameraSettings(source=name))


def test_a_folder_is_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder"):
        VideoFile(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 100])
def test_a_file_that_is_no_video_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a video that can be read"):
        VideoFile(path)


def test_a_file_whose_pictures_are_all_damaged_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", 20)
    content = bytearray(path.read_bytes())
    begin, end = content.index(b"movi") + 4, content.rindex(b"idx1")
    content[begin + 8 : end] = bytes(255 - b for b in content[begin + 8 : end])
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"not a video that can be read|no video frames"):
        VideoFile(path)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_what_a_file_that_was_cut_off_lacks_is_known_at_its_end(
    tmp_path: Path, ending: str
) -> None:
    """Frames are counted in some containers, in others there is a time only."""
    path = write_clip(tmp_path / f"clip.{ending}", 50)
    whole = VideoFile(path)
    assert len(list(whole.frames())) == 50
    assert whole.missing_s == 0
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut = VideoFile(path)
    assert cut.missing_s == 0  # nobody has looked yet
    read = len(list(cut.frames()))
    assert 1 < read < 40
    assert cut.missing_s == pytest.approx(2 - read / 25, abs=0.1)


def test_sound_after_the_last_picture_is_no_cut(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        voice = container.add_stream("pcm_s16le", rate=16000)
        image = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
        container.mux([*stream.encode(image), *stream.encode(None)])
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.int16), "s16", "mono")
        sound.sample_rate, sound.pts = 16000, 0
        container.mux([*voice.encode(sound), *voice.encode(None)])
    video = VideoFile(path)
    assert len(list(video.frames())) == 1
    assert video.missing_s == 0


def test_a_file_with_only_sound_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only sound"):
        VideoFile(write_sound(tmp_path / "voice.m4a"))


def test_a_file_without_a_single_frame_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(UserError, match="no video frames"):
        VideoFile(path)


def test_every_way_of_playing_gives_its_order(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 4)
    assert greys(VideoFile(path, "once"), 9) == [0, 1, 2, 3]
    assert greys(VideoFile(path, "loop"), 9) == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert greys(VideoFile(path, "back-and-forth"), 9) == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_a_clip_of_one_frame_plays_back_and_forth(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 1)
    assert greys(VideoFile(path, "back-and-forth"), 3) == [0, 0, 0]


def test_8k_frames_are_scaled_down_to_the_working_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = VideoFile(write_clip(tmp_path / "large.mp4", 1, (7680, 4320)))
    (_, image) = next(video.frames())
    assert image.shape == (720, 1280, 3)
    assert "7680×4320" in caplog.text


def test_a_frame_of_two_pixels_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tiny.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1, 1, "bgr0"
        image = np.full((1, 1, 3), 77, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    (_, read) = next(VideoFile(path).frames())
    assert read.tolist() == [[[77, 77, 77]]]


def run_camera(settings: CameraSettings, pause_s: float = 0.0) -> list[Capture]:
    taken = []
    with CameraThread(open_source(settings), settings, StageTimes()) as camera:
        while True:
            has_ended = camera.has_ended
            capture = camera.take(0.05)
            if capture is not None:
                taken.append(capture)
                time.sleep(pause_s)
            elif has_ended:
                return taken


def test_paced_frames_carry_the_time_at_which_they_were_due(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 10, fps=50)
    frames = [capture.frame for capture in run_camera(CameraSettings(source=str(path)))]
    begin_ns = frames[0].capture_time_ns
    expected = [begin_ns + round(frame.frame_id * 1e9 / 50) for frame in frames]
    assert [frame.capture_time_ns for frame in frames] == expected


def test_unpaced_no_frame_is_lost_however_slow_the_taker_is(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 12, fps=500)
    settings = CameraSettings(source=str(path), paced=False)
    ids = [capture.frame.frame_id for capture in run_camera(settings, pause_s=0.01)]
    assert ids == list(range(12))


def test_paced_a_slow_taker_loses_frames_and_sees_the_gap(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 30, fps=100)
    ids = [c.frame.frame_id for c in run_camera(CameraSettings(source=str(path)), pause_s=0.04)]
    assert len(ids) < 20
    assert ids == sorted(set(ids))


def test_the_camera_stops_after_the_asked_time_of_the_source(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 20)
    settings = CameraSettings(source=str(path), paced=False, playback="loop", seconds=2.0)
    assert len(run_camera(settings)) == 50


def test_an_error_in_the_camera_thread_reaches_the_pipeline(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 3)
    settings = CameraSettings(source=str(path))
    source = open_source(settings)
    path.unlink()
    with (
        CameraThread(source, settings, StageTimes()) as camera,
        pytest.raises(UserError, match="does not exist"),
    ):
        camera.take(5.0)


class FakeDevice:
    """A camera that gives two images each time it is plugged in."""

    def __init__(self, is_plugged: bool) -> None:
        self.left = 2 if is_plugged else 0
        self.is_plugged = is_plugged

    def isOpened(self) -> bool:
        return self.is_plugged

    def read(self) -> tuple[bool, ImageU8]:
        self.left -= 1
        return self.left >= 0, np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        self.is_plugged = False


def test_a_lost_webcam_is_opened_again_until_it_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.webcam.FIRST_PAUSE_S", 0.01)
    plugged = iter([True, False, False, True])
    webcam = Webcam("7", open_device=lambda address, fps: FakeDevice(next(plugged)))
    frames = webcam.frames()
    assert [next(frames)[0] for _ in range(4)] == [0, 1, 2, 3]
    assert "is lost" in caplog.text
    assert "is back" in caplog.text
    webcam.close()


def test_a_camera_that_opens_and_gives_nothing_is_lost_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was told as lost and as back again and again, without a pause that grew."""
    monkeypatch.setattr("edge.webcam.FIRST_PAUSE_S", 0.001)
    opened: list[FakeDevice] = []

    def plug(address: int | str, fps: float) -> FakeDevice:
        opened.append(FakeDevice(True))
        opened[-1].left = 2 if len(opened) in (1, 6) else 0
        return opened[-1]

    webcam = Webcam("7", open_device=plug)
    frames = webcam.frames()
    assert [next(frames)[0] for _ in range(3)] == [0, 1, 2]
    assert len(opened) == 6
    assert [caplog.text.count(word) for word in ("is lost", "is back")] == [1, 1]
    assert webcam.trouble == ""
    webcam.close()


def test_a_session_that_is_stopped_does_not_wait_for_a_lost_webcam(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.webcam.FIRST_PAUSE_S", 60.0)
    plugged = iter([True, False])
    webcam = Webcam("7", open_device=lambda address, fps: FakeDevice(next(plugged)))
    with CameraThread(webcam, CameraSettings(), StageTimes()) as camera:
        while not webcam.is_lost:
            time.sleep(0.01)
        begin_s = time.monotonic()
    assert camera.has_ended
    assert time.monotonic() - begin_s < 3


class StuckDevice(FakeDevice):
    """A camera whose driver waits for an image that does not come."""

    def __init__(self) -> None:
        super().__init__(True)
        self.released = threading.Event()

    def read(self) -> tuple[bool, ImageU8]:
        self.released.wait(10)
        return False, np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize("is_stuck", [False, True])
def test_the_time_of_a_session_runs_out_while_its_webcam_is_lost(
    is_stuck: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for the camera for ever, or for a driver that waits."""
    monkeypatch.setattr("edge.webcam.FIRST_PAUSE_S", 60.0)
    stuck = StuckDevice()
    plugged = iter([stuck if is_stuck else FakeDevice(True), FakeDevice(False)])
    webcam = Webcam("7", open_device=lambda address, fps: next(plugged))
    with (
        CameraThread(webcam, CameraSettings(seconds=0.3), StageTimes()) as camera,
        WorkingAhead(camera, lambda capture: capture, "preparing") as preparing,
    ):
        wait_until(lambda: preparing.take(0) is None and preparing.has_ended)
        assert camera._thread.is_alive()
        stuck.released.set()


def test_a_driver_that_waits_is_told_before_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """For ten seconds the status line went on saying LIVE."""
    monkeypatch.setattr("edge.webcam.SILENT_S", 0.05)
    device = StuckDevice()
    webcam = Webcam("7", open_device=lambda address, fps: device)
    assert webcam.trouble == ""
    with CameraThread(webcam, CameraSettings(), StageTimes()):
        wait_until(lambda: "sends no pictures" in webcam.trouble)
        device.released.set()
        wait_until(lambda: "is lost" in webcam.trouble)


class NothingComes:
    """Frames that never arrive; the run is stopped after a few questions."""

    has_ended = False

    def __init__(self, stop: threading.Event) -> None:
        self.stop, self.asked = stop, 0

    def take(self, timeout_s: float) -> None:
        time.sleep(0.01)
        self.asked += 1
        if self.asked == 5:
            self.stop.set()


@pytest.mark.parametrize("paused", [False, True])
def test_while_the_camera_is_lost_a_pause_is_still_told_as_one(
    paused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told as sending; the pause key then paused once more instead of going on."""
    monkeypatch.setattr("edge.worker.STATUS_S", 0.0)
    plugged = iter([True, False])
    webcam = Webcam("7", open_device=lambda address, fps: FakeDevice(next(plugged)))
    events: list[dict[str, object]] = []
    stop = threading.Event()
    worker = Worker(SessionSettings(), events.append, stop)
    with CameraThread(webcam, CameraSettings(), StageTimes()), Publisher(port=0) as publisher:
        if paused:
            publisher.pause()
        wait_until(lambda: webcam.is_lost)
        assert worker._next(NothingComes(stop), webcam, publisher) is None
    assert {event["paused"] for event in events} == {paused}
    assert {event["detail"] for event in events} == {webcam.trouble}


def test_a_pause_is_told_to_clients_again_while_no_frame_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was said with frames only: who subscribed while the camera was away heard nothing."""
    monkeypatch.setattr("streaming.publisher.TELL_PAUSED_EVERY_S", 0.05)
    stop = threading.Event()
    worker = Worker(SessionSettings(), lambda event: None, stop)
    with Publisher(port=0) as publisher:
        publisher.pause()
        waiting = threading.Thread(
            target=worker._next, args=(NothingComes(threading.Event()), object(), publisher)
        )
        with Subscriber(publisher.endpoint, ["notify.unvisor."]) as late:
            waiting.start()
            heard = late.take("notify.unvisor.", 10)
            stop.set()
            waiting.join(10)
    assert heard is not None
    assert heard.message == Notification("unvisor.paused", {})


def wait_until(is_true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_a_webcam_that_is_not_there_names_the_command_that_lists_them(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(UserError, match="unvisor devices"):
        Webcam("97")
    assert capfd.readouterr().err == ""  # OpenCV wrote two lines of its own
