"""`unvisor demo`: the command with real processes, its choices, and what it writes."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any

import av
import pytest
from drawn_face import scene as draw
from rich.console import Console

from edge import demo as module
from edge.__main__ import main
from edge.clips import DemoClip
from edge.demo import (
    Scene,
    choose_scene,
    demo_settings,
    demo_tree,
    has_display,
    introduced,
    result_words,
)
from edge.profiler import measurement
from edge.profiler.measurement import capacity_settings, measure
from edge.report import SessionReport
from edge.settings import CameraSettings, SessionSettings, override

TIMING_KEYS = {"frames", "fps", "capacity_fps", "age_ms", "drops", "stages_ms", "cpu_cores"}
DEMO_KEYS = {"rss_mib", "rss_mib_10s", "device", "landmarks", "eyes", "filler", "clip"}
SCORES = {"psnr_db", "psnr_masked_db", "ssim"}


def _report(**changes: Any) -> SessionReport:
    values: dict[str, Any] = {
        "frames": 100,
        "fps": 25.0,
        "capacity_fps": None,
        "age_ms": {"p50": 20.0, "p99": 40.0},
        "drops": 0,
        "stages_ms": {"fill": {"p50": 3.0, "p95": 4.0, "p99": 5.0, "max": 6.0}},
        "cpu_cores": 0.5,
        "rss_mib": 200.0,
        "rss_mib_10s": 199.0,
        "device": "cpu",
        "landmarks": "oracle",
        "filler": "warp-blend",
        "size_px": 128,
        "paced": True,
        "results": {"psnr_db": 30.0, "psnr_masked_db": 25.0, "ssim": 0.9},
    }
    return SessionReport(**(values | changes))


def _scene(**camera: Any) -> Scene:
    settings = CameraSettings(**({"source": "clip.mp4", "seconds": 60.0} | camera))
    return Scene("clip", "MIT", "somebody", settings, settings)


def _fail(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments])
    assert ended.value.code == 1
    return " ".join(capsys.readouterr().err.split())


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def own_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep away from the default ports, which a running product may hold."""
    eyes, feed = _free_ports(2)
    changes = {
        "streaming.control_port": 0,
        "streaming.publisher_port": 0,
        "hmd_capture.publisher": f"tcp://127.0.0.1:{eyes}",
        "hmd_capture.feed": f"tcp://127.0.0.1:{feed}",
        "edge.simulation.cache": str(tmp_path / "meshes"),
    }
    original = demo_settings
    monkeypatch.setattr(
        module, "demo_settings", lambda scene, out: override(original(scene, out), changes)
    )


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of a drawn face."""
    path = tmp_path / "face.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 400, 240, "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(50):
            image = draw((200 + index // 4, 120, 1.2))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.usefixtures("own_ports")
def test_the_demo_restores_a_clip_and_writes_video_and_numbers(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [
        "--clip",
        str(clip),
        "--out",
        str(out),
        "--seconds",
        "60",
        "--filler",
        "warp-blend",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments, "--preview-port", "0", "--json"])
    told = capsys.readouterr()
    assert not ended.value.code, told.err
    tree = json.loads((out / "demo.json").read_text())
    assert tree == json.loads(told.out)
    assert tree.keys() >= TIMING_KEYS | DEMO_KEYS | SCORES
    assert tree["frames"] + tree["drops"] <= 50
    assert tree["capacity"]["frames"] == 50  # an unpaced run drops nothing
    assert tree["capacity_fps"] > 0
    assert (tree["landmarks"], tree["filler"]) == ("tracker", "warp-blend")
    assert set(tree["engines"]) == {"tracker", "eyes"}
    assert tree["psnr_db"] > tree["psnr_masked_db"] > 15
    assert "preview: http://127.0.0.1:" in told.err
    with av.open(str(out / "demo.mp4")) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(frames) == tree["recorded_frames"]
    assert frames[0].shape[1] == 1500  # three panes of 400×240 at a height of 300


def test_a_clip_without_a_face_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(draw()[:64, :64].copy(), format="bgr24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    message = _fail(["--clip", str(path), "--out", str(tmp_path / "out")], capsys)
    assert "No face was found in 1 frames" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--clip", "nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["--clip", "a.mp4", "--webcam"], "exclude each other"),
        (["--camera", "1"], "Add --webcam"),
        (["--cover", "umbrella"], "Use `--cover headset` or `--cover face-mask`"),
        (["--cutouts", "nowhere"], "There is no folder nowhere"),
        (["--webcam", "--camera", "no-such-camera"], "cannot be opened"),
    ],
)
def test_a_wrong_choice_is_one_sentence_and_a_next_step(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in _fail(arguments, capsys)


def test_the_default_clip_is_looped_and_its_profile_is_the_other_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = DemoClip("c", tmp_path / "a.mp4", tmp_path / "b.mp4", "MIT", "X")
    monkeypatch.setattr(module, "demo_clip", lambda: found)
    scene = choose_scene(None, None, 60)
    assert (scene.camera.source, scene.camera.playback) == (str(tmp_path / "a.mp4"), "loop")
    assert scene.profile_source.source == str(tmp_path / "b.mp4")
    assert scene.licence == "MIT"


def test_the_short_fallback_clip_is_played_back_and_forth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    found = DemoClip("c", path, path, "BSD", "X", is_back_and_forth=True)
    monkeypatch.setattr(module, "demo_clip", lambda: found)
    scene = choose_scene(None, None, 60)
    assert scene.camera.playback == "back-and-forth"
    assert scene.profile_source.seconds < 5  # part of the very clip that is restored


@pytest.mark.parametrize("camera", ["0", "webcam:0"])
def test_the_webcam_is_named_as_the_other_commands_name_it(camera: str) -> None:
    assert choose_scene(None, camera, 60).camera.source == "webcam:0"


def test_the_capacity_run_has_nothing_beside_the_product(tmp_path: Path) -> None:
    paced = override(demo_settings(_scene(), tmp_path), {"edge.preview.enabled": True})
    edge = capacity_settings(paced).edge
    assert not edge.camera.paced
    assert [edge.preview.enabled, edge.recording.path, edge.quality] == [False, "", False]
    assert edge.simulation.enabled


def test_the_capacity_run_leaves_the_paced_ones_report_and_an_avatar_alone() -> None:
    """The report became that of a run without pace, and the avatar saw eyes in quick motion."""
    changes = {"edge.report": "session.json", "edge.osc.enabled": True}
    edge = capacity_settings(override(SessionSettings(), changes)).edge
    assert (edge.report, edge.osc.enabled) == ("", False)


@pytest.mark.parametrize("source", ["webcam:0", "gst:v4l2src", "webcam:gst:v4l2src"])
def test_a_camera_is_measured_once_at_its_own_pace(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline was looked for as a video file after the run, whose result was lost."""
    runs: list[SessionSettings] = []

    def run(settings: SessionSettings, *_: object, **__: object) -> SessionReport:
        runs.append(settings)
        return _report()

    monkeypatch.setattr(measurement, "run_session", run)
    settings = override(SessionSettings(), {"edge.camera.source": source})
    _, capacity = measure(settings, Console(file=io.StringIO()))
    assert (len(runs), capacity) == (1, None)


def test_the_numbers_of_both_runs_end_in_one_tree() -> None:
    capacity = _report(paced=False, capacity_fps=61.5, frames=500)
    tree = demo_tree(_scene(), _report(), capacity)
    assert tree.keys() >= TIMING_KEYS | DEMO_KEYS | SCORES
    assert (tree["frames"], tree["capacity_fps"], tree["capacity"]["frames"]) == (100, 61.5, 500)
    assert tree["clip"] == {"name": "clip", "licence": "MIT", "credit": "somebody"}
    assert demo_tree(_scene(), _report(), None)["capacity_fps"] is None


def test_a_run_that_was_over_after_eight_seconds_tells_no_memory_after_ten(
    tmp_path: Path,
) -> None:
    short = demo_tree(_scene(), _report(rss_mib_10s=None), None)
    assert result_words(short, tmp_path)["memory"] == "200 MiB at the end"
    long = demo_tree(_scene(), _report(), None)
    assert result_words(long, tmp_path)["memory"] == "199 MiB after 10 s, 200 MiB at the end"


def test_a_clip_of_others_is_credited_and_ones_own_is_not(tmp_path: Path) -> None:
    assert introduced(_scene()) == "clip (MIT): somebody"
    assert introduced(choose_scene(tmp_path / "me.mp4", None, 2.0)) == "me.mp4: your own clip"


def test_who_shows_the_own_face_is_told_which_file_keeps_it(tmp_path: Path) -> None:
    """The video is made of webcams, too."""
    scene = choose_scene(None, "0", 2.0)
    kept = Path(demo_settings(scene, tmp_path).edge.recording.path)
    assert kept.parent == tmp_path
    assert introduced(scene) == f"webcam 0: your own picture, kept in {kept.name} alone"


@pytest.mark.parametrize(
    ("camera", "frames", "runs"),
    [
        ({"playback": "once"}, 50, 2),  # the clip is shorter than the wanted time
        ({"playback": "once"}, 30, 1),  # ended by the user
        ({"playback": "loop"}, 1500, 2),
        ({"playback": "loop"}, 300, 1),  # ended by the user after 12 of 60 s
        ({"source": "webcam:0"}, 1500, 1),  # a camera cannot go faster than it goes
    ],
)
def test_the_capacity_run_follows_only_a_finished_run_of_a_clip(
    camera: dict[str, Any],
    frames: int,
    runs: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    clip: Path,
) -> None:
    seen: list[SessionSettings] = []

    def run(settings: SessionSettings, on_status: object, **options: object) -> SessionReport:
        seen.append(settings)
        return _report(frames=frames)

    monkeypatch.setattr(measurement, "run_session", run)
    scene = _scene(**({"source": str(clip)} | camera))
    module.run_both(demo_settings(scene, tmp_path), module.Console(stderr=True))
    assert len(seen) == runs


def test_no_browser_is_opened_where_none_could_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(module.sys, "platform", "linux")
    for name in ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_display()
    monkeypatch.setenv("SSH_CONNECTION", "elsewhere")
    assert not has_display()
