"""Importing videos, on a drawn face that moves: crops, landmarks, splits, and what is left out."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import typer
from drawn_face import draw_face
from typer.testing import CliRunner

from streaming.errors import UserError
from training.clips.faces import FaceClips
from training.importing import importer
from training.importing.command import import_videos_command
from training.importing.importer import Wishes, import_videos, videos_in
from training.importing.segments import Segment
from training.importing.splits import MIXED, read_lists, split_of

FRAMES = 16
EYES = (33, 263)  # outer corners


def write_video(path: Path, faces: Sequence[tuple[int, int] | None], rate: int = 25) -> None:
    """A video with the drawn face at these places, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 400, 240, "yuv420p"
        for place in faces:
            image = np.full((240, 400, 3), 200, np.uint8)
            if place is not None:
                draw_face(image, place)
            frame = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    moving = [(150 + 2 * k, 120) for k in range(FRAMES)]
    write_video(folder / "ann" / "walk.mp4", [*moving, *[None] * 4, *moving[:8]])
    write_video(folder / "bob" / "empty.mp4", [None] * 6)
    (folder / "bob" / "broken.mp4").write_bytes(b"no video at all")
    (folder / "notes.txt").write_text("not a video")
    return folder


@pytest.fixture(scope="module")
def imported(
    videos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, importer.Outcome]:
    root = tmp_path_factory.mktemp("out") / "faces"
    wishes = Wishes(fewest_frames=12, person_from="folder", licence_class="mine")
    *_, outcome = import_videos(videos, root, wishes)
    if not outcome.segments:
        pytest.skip("MediaPipe does not take the drawing for a face here")
    return root, outcome


def test_a_face_that_moves_becomes_one_clip_that_evaluation_can_read(
    imported: tuple[Path, importer.Outcome],
) -> None:
    root, outcome = imported
    assert outcome.segments == ["ann_walk_00"]  # the second appearance is too short
    (row,) = FaceClips(root).all_rows
    assert (row.identity, row.frames, row.licence_class) == ("ann", FRAMES, "mine")
    images, meshes = FaceClips(root).frames(row), FaceClips(root).meshes(row)
    assert images.shape == (FRAMES, 256, 256, 3)
    assert meshes.shape == (FRAMES, 478, 3)
    for image, mesh in zip(images, meshes, strict=True):
        for corner in EYES:  # the drawing's eyes are white, its skin is not
            x, y = mesh[corner, :2].astype(int)
            around = image[y - 12 : y + 12, x - 16 : x + 16]
            assert around.min(2).max() > 215
    assert np.abs(FaceClips(root).yaw(row)).max() < 20


def test_the_crop_follows_the_head_slowly(imported: tuple[Path, importer.Outcome]) -> None:
    root, _ = imported
    (row,) = FaceClips(root).all_rows
    meshes = FaceClips(root).meshes(row)
    centres = meshes[..., :2].mean(1)
    assert np.ptp(centres[:, 0]) > 3  # motion is kept
    assert np.linalg.norm(centres - 128, axis=1).max() < 45


def test_what_cannot_be_used_is_named_with_its_reason(
    imported: tuple[Path, importer.Outcome],
) -> None:
    _, outcome = imported
    assert set(outcome.skipped) == {"bob/empty.mp4", "bob/broken.mp4"}
    assert "no face is followed" in outcome.skipped["bob/empty.mp4"]
    assert "cannot be decoded" in outcome.skipped["bob/broken.mp4"]


def test_only_the_owner_can_read_what_shows_a_person(
    imported: tuple[Path, importer.Outcome],
) -> None:
    root, _ = imported
    files = [*root.glob("video/*"), *root.glob("landmarks/*"), root / "manifest.csv"]
    assert len(files) == 3
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_a_second_import_goes_on_instead_of_doubling(
    videos: Path, imported: tuple[Path, importer.Outcome]
) -> None:
    root, _ = imported
    *_, again = import_videos(videos, root, Wishes(fewest_frames=12, person_from="folder"))
    assert (again.segments, again.already) == ([], 3)
    with open(root / "manifest.csv") as file:
        assert len(list(csv.DictReader(file))) == 1


def test_a_cut_ends_a_clip(tmp_path: Path) -> None:
    write_video(tmp_path / "in" / "cut.mp4", [(110, 120)] * 8 + [(290, 120)] * 8)
    *_, outcome = import_videos(tmp_path / "in", tmp_path / "out", Wishes(fewest_frames=5))
    if not outcome.segments:
        pytest.skip("MediaPipe does not take the drawing for a face here")
    assert outcome.segments == ["cut_00", "cut_01"]


def write_lying(upright: Path, lying: Path) -> None:
    """The same video as telephones store it: turned, and with a matrix that turns it back."""
    with av.open(str(upright)) as source, av.open(str(lying), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 240, 400, "yuv420p"
        for frame in source.decode(video=0):
            turned = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24")))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(turned, format="bgr24")))
        container.mux(stream.encode())
    content = bytearray(lying.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # of the track's header, version 0
    struct.pack_into(">4i", content, matrix, 0, 1 << 16, 0, -1 << 16)  # clockwise, with the next
    struct.pack_into(">1i", content, matrix + 16, 0)
    lying.write_bytes(content)


def test_portrait_videos_of_telephones_are_turned_upright(tmp_path: Path) -> None:
    """They are stored lying: no face was found in them."""
    folder = tmp_path / "in"
    write_video(folder / "a.mp4", [(150 + 2 * k, 120) for k in range(8)])
    write_lying(folder / "a.mp4", folder / "b.mp4")
    with av.open(str(folder / "b.mp4")) as container:
        assert abs(next(container.decode(video=0)).rotation) == 90
    *_, outcome = import_videos(folder, tmp_path / "out", Wishes(fewest_frames=5))
    if "a_00" not in outcome.segments:
        pytest.skip("MediaPipe does not take the drawing for a face here")
    assert outcome.segments == ["a_00", "b_00"]
    clips = FaceClips(tmp_path / "out")
    upright, lying = (clips.meshes(row) for row in clips.all_rows)
    assert np.abs(upright - lying)[..., :2].mean() < 2


def test_fast_videos_are_thinned_out(tmp_path: Path) -> None:
    write_video(tmp_path / "in" / "fast.mp4", [(200, 120)] * 20, rate=50)
    *_, outcome = import_videos(tmp_path / "in", tmp_path / "out", Wishes(fewest_frames=5))
    if not outcome.segments:
        pytest.skip("MediaPipe does not take the drawing for a face here")
    assert FaceClips(tmp_path / "out").all_rows[0].frames == 10


def test_people_are_split_by_name_alone_about_as_told() -> None:
    splits = [split_of(f"person {k}", {}) for k in range(2000)]
    assert splits == [split_of(f"person {k}", {}) for k in range(2000)]
    assert splits.count("val") == pytest.approx(200, abs=50)
    assert splits.count("test") == pytest.approx(200, abs=50)


def test_lists_of_pairs_say_who_is_in_which_split(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([["071", "054"], ["087", "081"]]))
    (tmp_path / "b.json").write_text(json.dumps(["001"]))
    lists = read_lists([f"train={tmp_path / 'a.json'}", f"val={tmp_path / 'b.json'}"])
    assert (split_of("054", lists), split_of("001", lists)) == ("train", "val")
    assert split_of("999", lists) == "unlisted"


def test_one_persons_head_with_anothers_face_is_used_only_where_both_are(tmp_path: Path) -> None:
    lists = {"071": "train", "054": "train", "001": "val"}
    assert split_of("071_054", lists) == "train"
    assert split_of("071_001", lists) == MIXED
    for k in range(100):
        first, second = f"{k:03}", f"{k + 500:03}"
        wanted = {split_of(first, {}), split_of(second, {})}
        assert split_of(f"{first}_{second}", {}) == (wanted.pop() if len(wanted) == 1 else MIXED)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1, 2]", "1 is not a name"), ("{", "no JSON list"), ('["x"]', "x.*train and val")],
)
def test_bad_lists_are_explained(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text('["x"]')
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_lists([f"train={tmp_path / 'a.json'}", f"val={tmp_path / 'b.json'}"])


def test_a_folder_without_videos_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no video"):
        videos_in(tmp_path)


def test_the_command_says_what_was_left_out_and_why(tmp_path: Path) -> None:
    write_video(tmp_path / "in" / "empty.mp4", [None] * 3)
    app = typer.Typer()
    app.command()(import_videos_command)
    outcome = CliRunner().invoke(app, [str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert "empty.mp4: left out, no face" in outcome.output
    assert isinstance(outcome.exception, UserError)


def test_an_import_that_was_stopped_within_a_video_lists_its_clips_once(
    imported: tuple[Path, importer.Outcome], videos: Path, tmp_path: Path
) -> None:
    """It listed them again: every clip of the video counted twice."""
    root = tmp_path / "faces"
    shutil.copytree(imported[0], root)
    (root / importer.SOURCES).write_text("bob/empty.mp4\nbob/broken.mp4\n")
    wishes = Wishes(fewest_frames=12, person_from="folder", licence_class="mine")
    *_, outcome = import_videos(videos, root, wishes)
    assert outcome.segments == ["ann_walk_00"]
    assert [row.segment for row in FaceClips(root).all_rows] == ["ann_walk_00"]


def test_videos_of_like_names_keep_clips_of_their_own() -> None:
    """The second one's files took the place of the first one's."""
    known = {"a_b_00": "a b.mp4"}
    assert importer._name("a b.mp4", 0, known) == "a_b_00"
    assert importer._name("a b.mp4", 1, known) == "a_b_01"
    other = importer._name("a_b.mov", 0, known)
    assert other.startswith("a_b_")
    assert other not in known
    assert other != importer._name("a_b.avi", 0, known)


def test_people_whom_no_list_names_are_imported_once_one_does(tmp_path: Path) -> None:
    """They were noted as done, and left out without a word by the next import."""
    write_video(tmp_path / "in" / "ann.mp4", [None] * 3)
    root = tmp_path / "out"
    *_, first = import_videos(tmp_path / "in", root, Wishes(lists={"bob": "train"}))
    assert "in none of the split lists" in first.skipped["ann.mp4"]
    *_, second = import_videos(tmp_path / "in", root, Wishes(lists={"ann": "train"}))
    assert second.already == 0
    assert "no face" in second.skipped["ann.mp4"]
    *_, third = import_videos(tmp_path / "in", root, Wishes(lists={"ann": "train"}))
    assert third.already == 1


def test_a_disk_that_fills_up_ends_an_import_that_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "in" / "ann.mp4", [None] * 3)
    segment = Segment(0, np.zeros((2, 478, 3), np.float32), ())
    monkeypatch.setattr(importer, "find_segments", lambda *given: [segment])

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(importer, "write_clip", full)
    with pytest.raises(UserError, match=r"No space left on device.*it goes on"):
        list(import_videos(tmp_path / "in", tmp_path / "out", Wishes()))
    assert not (tmp_path / "out" / importer.SOURCES).exists()
