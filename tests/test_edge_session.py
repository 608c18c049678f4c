"""Whole sessions with real processes and sockets, on a drawn face that MediaPipe takes for one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from drawn_face import scene

from edge.bare_face_trackers import MediaPipeTracker, OracleTracker, choose_face
from edge.oracle_cache import clip_meshes
from edge.profile import save_profile
from edge.records import Capture, FaceTrack, PipelineView
from edge.reference_choice import eye_sharpness, profile_from_frames
from edge.report import SessionReport
from edge.settings import SessionSettings, override, to_json
from edge.supervisor import Session, SessionStatus, run_session
from edge.timing import ProcessUsage
from edge.worker import Worker
from models.face.mediapipe_mesh import FaceMesher
from models.shipped import SHIPPED_NETWORK
from streaming.errors import UserError
from streaming.records import Float32Array, Frame
from streaming.security.keys import KeyFolder
from streaming.subscriber import Subscriber
from streaming.topics import FRAME_FACE

FRAMES = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves a little, is away for ten frames, and comes back."""
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 400, 240, "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(FRAMES):
            is_away = 30 <= index < 40
            image = scene() if is_away else scene((200 + index // 4, 120, 1.2))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def mesh() -> Float32Array:
    with FaceMesher(tracking=False) as mesher:
        (found,) = mesher.meshes(scene((200, 120, 1.2)))
    return found


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory, mesh: Float32Array) -> Path:
    folder = tmp_path_factory.mktemp("profiles") / "cartoon"
    save_profile(profile_from_frames([scene((200, 120, 1.2))], mesh[None]), folder)
    return folder


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@pytest.fixture
def settings(clip: Path, profile: Path) -> SessionSettings:
    control, publisher, eyes, feed = free_ports(4)
    return override(
        SessionSettings(),
        {
            "edge.profile": str(profile),
            "edge.camera.source": str(clip),
            "edge.landmarks": "oracle",
            "edge.simulation.enabled": True,
            "edge.simulation.cache": str(clip.parent / "meshes"),
            "models.filler": "warp",
            "streaming.control_port": control,
            "streaming.publisher_port": publisher,
            "hmd_capture.publisher": f"tcp://127.0.0.1:{eyes}",
            "hmd_capture.feed": f"tcp://127.0.0.1:{feed}",
        },
    )


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if entry.name.isdecimal() and int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(is_true: object, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("landmarks", ["oracle", "tracker"])
def test_a_simulated_session_restores_publishes_and_reports(
    settings: SessionSettings, landmarks: str
) -> None:
    changes = {"edge.camera.playback": "loop", "edge.camera.seconds": 3.6}
    settings = override(settings, {**changes, "edge.landmarks": landmarks})
    phases: list[SessionStatus] = []
    report = run_session(settings, phases.append, watch_keys=False)
    # What is dropped after the last processed frame is not counted, on a busy machine a few.
    assert 60 <= report.frames + report.drops <= 91
    assert report.statuses["NO_FACE"] > 0
    assert report.statuses["LIVE"] > 0
    assert report.statuses.get("STALE_EYES", 0) < report.frames - report.statuses["NO_FACE"]
    assert report.client["frames"] > 0
    assert "drops" not in report.client  # frames without a face were told as dropped
    assert report.age_ms["p50"] > 0
    assert (report.filler, report.landmarks, report.paced) == ("warp", landmarks, True)
    assert {"decode", "simulate", "track", "fill", "composite"} <= set(report.stages_ms)
    assert {status.phase for status in phases} == {"meshes", "starting", "running", "stopping"}


def report_of_five_frames(settings: SessionSettings) -> SessionReport:
    """What a worker in this process tells of a session as long as that."""
    changes = {"edge.camera.paced": False, "edge.camera.seconds": 0.2, "streaming.control_port": 0}
    clip_meshes(
        Path(settings.edge.camera.source),
        settings.edge.camera.max_width_px,
        Path(settings.edge.simulation.cache),
    )
    return Worker(override(settings, changes), lambda event: None, threading.Event()).run()


def test_the_time_that_closing_takes_counts_for_nothing(
    settings: SessionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cores kept busy were a mean over the run and over whatever closing its files took."""

    class Sink:
        is_closed = False

        def show(self, view: PipelineView) -> None:
            """Nothing."""

        def close(self) -> None:
            self.is_closed = True

    class Usage(ProcessUsage):
        def cpu_cores(self) -> float:
            return 0.0 if sink.is_closed else 1.5

    sink = Sink()
    monkeypatch.setattr("edge.worker.open_sinks", lambda settings: [sink])
    monkeypatch.setattr("edge.worker.ProcessUsage", Usage)
    report = report_of_five_frames(settings)
    assert sink.is_closed
    assert (report.frames, report.cpu_cores) == (5, 1.5)


def test_the_report_names_all_trackers_that_looked_at_frames(
    settings: SessionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It named the one that ran at the end, as if it had found all."""

    class TakesTurns(OracleTracker):
        def track(self, capture: Capture) -> FaceTrack | None:
            self.name = "oracle" if capture.frame.frame_id < 3 else "tracker"
            return super().track(capture)

    monkeypatch.setattr("edge.worker.make_tracker", lambda settings, profile: TakesTurns(128))
    report = report_of_five_frames(settings)
    assert (report.frames, report.landmarks) == (5, "oracle, tracker")


def test_a_session_that_checks_nobody_says_so(
    settings: SessionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MediaPipe's landmarks it said nothing, and restored whoever wore the headset."""
    monkeypatch.setattr("edge.worker.STATUS_S", 0.0)
    changes = {
        "edge.landmarks": "mediapipe",
        "edge.camera.paced": False,
        "edge.camera.seconds": 0.2,
        "streaming.control_port": 0,
    }
    events: list[dict[str, object]] = []
    Worker(override(settings, changes), events.append, threading.Event()).run()
    details = {str(event["detail"]) for event in events if event["event"] == "status"}
    assert {detail.partition(":")[0] for detail in details} == {"who is in view is not checked"}


def test_unpaced_every_frame_is_processed(settings: SessionSettings, tmp_path: Path) -> None:
    written = tmp_path / "out" / "report.json"
    changes = {
        "edge.camera.paced": False,
        "edge.report": str(written),
        "models.filler": "auto",
    }
    report = run_session(override(settings, changes), lambda status: None, watch_keys=False)
    assert (report.frames, report.drops) == (FRAMES, 0)
    assert report.filler in ("warp-blend", "unvisor")
    assert report.capacity_fps is not None
    assert json.loads(written.read_text())["capacity_fps"] == report.capacity_fps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_no_process_is_left(
    settings: SessionSettings, tmp_path: Path, number: signal.Signals
) -> None:
    config = tmp_path / "settings.json"
    config.write_text(to_json(override(settings, {"edge.camera.playback": "loop"})))
    program = (
        "import sys; from pathlib import Path; from edge.settings import from_json;"
        "from edge.supervisor import run_session;"
        "run_session(from_json(Path(sys.argv[1]).read_text()), lambda status:"
        " print(status.phase, flush=True), watch_keys=False)"
    )
    root = str(Path(__file__).resolve().parent.parent)
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program, str(config)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    try:
        assert supervisor.stdout is not None
        wait_until(lambda: supervisor.stdout.readline().strip() == "running")  # type: ignore[union-attr]
        children = children_of(supervisor.pid)
        assert len(children) == 2
        supervisor.send_signal(number)
        supervisor.communicate(timeout=20)
        code = supervisor.returncode
        assert code == (-number if number == signal.SIGKILL else 0)
        wait_until(lambda: not any(is_running(pid) for pid in children), 15)
    finally:
        supervisor.kill()


class Running:
    """A session on a thread of its own."""

    def __init__(self, settings: SessionSettings) -> None:
        self.status: list[SessionStatus] = []
        self.session = Session(settings, self.status.append)
        self.thread = threading.Thread(target=self.session.run)

    def __enter__(self) -> Running:
        self.thread.start()
        wait_until(lambda: self.status and self.status[-1].phase == "running")
        return self

    def __exit__(self, *exception: object) -> None:
        self.session.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


def test_the_pause_key_stops_sending_at_once_and_goes_on_later(settings: SessionSettings) -> None:
    endpoint = f"127.0.0.1:{settings.streaming.publisher_port}"
    with (
        Running(override(settings, {"edge.camera.playback": "loop"})) as running,
        Subscriber(endpoint, [FRAME_FACE]) as client,
    ):
        assert client.take(FRAME_FACE, 10) is not None
        running.session.press(" ")
        time.sleep(0.1)  # what was on its way arrives
        client.take(FRAME_FACE, 0)
        assert client.take(FRAME_FACE, 0.5) is None
        wait_until(lambda: running.status[-1].is_paused)
        running.session.press("p")
        assert client.take(FRAME_FACE, 5) is not None


def test_eye_capture_that_dies_is_started_again_while_frames_go_on(
    settings: SessionSettings,
) -> None:
    with Running(override(settings, {"edge.camera.playback": "loop"})) as running:
        wait_until(lambda: running.status[-1].status == ("LIVE",))
        victims = [
            pid
            for pid in children_of(os.getpid())
            if b"hmd_capture" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert len(victims) == 1
        os.kill(victims[0], signal.SIGKILL)
        wait_until(lambda: "STALE_EYES" in running.status[-1].status)
        done = running.status[-1].done
        wait_until(lambda: running.status[-1].status == ("LIVE",))
        assert running.status[-1].done > done


@pytest.mark.parametrize("part", ["control_port", "publisher_port"])
def test_a_port_in_use_is_one_clear_sentence(settings: SessionSettings, part: str) -> None:
    port, before = getattr(settings.streaming, part), children_of(os.getpid())
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(UserError, match=f"{port}.*in use"),
    ):
        run_session(settings, lambda status: None, watch_keys=False)
    assert children_of(os.getpid()) == before


def test_the_eye_cameras_port_in_use_is_told_too(settings: SessionSettings) -> None:
    port = int(settings.hmd_capture.publisher.rpartition(":")[2])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(UserError, match=f"{port}.*in use"),
    ):
        run_session(
            override(settings, {"edge.camera.playback": "loop", "edge.camera.seconds": 20.0}),
            lambda status: None,
            watch_keys=False,
        )


def test_a_filler_that_does_not_exist_is_told(settings: SessionSettings) -> None:
    with pytest.raises(UserError, match="filler 'nonsense'"):
        run_session(
            override(settings, {"models.filler": "nonsense"}), lambda s: None, watch_keys=False
        )


def test_a_network_file_that_is_missing_or_altered_is_one_clear_sentence(
    settings: SessionSettings, tmp_path: Path
) -> None:
    absent, altered = tmp_path / "absent.onnx", tmp_path / "altered.onnx"
    for suffix in (".onnx", ".json"):
        shutil.copy(SHIPPED_NETWORK.with_suffix(suffix), altered.with_suffix(suffix))
    altered.write_bytes(altered.read_bytes()[:-1])
    for path, reason in ((absent, "missing"), (altered, "sha256")):
        chosen = {"models.filler": "unvisor", "models.weights": str(path)}
        with pytest.raises(UserError, match=reason):
            run_session(override(settings, chosen), lambda status: None, watch_keys=False)


def test_the_shipped_network_restores_in_a_session(settings: SessionSettings) -> None:
    # No gap resets the memory here, however long a busy machine pauses.
    changes = {"models.filler": "unvisor", "edge.camera.paced": False, "edge.max_gap_ms": 60_000.0}
    report = run_session(override(settings, changes), lambda status: None, watch_keys=False)
    assert report.filler == "unvisor"
    assert report.statuses["LIVE"] > 0
    assert report.statuses["WARMING"] == 2 * 16  # at the start, and after the face was away


def test_a_clip_without_a_face_passes_and_says_so(
    settings: SessionSettings, tmp_path: Path
) -> None:
    path = tmp_path / "empty_room.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 400, 240, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(), format="bgr24")))
        container.mux(stream.encode(None))
    changes = {"edge.camera.source": str(path), "edge.camera.paced": False}
    report = run_session(override(settings, changes), lambda status: None, watch_keys=False)
    assert report.statuses == {"NO_FACE": 10}


def test_of_two_faces_the_largest_is_followed_and_then_the_same_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = MediaPipeTracker(64, FaceMesher(tracking=False, max_faces=2).__enter__())
    first = tracker.track(Capture(Frame(0, 0, scene((100, 120, 0.9), (290, 120, 1.3)))))
    assert first is not None
    assert first.mesh[:, 0].mean() > 200
    assert "two faces" in tracker.note
    assert "two faces" in caplog.text
    grown = tracker.track(Capture(Frame(1, 1, scene((100, 120, 1.4), (290, 120, 1.1)))))
    assert grown is not None
    assert grown.mesh[:, 0].mean() > 200
    alone = tracker.track(Capture(Frame(2, 2, scene((290, 120, 1.1)))))
    assert alone is not None
    assert tracker.note == ""
    assert tracker.track(Capture(Frame(3, 3, scene()))) is None
    tracker.close()


def test_no_face_chooses_none() -> None:
    assert choose_face([], None) is None


def test_the_reference_is_a_sharp_frame_not_a_blurred_one(mesh: Float32Array) -> None:
    sharp = scene((200, 120, 1.2))
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 4), np.uint8)
    assert eye_sharpness(blurred, mesh) < eye_sharpness(sharp, mesh) / 2
    made = profile_from_frames([blurred, sharp, blurred], np.stack([mesh] * 3))
    assert made.quality["frame_index"] == 1


def test_a_profile_needs_a_face() -> None:
    with pytest.raises(UserError, match="No face"):
        profile_from_frames([scene()], np.full((1, 478, 3), np.nan, np.float32))


def test_meshes_are_found_once_and_a_damaged_cache_is_replaced(clip: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    first = clip_meshes(clip, 1280, tmp_path, lambda done, total: told.append((done, total)))
    assert len(told) > FRAMES
    assert np.isnan(first[35]).all()
    assert np.isfinite(first[10]).all()
    told.clear()
    again = clip_meshes(clip, 1280, tmp_path, lambda done, total: told.append((done, total)))
    assert told == [(FRAMES, FRAMES)]
    assert np.array_equal(first, again, equal_nan=True)
    (stored,) = tmp_path.iterdir()
    stored.write_bytes(b"half a file")
    assert np.array_equal(first, clip_meshes(clip, 1280, tmp_path), equal_nan=True)


def test_other_machines_see_an_encrypted_session_with_an_allowed_key_only(
    settings: SessionSettings, tmp_path: Path
) -> None:
    folder = KeyFolder(tmp_path / "keys")
    keys = folder.new_client("anna", tmp_path / "anna.key")
    changes = {
        "edge.camera.playback": "loop",
        "edge.camera.seconds": 2.5,
        "streaming.host": "0.0.0.0",
        "streaming.keys": str(folder.path),
    }
    settings = override(settings, changes)
    address = f"127.0.0.1:{settings.streaming.publisher_port}"
    with (
        Subscriber(address, [FRAME_FACE], keys) as let_in,
        Subscriber(address, [FRAME_FACE]) as shut_out,
    ):
        report = run_session(settings, lambda status: None, watch_keys=False)
        assert let_in.take(FRAME_FACE, 0) is not None
        assert shut_out.take(FRAME_FACE, 0) is None
        assert shut_out.trouble is not None
    assert report.client["frames"] > 0  # the supervisor's own client was let in
