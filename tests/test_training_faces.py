"""The reader of face clips, on small clips made here (and on the shared ones where present)."""

from __future__ import annotations

import csv
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from training.clips.faces import CLIP_PX, FaceClip, FaceClips, FaceDataError

SHARED_FACES = Path(__file__).parents[2] / "shared" / "data" / "faces"
COLUMNS = ["segment", "split", "identity", "frames", "quality", "flags", "licence_class"]


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())


def write_landmarks(path: Path, meshes: NDArray[np.float32], yaw: NDArray[np.float32]) -> None:
    counts = np.round(meshes * np.array([8, 8, 4])).astype(np.int16)
    np.savez(
        path,
        first=counts[0],
        delta=np.moveaxis(np.diff(counts, axis=0), 0, 2),
        yaw=yaw.astype(np.float16),
        ear=np.full(len(counts), 0.3, np.float16),
        pitch=np.zeros(len(counts), np.float16),
    )


def write_manifest(
    root: Path, rows: list[dict[str, str]], columns: list[str] | None = None
) -> None:
    with open(root / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns or COLUMNS, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def meshes() -> NDArray[np.float32]:
    start = np.random.default_rng(0).uniform(20, 230, (478, 3))
    moves = np.arange(5)[:, None, None] * np.array([0.5, -0.25, 1.0])
    return (np.round((start + moves) * 4) / 4).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path, meshes: NDArray[np.float32]) -> Path:
    for folder in ("video", "landmarks"):
        (tmp_path / folder).mkdir()
    ramp = np.linspace(0, 255, CLIP_PX, dtype=np.uint8)
    frames = np.empty((5, CLIP_PX, CLIP_PX, 3), np.uint8)
    frames[..., 0], frames[..., 1] = ramp[None, None, :], ramp[None, :, None]
    frames[..., 2] = (np.arange(5) * 40)[:, None, None]
    write_video(tmp_path / "video" / "a1.mp4", frames)
    write_landmarks(tmp_path / "landmarks" / "a1.npz", meshes, np.arange(5, dtype=np.float32))
    first = {"segment": "a1", "split": "train", "identity": "p1", "frames": "5", "quality": "A"}
    second = {"segment": "b1", "split": "test", "identity": "p2", "frames": "7"}
    write_manifest(tmp_path, [first | {"flags": "dark|turned"}, second])
    return tmp_path


def only(root: Path, split: str = "train") -> FaceClip:
    (row,) = FaceClips(root).rows(split)
    return row


def test_rows_are_those_of_the_split(root: Path) -> None:
    row = only(root)
    assert (row.segment, row.identity, row.frames, row.quality) == ("a1", "p1", 5, "A")
    assert row.flags == ("dark", "turned")
    assert only(root, "test").flags == ()


def test_frames_come_back_as_square_bgr(root: Path) -> None:
    frames = FaceClips(root).frames(only(root))
    assert frames.shape == (5, 256, 256, 3)
    assert frames.dtype == np.uint8
    assert frames[4, 200, 64] == pytest.approx([64, 200, 160], abs=12)  # blue, green, red


def test_frames_are_made_small_by_area_averaging(root: Path) -> None:
    clips, row = FaceClips(root), only(root)
    whole, small = clips.frames(row), clips.frames(row, 64)
    blocks = whole.reshape(5, 64, 4, 64, 4, 3).mean((2, 4))
    assert np.abs(blocks - small).max() <= 1


def test_meshes_undo_the_packing_to_its_precision(root: Path, meshes: NDArray[np.float32]) -> None:
    read = FaceClips(root).meshes(only(root))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, meshes, atol=1e-5)


def test_meshes_scale_with_the_crop_depth_included(root: Path) -> None:
    clips, row = FaceClips(root), only(root)
    np.testing.assert_allclose(clips.meshes(row, 128), clips.meshes(row) / 2, atol=1e-5)


def test_yaw_has_one_value_per_frame(root: Path) -> None:
    assert FaceClips(root).yaw(only(root)).tolist() == [0, 1, 2, 3, 4]


def test_a_folder_without_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaceDataError, match=r"has no manifest\.csv"):
        FaceClips(tmp_path)


def test_an_empty_split_lists_the_splits_there_are(root: Path) -> None:
    with pytest.raises(FaceDataError, match=r"split 'demo' \(splits: test, train\)"):
        FaceClips(root).rows("demo")


def test_a_manifest_without_a_needed_column_names_it(root: Path) -> None:
    write_manifest(root, [{"segment": "a1"}], ["segment", "split", "frames"])
    with pytest.raises(FaceDataError, match="identity"):
        FaceClips(root).rows("train")


def test_a_frame_count_that_is_no_number_names_the_row(root: Path) -> None:
    write_manifest(root, [{"segment": "a9", "split": "train", "identity": "p", "frames": "x"}])
    with pytest.raises(FaceDataError, match="'a9'"):
        FaceClips(root).rows("train")


def test_a_missing_clip_is_named(root: Path) -> None:
    clips, row = FaceClips(root), only(root, "test")
    with pytest.raises(FaceDataError, match=r"b1\.mp4 is missing"):
        clips.frames(row)
    with pytest.raises(FaceDataError, match=r"b1\.npz is missing"):
        clips.meshes(row)


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 50])
def test_a_corrupt_clip_is_named(root: Path, content: bytes) -> None:
    (root / "video" / "a1.mp4").write_bytes(content)
    with pytest.raises(FaceDataError, match=r"a1\.mp4"):
        FaceClips(root).frames(only(root))


def test_a_truncated_clip_is_named(root: Path) -> None:
    path = root / "video" / "a1.mp4"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FaceDataError, match=r"a1\.mp4"):
        FaceClips(root).frames(only(root))


def test_a_clip_that_is_not_square_is_refused(root: Path) -> None:
    write_video(root / "video" / "a1.mp4", np.zeros((2, 64, 96, 3), np.uint8))
    with pytest.raises(FaceDataError, match="96x64"):
        FaceClips(root).frames(only(root))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"plain text"])
def test_corrupt_landmarks_are_named(root: Path, content: bytes) -> None:
    (root / "landmarks" / "a1.npz").write_bytes(content)
    with pytest.raises(FaceDataError, match=r"a1\.npz is not a packed face mesh"):
        FaceClips(root).meshes(only(root))


def test_landmarks_of_another_mesh_are_refused(root: Path) -> None:
    shape = (5, 68, 3)
    write_landmarks(root / "landmarks" / "a1.npz", np.zeros(shape, np.float32), np.zeros(5))
    with pytest.raises(FaceDataError, match="packed face mesh"):
        FaceClips(root).meshes(only(root))


@pytest.mark.skipif(not SHARED_FACES.is_dir(), reason="needs ../shared/data/faces")
def test_the_shared_clips_match_their_manifest() -> None:
    clips = FaceClips(SHARED_FACES)
    row = clips.rows("val")[0]
    frames, meshes = clips.frames(row, 128), clips.meshes(row, 128)
    assert len(frames) == len(meshes) == len(clips.yaw(row)) == row.frames
    assert 0 < meshes[..., :2].mean() < 128
