"""A folder of videos becomes a folder of face clips; a stopped import goes on where it was."""

from __future__ import annotations

import csv
import hashlib
import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from edge.video_file import turned_upright
from hmd_capture.head_pose import head_pose
from streaming.errors import UserError
from training.clips.faces import ImageU8
from training.importing.clip_writer import write_clip
from training.importing.lists import append_line, append_row
from training.importing.segments import Segment, find_segments
from training.importing.splits import MIXED, split_of

log = logging.getLogger(__name__)

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
COLUMNS = (
    "segment", "split", "identity", "frames", "clip", "start_frame", "face_px", "yaw_mean",
    "yaw_max", "quality", "flags", "licence_class", "licence", "source",
)  # fmt: skip
USUAL_RATE = Fraction(25)
LARGEST_RATE = 45  # faster videos are thinned out by two
TURNED_DEG = 25.0
SOURCES = "imported.txt"  # videos that are done, those without a face too
NOT_USED = {
    "unlisted": "in none of the split lists",
    MIXED: "shows two people who are in different splits",
}


@dataclass(frozen=True)
class Wishes:
    """How videos become clips."""

    fewest_frames: int = 34
    most_frames: int = 300
    person_from: str = "name"  # of the file, or "folder"
    lists: Mapping[str, str] = field(default_factory=dict)  # person: split
    licence_class: str = "unknown"
    licence: str = ""


@dataclass
class Outcome:
    """What came of an import."""

    segments: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # video: reason
    already: int = 0  # videos that an earlier run had done


def videos_in(folder: Path) -> list[Path]:
    """Every video below a folder, in the order of its path.

    Raises:
        UserError: there is none, or no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.", "Check the path.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"{folder} holds no video.", f"Videos end in one of {', '.join(SUFFIXES)}.")
    return found


def import_videos(folder: Path, root: Path, wishes: Wishes) -> Iterator[Outcome]:
    """Import every video below `folder` into `root`; yields the state after each.

    Raises:
        UserError: there is no video, or the disk is full; what was imported stays.
    """
    outcome, done = Outcome(), _done(root)
    for path in videos_in(folder):
        source = path.relative_to(folder).as_posix()
        if source in done:
            outcome.already += 1
        else:
            try:
                if _import_one(path, source, root, wishes, outcome):
                    append_line(root / SOURCES, source + "\n")
            except (OSError, av.error.FFmpegError) as error:
                raise UserError(
                    f"Clips cannot be written to {root} ({error.strerror or error}).",
                    "Free disk space and start the same command again: it goes on.",
                ) from error
        yield outcome


def _import_one(path: Path, source: str, root: Path, wishes: Wishes, outcome: Outcome) -> bool:
    """Import a video; False where other split lists would use it: it is not done with."""
    person = _plain(path.parent.name if wishes.person_from == "folder" else path.stem)
    split = split_of(person, wishes.lists)
    if split in NOT_USED:
        outcome.skipped[source] = NOT_USED[split]
        return False
    try:
        rate, step = _rate(path)
        frame_ns = round(1e9 / rate)
        limits = (wishes.fewest_frames, wishes.most_frames)
        segments = find_segments(_frames(path, step), frame_ns, *limits)
    except av.error.FFmpegError as error:
        outcome.skipped[source] = f"cannot be decoded ({error.strerror or 'unreadable'})"
        return True
    if not segments:
        outcome.skipped[source] = (
            f"no face is followed for {wishes.fewest_frames} frames at a usable size"
        )
    known = _listed(root)
    for index, segment in enumerate(segments):
        name = _name(source, index, known)
        frames = itertools.islice(
            _frames(path, step), segment.first, segment.first + segment.frames
        )
        write_clip(root, name, frames, segment, rate)
        if name not in known:  # else a stopped import had listed it already
            row = _row(name, split, person, source, segment, wishes)
            append_row(root / "manifest.csv", COLUMNS, row)
        outcome.segments.append(name)
    return True


def _row(
    name: str, split: str, person: str, source: str, segment: Segment, wishes: Wishes
) -> dict[str, str | int]:
    yaw = np.abs([head_pose(mesh).yaw_deg for mesh in segment.meshes])
    side = float(np.mean([box.side_px for box in segment.boxes]))
    return {
        "segment": name,
        "split": split,
        "identity": person,
        "frames": segment.frames,
        "clip": _plain(Path(source).with_suffix("").as_posix()),
        "start_frame": segment.first,
        "face_px": f"{side:.1f}",
        "yaw_mean": f"{yaw.mean():.1f}",
        "yaw_max": f"{yaw.max():.1f}",
        "quality": "A" if side >= 256 else "B",
        "flags": "turned" if yaw.max() > TURNED_DEG else "",
        "licence_class": wishes.licence_class,
        "licence": wishes.licence,
        "source": source,
    }


def _listed(root: Path) -> dict[str, str]:
    """Segment: the video it is from, of all that the manifest lists."""
    path = root / "manifest.csv"
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        return {row["segment"]: row.get("source") or "" for row in csv.DictReader(file)}


def _name(source: str, index: int, known: Mapping[str, str]) -> str:
    """A segment's name, no other video's: `a b.mp4` and `a_b.mov` are both plainly `a_b`."""
    plain = _plain(Path(source).with_suffix("").as_posix())
    name = f"{plain}_{index:02d}"
    if known.get(name, source) == source:
        return name
    return f"{plain}_{hashlib.sha256(source.encode()).hexdigest()[:6]}_{index:02d}"


def _rate(path: Path) -> tuple[Fraction, int]:
    """Frames per second of the clips, and how many of the video's frames make one."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise av.error.InvalidDataError(0, "no video track", str(path))
        rate = container.streams.video[0].average_rate or USUAL_RATE
    step = 2 if rate > LARGEST_RATE else 1
    return (Fraction(rate) / step).limit_denominator(1001), step


def _frames(path: Path, step: int) -> Iterator[ImageU8]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                yield turned_upright(image, frame.rotation)


def _done(root: Path) -> set[str]:
    path = root / SOURCES
    return set(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else set()


def _plain(name: str) -> str:
    """A name that is safe as a file's."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_") or "clip"
