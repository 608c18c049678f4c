"""Shards: what is packed comes back, in order, and damage is said."""

from __future__ import annotations

import dataclasses
import errno
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")
pytest.importorskip("av", reason="PyAV is only in the train and dev extras")

from face_clip_files import write_folder

from streaming.errors import UserError
from training.clips.faces import FaceClips
from training.feeding.decoded import decode, load_all
from training.feeding.sources import open_source
from training.shards.layout import INDEX, ClipEntry, ShardError, read_index
from training.shards.pack import pack_clips
from training.shards.reader import PackedClip, read_shard

FRAMES = 5
ROWS = [
    ("a", "train", "p0", FRAMES, "permissive"),
    ("b", "train", "p1", FRAMES, "cc-by"),
    ("c", "val", "p2", FRAMES, "permissive"),
    ("d", "test", "p3", FRAMES, "permissive"),
]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceClips:
    root = tmp_path_factory.mktemp("data") / "faces"
    return FaceClips(write_folder(root, ROWS, np.zeros(FRAMES, np.float32)))


@pytest.mark.parametrize("kind", ["video", "png"])
def test_packed_clips_are_the_clips(kind: str, faces: FaceClips, tmp_path: Path) -> None:
    """Pictures of png and the clip's own video come back to the last bit."""
    index = pack_clips(faces, tmp_path, frames=kind, size_px=64, shard_bytes=1)
    assert [shard.split for shard in index.shards] == ["train", "train", "val"]  # and no test
    for shard in index.shards:
        (clip,) = read_shard(tmp_path, shard)
        row = next(row for row in faces.all_rows if row.segment == clip.entry.segment)
        np.testing.assert_array_equal(clip.images(64), faces.frames(row, 64))
        np.testing.assert_allclose(clip.meshes(64), faces.meshes(row, 64))
        assert (tmp_path / shard.name).stat().st_mode & 0o777 == 0o600


def test_pictures_past_the_ten_thousandth_come_in_their_order() -> None:
    """Names have at least four digits, so that `10000` sorts before `9999` as text."""
    count = 10_012
    greys = [
        cv2.imencode(".png", np.full((1, 1), grey, np.uint8))[1].tobytes() for grey in range(256)
    ]
    files = {f"{index:04d}.png": greys[index % 256] for index in range(count)}
    entry = ClipEntry("long", "train", "p0", count, "permissive", "")
    seen = PackedClip(entry, files, "train-000000.tar").images(1)[:, 0, 0, 0]
    np.testing.assert_array_equal(seen, np.arange(count) % 256)


def test_equal_clips_make_equal_shards(faces: FaceClips, tmp_path: Path) -> None:
    one, other = (pack_clips(faces, tmp_path / name) for name in ("one", "other"))
    assert one.data_hash == other.data_hash
    assert read_index(tmp_path / "one") == one
    few = pack_clips(faces, tmp_path / "few", licence_classes=["cc-by"], splits=["train"])
    assert few.data_hash != one.data_hash
    with pytest.raises(ShardError, match="holds shards already"):
        pack_clips(faces, tmp_path / "one")


def test_a_source_gives_the_clips_of_one_split_and_licence(
    faces: FaceClips, tmp_path: Path
) -> None:
    """Whoever trains sees nobody of val, whoever scores nobody of train, folder or shards."""
    pack_clips(faces, tmp_path / "shards")
    for data in (faces.root, tmp_path / "shards"):
        seen = {}
        for split in ("train", "val"):
            parts = open_source(data).parts(split)
            folders = [decode(part, 32, tmp_path / data.name / split) for part in parts]
            seen[split] = [clip.identity for clip in load_all(folders)]
        assert seen == {"train": ["p0", "p1"], "val": ["p2"]}
        (part,) = open_source(data, ["cc-by"]).parts("train")
        assert [entry.identity for entry in part.entries] == ["p1"]
        with pytest.raises(UserError, match="split 'val' has licence class cc-by"):
            open_source(data, ["cc-by"]).parts("val")


def test_a_split_that_is_not_there_is_named(faces: FaceClips, tmp_path: Path) -> None:
    pack_clips(faces, tmp_path / "shards", splits=["train"])
    with pytest.raises(UserError, match=r"no clip of split 'val' \(splits: train\)"):
        open_source(tmp_path / "shards").parts("val")
    with pytest.raises(UserError, match=r"no clip in split 'demo'"):
        open_source(faces.root).parts("demo")


def test_damaged_shards_are_refused(faces: FaceClips, tmp_path: Path) -> None:
    index = pack_clips(faces, tmp_path)
    shard = index.shards[0]
    whole = (tmp_path / shard.name).read_bytes()
    (tmp_path / shard.name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShardError, match="copy it again"):
        list(read_shard(tmp_path, shard))
    (tmp_path / shard.name).write_bytes(whole)
    fewer = dataclasses.replace(shard, clips=shard.clips[:1])
    with pytest.raises(ShardError, match="which its list does not"):
        list(read_shard(tmp_path, fewer))
    (tmp_path / INDEX).write_text("{}")
    with pytest.raises(ShardError, match="pack-clips"):
        open_source(tmp_path)


def test_a_full_disk_ends_packing_in_a_sentence_and_leaves_nothing_for_others_to_see(
    faces: FaceClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part of a shard that was written stayed readable for everybody."""

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(ShardError, match=r"No space left on device.*pack again"):
        pack_clips(faces, tmp_path)
    assert not (tmp_path / INDEX).exists()
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]


def test_a_clip_with_a_dot_in_its_name_is_refused_before_it_is_packed(tmp_path: Path) -> None:
    """Packed, it could not be read again."""
    rows = [("one.two", "train", "p0", FRAMES, ""), ("c", "val", "p2", FRAMES, "")]
    named = FaceClips(write_folder(tmp_path / "faces", rows, np.zeros(FRAMES, np.float32)))
    with pytest.raises(ShardError, match=r"'one\.two' has a dot in its name"):
        pack_clips(named, tmp_path / "shards")


def test_clips_that_were_cut_anew_are_other_data(tmp_path: Path) -> None:
    """A run went on with what it had decoded of the clips before, and told the same data hash."""
    root = write_folder(tmp_path / "faces", ROWS, np.zeros(FRAMES, np.float32))
    before = open_source(root)
    again = open_source(root)
    assert again.data_hash == before.data_hash
    video = root / "video" / "a.mp4"
    video.write_bytes(video.read_bytes() + b"more")
    after = open_source(root)
    assert after.data_hash != before.data_hash
    assert after.parts("train")[0].key != before.parts("train")[0].key
