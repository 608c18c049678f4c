"""The demo clips: fetched by the registry's own client, verified, cached, never half there."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from edge import clips
from edge.clips import ClipSource, Member, demo_clip
from streaming.errors import UserError

CLIP = b"the clip to restore" * 50
PROFILE = b"the clip for the profile" * 50


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _tarball(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def _source(archive: Path, clip: bytes = CLIP, name: str = "fake-1.0") -> ClipSource:
    """A source whose "registry client" is a real process that copies a file we made."""
    copy = f"import shutil; shutil.copy({str(archive)!r}, '.')"
    return ClipSource(
        name=name,
        command=(sys.executable, "-c", copy),
        archive_glob=archive.name,
        clip=Member("package/media/clip.mp4", _sha256(clip)),
        profile=Member("package/media/profile.mp4", _sha256(PROFILE)),
        licence="MIT",
        credit="nobody",
    )


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    members = {
        "package/media/clip.mp4": CLIP,
        "package/media/profile.mp4": PROFILE,
        "package/run-me.sh": b"exit 1",
    }
    return _tarball(tmp_path / "fake-1.0.tgz", members)


def test_only_the_two_members_are_kept(tmp_path: Path, archive: Path) -> None:
    clip = demo_clip(tmp_path / "cache", [_source(archive)])
    assert clip.path.read_bytes() == CLIP
    assert clip.profile_path.read_bytes() == PROFILE
    kept = sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert kept == ["clip.mp4", "profile.mp4"]


def test_a_cached_clip_needs_no_registry(tmp_path: Path, archive: Path) -> None:
    source = _source(archive)
    demo_clip(tmp_path / "cache", [source])
    archive.unlink()
    assert demo_clip(tmp_path / "cache", [source]).path.read_bytes() == CLIP


def test_a_damaged_cached_clip_is_fetched_again(tmp_path: Path, archive: Path) -> None:
    source = _source(archive)
    demo_clip(tmp_path / "cache", [source]).path.write_bytes(CLIP[:-1])
    assert demo_clip(tmp_path / "cache", [source]).path.read_bytes() == CLIP


def test_a_file_with_another_hash_is_refused_and_not_kept(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(UserError, match=r"clip\.mp4 .* expected .* not kept.*--clip FILE"):
        demo_clip(tmp_path / "cache", [_source(archive, clip=b"something else")])
    assert not (tmp_path / "cache" / "fake-1.0" / "clip.mp4").exists()


def test_the_second_source_takes_over_when_the_first_client_is_missing(
    tmp_path: Path, archive: Path
) -> None:
    absent = ClipSource(
        name="absent",
        command=("no-such-registry-client", "pack"),
        archive_glob="*.tgz",
        clip=Member("a", ""),
        profile=Member("a", ""),
        licence="",
        credit="",
    )
    assert demo_clip(tmp_path / "cache", [absent, _source(archive)]).name == "fake-1.0"


def test_without_any_source_the_error_names_every_reason_and_the_way_out(tmp_path: Path) -> None:
    offline = "import sys; sys.exit('no route to the registry')"
    failing = ClipSource(
        name="offline",
        command=(sys.executable, "-c", offline),
        archive_glob="*.tgz",
        clip=Member("a", "0"),
        profile=Member("a", "0"),
        licence="",
        credit="",
    )
    with pytest.raises(UserError, match=r"offline: no route to the registry.*--clip FILE"):
        demo_clip(tmp_path / "cache", [failing])


def test_an_archive_without_the_member_counts_as_not_available(tmp_path: Path) -> None:
    empty = _tarball(tmp_path / "fake-1.0.tgz", {"package/other": b""})
    with pytest.raises(UserError, match=r"has no readable package/media/"):
        demo_clip(tmp_path / "cache", [_source(empty)])


def test_the_fallback_is_read_out_of_a_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "fake-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("package/media/clip.mp4", CLIP)
        archive.writestr("package/media/profile.mp4", PROFILE)
    assert demo_clip(tmp_path / "cache", [_source(wheel)]).path.read_bytes() == CLIP


def test_a_read_only_checkout_puts_the_cache_into_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips.os, "access", lambda *_: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert clips.cache_folder() == tmp_path / "unvisor"
