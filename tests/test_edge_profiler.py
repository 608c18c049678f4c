"""`unvisor profile` itself: spans, trace and picture, and the command with real processes."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from drawn_face import scene
from profiled_session import session
from rich.console import Console

from edge.__main__ import main
from edge.profiler.chart import write_chart
from edge.profiler.result import result_tree
from edge.profiler.table import print_result
from edge.profiler.trace import trace_events, write_trace
from edge.timing import StageTimes, TimedEngine
from streaming.spans import NO_FRAME, SpanRecorder, load_spans

PHASES = {
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "M": {"name", "pid", "tid", "args"},
    "C": {"name", "pid", "ts", "args"},
    "b": {"name", "cat", "id", "pid", "tid", "ts", "args"},
    "e": {"name", "cat", "id", "pid", "tid", "ts"},
    "i": {"name", "cat", "s", "pid", "tid", "ts", "args"},
}
TIMING = {
    "frames": 50,
    "fps": 25.0,
    "capacity_fps": 31.0,
    "age_ms": {"p50": 33.0, "p95": 33.0, "p99": 33.0, "max": 33.0},
    "drops": 0,
    "stages_ms": {"track": {"p50": 6.0, "p95": 6.0, "p99": 6.0, "max": 6.0}},
    "device": "2 × slide rule",
    "filler": "unvisor",
    "landmarks": "tracker",
    "size_px": 128,
}


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["profile", *arguments])
    return int(ended.value.code or 0)


def check_schema(events: list[dict[str, Any]]) -> None:
    """What Perfetto's reader of Chrome's JSON wants of each event."""
    for event in events:
        assert set(event) == PHASES[event["ph"]] | {"ph"}, event
        assert isinstance(event["pid"], int)
        assert event.get("ts", 0.0) >= 0.0
        assert event.get("dur", 0.0) >= 0.0
        if event["ph"] == "C":
            assert all(isinstance(value, (int, float)) for value in event["args"].values())
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"} <= named
    begun = [event["id"] for event in events if event["ph"] == "b"]
    assert begun == [event["id"] for event in events if event["ph"] == "e"]
    assert len(set(begun)) == len(begun)


def test_spans_know_their_thread_frame_and_cpu_time(tmp_path: Path) -> None:
    recorder = SpanRecorder()
    times = StageTimes(spans=recorder)

    def work() -> None:
        times.begin_frame(7)
        with times.measure("decode"):
            time.sleep(0.02)

    thread = threading.Thread(target=work, name="camera")
    thread.start()
    thread.join()
    with times.measure("track"):
        sum(range(200_000))
    recorder.save(tmp_path / "edge.npz", "edge")
    found = load_spans(tmp_path / "edge.npz")
    decode, track = found.spans
    assert (decode.name, decode.frame_id, found.threads[decode.thread_id]) == (
        "decode",
        7,
        "camera",
    )
    assert decode.cpu_ns < 15e6 < 20e6 <= decode.end_ns - decode.start_ns
    assert (track.name, track.frame_id) == ("track", NO_FRAME)
    assert found.threads[track.thread_id] == threading.current_thread().name
    assert track.cpu_ns > 0
    assert times.summary()["decode"]["p50"] >= 20


def test_without_spans_only_the_sums_are_kept(tmp_path: Path) -> None:
    recorder = SpanRecorder()
    times = StageTimes()
    times.begin_frame(1)
    with times.measure("track"):
        pass
    recorder.save(tmp_path / "none.npz", "edge")
    assert load_spans(tmp_path / "none.npz").spans == ()
    assert set(times.summary()) == {"track"}


def test_an_engines_steps_are_a_stage_of_their_own() -> None:
    class Doubling:
        is_reset = False

        def step(self, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return inputs * 2

        def reset(self) -> None:
            self.is_reset = True

    times, inner = StageTimes(), Doubling()
    engine = TimedEngine(inner, times)
    engine.reset()
    assert inner.is_reset
    assert engine.step(np.ones(3, np.float32)).tolist() == [2, 2, 2]
    assert set(times.summary()) == {"network"}


def test_stages_are_ranges_for_nsight_where_nvtx_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    library = SimpleNamespace(
        push_range=lambda name: seen.append(f"+{name}"), pop_range=lambda: seen.append("-")
    )
    monkeypatch.setitem(sys.modules, "nvtx", library)
    times = StageTimes()
    with times.measure("fill"), times.measure("network"):
        pass
    assert seen == ["+fill", "+network", "-", "-"]
    monkeypatch.setitem(sys.modules, "nvtx", None)  # as where it is not installed
    with StageTimes().measure("fill"):
        pass
    assert len(seen) == 4


def test_threads_behind_pythons_back_get_the_name_of_their_owner(tmp_path: Path) -> None:
    recorder, stop = SpanRecorder(), threading.Event()
    thread = threading.Thread(target=stop.wait)
    with recorder.naming_new_threads("network pool"):
        thread.start()
    number = thread.native_id
    assert number is not None
    assert recorder._threads[number] == "network pool"
    stop.set()
    thread.join()


def test_the_trace_is_what_perfetto_reads(tmp_path: Path) -> None:
    recording, spans = session()
    events = trace_events(recording, spans.values())
    check_schema(events)
    names = {e["args"]["name"] for e in events if e["name"] in ("process_name", "thread_name")}
    assert {"edge", "hmd_capture", "client (measuring)", "camera", "pipeline"} <= names
    lives = {e["id"]: e for e in events if e["ph"] == "b"}
    assert lives[3]["args"] == {"frame": 3, "age_ms": 33.0}
    write_trace(tmp_path / "trace.json", events)
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"] == events


def test_the_picture_shows_every_panel_even_when_a_machine_tells_nothing(tmp_path: Path) -> None:
    recording, spans = session()
    result = result_tree(TIMING, recording, spans)
    result["budget"] = {
        "lines": [{"key": "core_ms.network", "limit": "≤ 24"}, {"key": "fps", "limit": "≥ 30"}]
    }
    write_chart(tmp_path / "full.png", result, recording, spans)
    full = cv2.imread(str(tmp_path / "full.png"))
    assert full is not None
    assert full.shape == (1150, 1500, 3)
    quarters = [full[y : y + 383, x : x + 750] for y in (0, 383, 766) for x in (0, 750)]
    assert all((part < 200).mean() > 0.02 for part in quarters)  # none is empty
    recording.samples.clear()
    bare = result_tree(TIMING, recording, {})
    write_chart(tmp_path / "bare.png", bare, recording, {})
    assert (tmp_path / "bare.png").stat().st_size > 10_000


def test_the_table_shows_stages_core_time_and_the_budget(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recording, spans = session()
    result = result_tree(TIMING, recording, spans)
    line = {"key": "fps", "value": 25.0, "limit": "≥ 30", "origin": "planned", "is_held": False}
    result["budget"] = {"name": "mine", "about": "mine", "is_held": False, "lines": [line]}
    print_result(Console(width=120), result)
    told = capsys.readouterr().out
    for words in ("track", "capacity 31.0 fps", "age: transport", "core time", "FAIL"):
        assert words in told


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three seconds of a drawn face."""
    path = tmp_path / "face.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 400, 240, "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(75):
            image = scene((200 + index // 8, 120, 1.2))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Ports of its own."""
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    eyes, feed = (int(each.getsockname()[1]) for each in opened)
    for each in opened:
        each.close()
    path = tmp_path / "config.toml"
    path.write_text(
        f'[edge.simulation]\ncache = "{tmp_path}/meshes"\n'
        "[streaming]\ncontrol_port = 0\npublisher_port = 0\n"
        f'[hmd_capture]\npublisher = "tcp://127.0.0.1:{eyes}"\nfeed = "tcp://127.0.0.1:{feed}"\n'
    )
    return path


def test_a_real_session_is_measured_and_can_be_compared(
    clip: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--config", str(config), "--camera", str(clip), "--simulate", "--seconds", "3"]
    arguments += ["--landmarks", "oracle", "--filler", "warp-register", "--no-capacity"]
    assert run([*arguments, "--budget", "cpu-2-cores", "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((out / "profile.json").read_text())
    assert result["frames"] + result["drops"] <= 75
    assert set(result["age_ms"]) == {"p50", "p95", "p99", "max"}
    assert {"decode", "simulate", "track", "fill", "publish", "read eye"} <= set(
        result["stages_ms"]
    )
    assert set(result["core_ms"]) == {"network", "tracker", "rest", "simulation", "client", "eyes"}
    assert result["core_ms"]["rest"] > 0
    assert result["core_ms"]["network"] == 0  # this filler has none
    assert {"edge/camera", "edge/pipeline", "hmd_capture/pipeline"} <= set(result["thread_cores"])
    assert set(result["age_parts_ms"]) == {"wait", "pipeline", "encode", "transport"}
    assert result["budget"]["name"] == "cpu-2-cores"
    events = json.loads((out / "profile.trace.json").read_text())["traceEvents"]
    check_schema(events)
    assert cv2.imread(str(out / "profile.png")) is not None

    result["stages_ms"]["fill"]["p50"] += 100.0
    (out / "slower.json").write_text(json.dumps(result))
    both = ["--compare", str(out / "profile.json"), str(out / "slower.json")]
    assert run(both) == 0
    assert "slower" in capsys.readouterr().err
    assert run([*both, "--fail-over", "10%"]) == 1
    assert "stages_ms.fill.p50" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "mainframe"], "no budget 'mainframe'"),
        (["--budget-file", "absent.toml"], "Cannot read the budget file"),
        (["--camera", "webcam:0"], "No profile was named"),
        (["--compare", "a.json", "b.json"], "Cannot read a.json"),
        (["--fail-over", "much"], "no share"),
        (["--out", f"{__file__}/results"], "Nothing can be written"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.profiler.command.measure", lambda *_, **__: pytest.fail("measured"))
    assert run(arguments) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_what_is_no_result_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text("[1]")
    assert run(["--compare", str(path), str(path)]) == 1
    assert "no result" in capsys.readouterr().err
