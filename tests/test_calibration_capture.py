"""Taking the reference: what is kept, when a capture is refused, and that profiles survive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from drawn_face import scene
from numpy.typing import NDArray
from test_calibration_gates import ToldReader
from test_calibration_guide import Heard, a_performance

from calibration.capture.draft import views_in_words
from calibration.capture.feed import Feed
from calibration.capture.pictures import PictureFolder, open_capture_source
from calibration.capture.shelf import KeptFrame, Shelf
from calibration.capture.take import Take, Taker
from edge.__main__ import main
from edge.profile import load_profile
from edge.webcam import Webcam
from models.filling import Reference
from streaming.errors import UserError
from streaming.records import ImageU8

ROOT = Path(__file__).resolve().parent.parent
MeshMaker = Callable[..., NDArray[np.float32]]


@pytest.fixture
def picture(textured_image: ImageU8) -> ImageU8:
    """Skin-coloured and full of detail, so that no gate minds it."""
    skin = np.array([120.0, 150.0, 200.0])
    noise = np.random.default_rng(2).normal(0, 12, textured_image.shape)
    return np.clip(skin + 0.1 * textured_image + noise, 0, 240).astype(np.uint8)


def taken(picture: ImageU8, meshes: list[Any], in_any_order: bool = False) -> tuple[Taker, Heard]:
    heard = Heard()
    taker = Taker(ToldReader(), heard, in_any_order=in_any_order)
    for index, mesh in enumerate(meshes):
        if taker.is_over:
            break
        taker.add(index / 10, picture, [] if mesh is None else [mesh])
    return taker, heard


def test_a_person_is_led_through_all_steps_in_ten_seconds(
    picture: ImageU8, posed_mesh: MeshMaker
) -> None:
    taker, heard = taken(picture, a_performance(posed_mesh))
    assert taker.is_over
    take = taker.finish()
    assert all(outcome.is_seen for outcome in take.outcomes)
    assert take.told == []
    assert take.seconds < 10
    assert take.refusal() == ""
    asked = [line for line in heard.lines if line[0].isdigit()]
    assert asked[0] == "1/8 Look straight into the camera."
    assert len(asked) == 8
    assert heard.lines[-1] == "Done."


def test_a_recording_is_searched_for_the_steps_in_any_order(
    picture: ImageU8, posed_mesh: MeshMaker
) -> None:
    meshes = a_performance(posed_mesh)[::-1]
    taker, heard = taken(picture, [m for m in meshes if m is not None], in_any_order=True)
    take = taker.finish()
    assert {outcome.key for outcome in take.outcomes if outcome.is_seen} >= {"left", "up", "smile"}
    assert not any(line[0].isdigit() for line in heard.lines)


def test_what_was_not_shown_is_told(picture: ImageU8, posed_mesh: MeshMaker) -> None:
    taker, _ = taken(picture, [posed_mesh()] * 30, in_any_order=True)
    assert any("chin" in sentence for sentence in taker.finish().told)


def test_advice_is_given_while_nobody_is_there_and_taken_back(
    picture: ImageU8, posed_mesh: MeshMaker
) -> None:
    _, heard = taken(picture, [None] * 12 + [posed_mesh()] * 12)
    advice = [line for line in heard.lines if line.startswith("advice")]
    assert advice[0].startswith("advice: Sit before the camera")
    assert advice[-1] == "advice: "


def test_without_anybody_the_capture_ends_and_says_so(picture: ImageU8) -> None:
    taker, _ = taken(picture, [None] * 400)
    assert taker.is_over
    with pytest.raises(UserError, match=r"no face\. Sit before the camera"):
        taker.finish().check()


@pytest.mark.parametrize(
    ("problems", "refused_for"),
    [
        ([""] * 20, ""),
        ([""] * 20 + ["eyes closed"] * 60, ""),
        ([""] * 4 + ["turned away"] * 20, "turned away"),
        (["blurred"] * 21 + [""] * 19, "blurred"),
        (["blurred"] * 19 + [""] * 21, ""),
        (["eyes closed"] * 50, "eyes closed"),
        ([], "no face"),
        ([""] * 3, "too few frames"),
        (["", "", "turned away"], "too few frames"),
        (["blurred"] * 3, "blurred"),
    ],
)
def test_a_capture_is_refused_for_what_was_wrong_with_most_of_it(
    problems: list[str], refused_for: str
) -> None:
    take = Take(problems=problems)
    assert take.refusal() == refused_for
    if refused_for:
        with pytest.raises(UserError):
            take.check()


def test_of_a_long_capture_every_view_is_kept_and_none_too_often(
    picture: ImageU8, posed_mesh: MeshMaker
) -> None:
    shelf = Shelf(most_frames=30)
    meshes = [posed_mesh()] * 90 + [posed_mesh(yaw_deg=25)] * 5 + [posed_mesh(closed=1.0)] * 2
    for index, mesh in enumerate(meshes):
        shelf.put(KeptFrame(index, picture, mesh, ""))
    kept = shelf.frames()
    assert len(kept) <= 30
    indices = [frame.index for frame in kept]
    assert indices == sorted(indices)
    assert sum(90 <= index < 95 for index in indices) == 5
    assert sum(index >= 95 for index in indices) == 2
    assert indices[0] == 0


def test_views_are_told_in_words(posed_mesh: MeshMaker) -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    meshes = [
        posed_mesh(),
        posed_mesh(yaw_deg=20),
        posed_mesh(yaw_deg=-20, closed=0.9),
        posed_mesh(pitch_deg=12),
    ]
    words = views_in_words(tuple(Reference(image, mesh) for mesh in meshes))
    assert words == ("straight", "turned left", "turned right, eyes closed", "chin down")


def a_folder(tmp_path: Path, pictures: int, change: Any = None) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(pictures):
        image = scene((200 + index, 120, 1.2))
        cv2.imwrite(str(folder / f"{index:03}.png"), image if change is None else change(image))
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_folder_of_pictures_is_a_source(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, 3)
    (folder / "broken.png").write_bytes(b"no picture")
    source = open_capture_source(folder, None)
    assert isinstance(source, PictureFolder)
    assert [image.shape for _, image in source.frames()] == [(240, 400, 3)] * 3


def test_pictures_that_cannot_be_read_are_not_laid_to_a_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.jpg").write_text("no picture")
    command = ["calibrate-reference", "--profile", str(tmp_path / "anna"), "--video", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 1
    assert "of a video or pictures, whether other programs open them" in capsys.readouterr().err


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        open_capture_source(tmp_path, None)


@pytest.mark.parametrize(("video", "camera"), [(None, None), (Path("x"), "0")])
def test_exactly_one_source_has_to_be_named(video: Path | None, camera: str | None) -> None:
    with pytest.raises(UserError, match="either --video FILE or --camera ID"):
        open_capture_source(video, camera)


def test_a_camera_that_may_not_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "video0"
    device.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may use everything
    with pytest.raises(UserError, match=r"may not use the camera.*group"):
        open_capture_source(None, str(device))


class Unplugged:
    """A camera that gives three frames and is gone."""

    left = 3

    def isOpened(self) -> bool:
        return type(self).left > 0

    def read(self) -> tuple[bool, ImageU8 | None]:
        type(self).left -= 1
        return (True, scene()) if type(self).left >= 0 else (False, None)

    def release(self) -> None:
        pass


def test_a_camera_that_is_unplugged_ends_the_capture_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("calibration.capture.feed.LOST_S", 0.2)
    camera = Webcam("0", open_device=lambda address, fps: Unplugged())  # type: ignore[arg-type,return-value]

    def watch(feed: Feed) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            feed.take(0.05)

    with (
        Feed(lambda: camera) as feed,
        pytest.raises(UserError, match=r"camera was lost.*A profile made before is unchanged"),
    ):
        watch(feed)


class Reading:
    """A camera that tells whether it was released while somebody read from it."""

    def __init__(self) -> None:
        self.reading, self.go_on = threading.Event(), threading.Event()
        self.released_while_reading: list[bool] = []

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, ImageU8]:
        self.reading.set()
        self.go_on.wait(0.2)
        self.reading.clear()
        return True, scene()

    def release(self) -> None:
        self.released_while_reading.append(self.reading.is_set())


def test_a_camera_is_not_released_while_it_is_read() -> None:
    """OpenCV's drivers may crash by that."""
    device = Reading()
    feed = Feed(lambda: Webcam("0", open_device=lambda address, fps: device))
    assert device.reading.wait(10)
    feed.close()
    assert device.released_while_reading == [False]


def test_a_refused_capture_leaves_the_old_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "anna"
    folder.mkdir()
    (folder / "profile.json").write_text("the old one")
    pictures = a_folder(tmp_path, 8, lambda image: cv2.GaussianBlur(image, (0, 0), 7))
    with pytest.raises(SystemExit) as ended:
        main(["calibrate-reference", "--profile", str(folder), "--video", str(pictures)])
    assert ended.value.code == 1
    assert "clean the lens" in capsys.readouterr().err.replace("\n", " ")
    assert (folder / "profile.json").read_text() == "the old one"


def test_ctrl_c_during_a_capture_leaves_the_old_profile_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    folder.mkdir()
    (folder / "profile.json").write_text("the old one")
    pictures = a_folder(tmp_path, 60)
    command = ["calibrate-reference", "--profile", str(folder), "--video", str(pictures)]
    script = (
        "import sys, time, os, signal, threading\n"
        "from calibration.capture.take import Taker\n"
        "add = Taker.add\n"
        "def slow(*what):\n"
        "    print('taking', flush=True); time.sleep(0.5); return add(*what)\n"
        "Taker.add = slow\n"
        "from edge.__main__ import main\n"
        f"main({command!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taking\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopped before anything was saved" in errors
    assert "Traceback" not in errors
    assert (folder / "profile.json").read_text() == "the old one"


def test_pictures_of_a_face_make_a_profile_with_a_trial_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.reference.open_reader", ToldReader)  # a drawing is no face
    folder = tmp_path / "anna"
    pictures = a_folder(tmp_path, 12)
    command = ["calibrate-reference", "--profile", str(folder), "--video", str(pictures), "--json"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    profile = load_profile(folder)
    assert said["views"][0] == "straight"
    assert len(said["views"]) == len(profile.references)
    assert profile.report is not None
    assert set(profile.report.pictures) == {"trial", "views"}
    assert profile.report.pictures["trial"].shape == (320, 960, 3)
    assert profile.report.document["trial"]["words"] == said["trial"]["words"]
    assert said["frames"] == 12


def a_cut_video(tmp_path: Path, frames: int) -> Path:
    """The first half of a file of so many frames of a drawn face, whose index is in front."""
    path = tmp_path / "me.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "1"})
        stream.width, stream.height, stream.pix_fmt = 400, 240, "yuv420p"
        for index in range(frames):
            image = av.VideoFrame.from_ndarray(scene((200 + index, 120, 1.2)), format="bgr24")
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize(("frames", "is_enough"), [(40, True), (8, False)])
def test_a_video_that_was_cut_off_is_told_of(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    is_enough: bool,
) -> None:
    """A copy that had stopped in the middle became a profile without a word."""
    monkeypatch.setattr("calibration.reference.open_reader", ToldReader)  # a drawing is no face
    video = a_cut_video(tmp_path, frames)
    command = ["calibrate-reference", "--profile", str(tmp_path / "anna"), "--video", str(video)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--json"])
    said = capsys.readouterr()
    if is_enough:
        assert ended.value.code == 0
        assert "ends early" in json.loads(said.out)["missing"][0]
    else:
        assert ended.value.code == 1
        assert "ends early" in said.err.replace("\n", " ")
        assert not (tmp_path / "anna").exists()
