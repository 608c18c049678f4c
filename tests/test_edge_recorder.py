"""The side-by-side video: playable whatever happens, and never in the pipeline's way."""

from __future__ import annotations

import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import av
import numpy as np
import pytest
from edge_views import a_view, picture

from edge.recorder import PANE_HEIGHT_PX, STRIP_PX, TITLE_PX, Recorder, compose, open_recorder
from edge.settings import SessionSettings, override
from edge.sinks import trouble_of
from streaming.errors import UserError


def _record(path: Path, ids: list[int]) -> Recorder:
    recorder = Recorder(path)
    for number, frame_id in enumerate(ids, start=1):
        recorder.show(a_view(frame_id))
        deadline = time.monotonic() + 20
        while recorder.frames < number and time.monotonic() < deadline:
            time.sleep(0.002)
    recorder.close()
    return recorder


def test_the_file_plays_with_every_frame_at_its_capture_time(tmp_path: Path) -> None:
    recorder = _record(tmp_path / "out" / "demo.mp4", [1, 2, 3, 6, 7])
    with av.open(str(tmp_path / "out" / "demo.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        times = [round(float(f.pts * f.time_base), 3) for f in container.decode(video=0)]
    assert times == [0.0, 0.04, 0.08, 0.2, 0.24]
    assert recorder.results() == {"recorded_frames": 5, "recording_skipped": 0}
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["demo.mp4"]


def test_the_video_shows_camera_restored_and_truth_side_by_side(tmp_path: Path) -> None:
    _record(tmp_path / "demo.mp4", [1, 2])
    with av.open(str(tmp_path / "demo.mp4")) as container:
        image = next(container.decode(video=0)).to_ndarray(format="bgr24")
    assert image.shape == (TITLE_PX + PANE_HEIGHT_PX + STRIP_PX, 1200, 3)
    panes = [image[TITLE_PX : TITLE_PX + 300, x : x + 400].astype(int) for x in (0, 400, 800)]
    hole = np.s_[110:165, 135:265]
    assert panes[0][hole].mean() < 40  # the headset
    assert np.abs(panes[1] - panes[2]).mean() < 3  # restored equals truth in this view
    assert np.abs(panes[0][hole] - panes[2][hole]).mean() > 30


def test_without_truth_there_are_two_panes() -> None:
    assert compose(a_view(truth=False)).shape[1] == 800


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2001), (1921, 1081)])
def test_any_frame_size_gives_an_even_picture(width: int, height: int) -> None:
    picture_shape = compose(a_view(width=width, height=height)).shape
    assert picture_shape[0] % 2 == 0
    assert picture_shape[1] % 2 == 0


def test_a_burst_is_skipped_and_counted_instead_of_queued(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "demo.mp4")
    for frame_id in range(200):
        recorder.show(a_view(frame_id, truth=False))
    recorder.close()
    assert recorder.frames + recorder.skipped == 200
    assert recorder.skipped > 0


def test_a_camera_that_comes_back_with_another_size_stays_in_the_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "demo.mp4")
    recorder.show(a_view(1))
    while recorder.frames < 1:
        time.sleep(0.002)
    recorder.show(a_view(2, width=200, height=90, restored=picture(0, 200, 90)))
    recorder.close()
    assert recorder.frames == 2
    assert recorder.trouble == ""


def test_without_a_frame_no_file_is_left(tmp_path: Path) -> None:
    Recorder(tmp_path / "demo.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_told_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"demo\.mp4 cannot be written: .*--out"):
        Recorder(tmp_path / "out" / "demo.mp4")


@pytest.mark.parametrize("name", ["videos", "."])
def test_a_folder_is_told_before_the_start(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end it would cost the whole recording."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    with pytest.raises(UserError, match=r"it is a folder.*\[edge\.recording\]"):
        Recorder(Path(name))
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_the_last_video_stays_and_the_next_gets_a_number(tmp_path: Path) -> None:
    """A session that was started anew wrote over it."""
    (tmp_path / "me.mp4").write_bytes(b"the last")
    (tmp_path / "me-2.mp4").write_bytes(b"the one after")
    recorder = _record(tmp_path / "me.mp4", [1])
    assert recorder.path == tmp_path / "me-3.mp4"
    with av.open(str(recorder.path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    kept = {path.name: path.read_bytes()[:13] for path in tmp_path.glob("*")}
    assert (kept.pop("me.mp4"), kept.pop("me-2.mp4")) == (b"the last", b"the one after")
    assert list(kept) == ["me-3.mp4"]


def test_whoever_says_so_gets_the_video_in_the_place_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "me.mp4"
    path.write_bytes(b"the last")
    changes = {"edge.recording.path": str(path), "edge.recording.overwrite": True}
    recorder = open_recorder(override(SessionSettings(), changes))
    recorder.show(a_view(1))
    assert path.read_bytes() == b"the last"  # until the new one is whole
    recorder.close()
    assert path.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_link_is_written_through(tmp_path: Path, is_there: bool) -> None:
    """It was replaced by a file."""
    disk, link = tmp_path / "disk", tmp_path / "me.mp4"
    disk.mkdir()
    link.symlink_to(disk / "anna.mp4")
    if is_there:
        (disk / "anna.mp4").write_bytes(b"the last")
    recorder = _record(link, [1])
    assert link.is_symlink()
    assert recorder.path == disk / ("anna-2.mp4" if is_there else "anna.mp4")
    assert recorder.path.stat().st_size > 100


def test_what_is_no_file_is_told_before_the_start() -> None:
    with pytest.raises(UserError, match=r"/dev/null .*no file that can be replaced"):
        Recorder(Path("/dev/null"))


def test_a_full_disk_ends_the_recording_but_not_the_run(tmp_path: Path) -> None:
    """The limit on file size makes every write beyond it fail, as a full disk does."""
    script = f"""
        import resource, sys, time, logging
        sys.path[:0] = ["tests"]
        from pathlib import Path
        from edge_views import a_view, picture
        from edge.recorder import Recorder
        logging.basicConfig()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        recorder = Recorder(Path({str(tmp_path / "demo.mp4")!r}))
        for frame_id in range(4000):
            recorder.show(a_view(frame_id, restored=picture(frame_id)))
            time.sleep(0.003)
            if recorder.trouble: break
        recorder.show(a_view(5000))
        recorder.close()
        print("ERROR", recorder.trouble, recorder.results())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert "'recorded_frames': 0" in done.stdout  # there is no file
    assert "the picture goes on without it" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_is_told_like_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of libav's errors are no OSErrors: the thread ended without a word."""

    def refuse(*arguments: object) -> None:
        raise av.error.ExternalError(-542398533, "Generic error in an external library")

    monkeypatch.setattr("edge.recorder._open_stream", refuse)
    recorder = Recorder(tmp_path / "demo.mp4")
    recorder.show(a_view(1))
    recorder.close()
    assert "demo.mp4 stopped and is not kept: Generic error" in trouble_of([recorder])
    assert recorder.results()["recorded_frames"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"), [(MemoryError(), "memory is short"), (ValueError("no planes"), "no planes")]
)
def test_whatever_ends_the_recording_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    """The thread ended without a word, and the report counted frames of a file that is not."""

    def fail(*arguments: object) -> None:
        raise error

    recorder = Recorder(tmp_path / "demo.mp4")
    recorder.show(a_view(1))
    while recorder.frames < 1:
        time.sleep(0.002)
    monkeypatch.setattr("edge.recorder.compose", fail)
    recorder.show(a_view(2))
    recorder.close()
    assert f"demo.mp4 stopped and is not kept: {told}" in trouble_of([recorder])
    assert recorder.results()["recorded_frames"] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_video_of_a_face_is_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "demo.mp4.part").touch(0o644)  # a draft of a run that was killed
    _record(tmp_path / "demo.mp4", [1])
    assert stat.S_IMODE((tmp_path / "demo.mp4").stat().st_mode) == 0o600
