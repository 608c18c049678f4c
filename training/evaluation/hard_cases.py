"""Frames that are hard for a reference: its eyes are in another state, or its head is turned.

The frames are found by a rule in the clips' own landmarks; those of the project's own splits are
written down in `hard_cases.json`, so that every run scores the same ones.

`eye-state`: within the 48 frames in which the eyes are closed most often, the closed ones are
restored from a frame with open eyes, and the open ones from a frame with closed eyes, in each case
the frame whose head turn is nearest to theirs. `turned`: from the clip's first frame, all frames
whose head turn differs from it by 12 degrees and more, of the clips that have 20 of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contract import RECEPTIVE_FRAMES
from streaming.errors import UserError
from training.clips.faces import FaceClip, FaceClips
from training.eyes.live_motion import motion_true
from training.protocol import ScoredClip, holes, read

EYE_STATE, TURNED = "eye-state", "turned"
HARD_PROTOCOLS = (EYE_STATE, TURNED)
LIST = Path(__file__).with_name("hard_cases.json")

CLOSED, FULLY_CLOSED, OPEN = 0.4, 0.25, 0.8  # openness: of the clip's open eyes' lid gap
WINDOW_FRAMES = 48
FEWEST_EYE_FRAMES = 2
NEAR_FRAMES = 2  # on either side of a reference: too much like it to count
LEAST_TURN_DEG = 12.0
FEWEST_TURNED = 20

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class HardCase:
    """Frames of one clip; indices count from its first frame."""

    segment: str
    kind: str  # "closed" or "open" eyes to be restored; "turned"
    reference: int
    first: int  # frames `first`..`last` are played; a recurrent method needs what led up
    last: int
    counted: tuple[int, ...]  # those that are scored


def cases(clips: FaceClips, split: str, protocol: str) -> list[HardCase]:
    """The listed cases of a split, if this folder has all their clips; else those of the rule.

    Raises:
        UserError: the split has none.
    """
    rows = clips.rows(split)
    known = {row.segment: row.frames for row in rows}
    listed = listed_cases().get(split, {}).get(protocol, [])
    if listed and all(known.get(case.segment, 0) > case.last for case in listed):
        return listed
    found = [case for row in rows for case in find(clips, row, protocol)]
    if not found:
        raise UserError(
            f"No clip of split '{split}' has frames that {protocol} scores.",
            "Add longer clips, with blinks and turns, or use the protocol hmd.",
        )
    return found


def listed_cases(path: Path = LIST) -> dict[str, dict[str, list[HardCase]]]:
    """Split, protocol: the cases that are written down."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    return {
        split: {
            protocol: [HardCase(**case | {"counted": tuple(case["counted"])}) for case in listed]
            for protocol, listed in protocols.items()
        }
        for split, protocols in tree.items()
    }


def write_list(clips: FaceClips, splits: Sequence[str], path: Path) -> None:
    """Write the cases that the rule finds down, one a line."""
    tree = {
        split: {
            protocol: [
                asdict(case) for row in clips.rows(split) for case in find(clips, row, protocol)
            ]
            for protocol in HARD_PROTOCOLS
        }
        for split in splits
    }
    path.write_text(json.dumps(tree).replace(', {"segment"', ',\n{"segment"') + "\n")


def find(clips: FaceClips, row: FaceClip, protocol: str) -> list[HardCase]:
    """The cases of one clip by the rule; none, one or two."""
    yaw = clips.yaw(row).astype(np.float64)
    if protocol == TURNED:
        return turned_cases(row.segment, yaw)
    meshes = clips.meshes(row)
    openness = motion_true(meshes, meshes[0]).openness.mean(1)
    return eye_cases(row.segment, openness, yaw)


def turned_cases(segment: str, yaw: Floats) -> list[HardCase]:
    """The case of a clip with head turns `yaw` (T,) degrees, or none."""
    counted = np.flatnonzero(np.abs(yaw - yaw[0]) >= LEAST_TURN_DEG)
    if len(counted) < FEWEST_TURNED:
        return []
    first = max(1, int(counted[0]) - RECEPTIVE_FRAMES)
    frames = tuple(int(index) for index in counted)
    return [HardCase(segment, "turned", 0, first, frames[-1], frames)]


def eye_cases(segment: str, openness: Floats, yaw: Floats) -> list[HardCase]:
    """The cases of a clip with `openness` (T,) 0..1 of both eyes and head turns `yaw` (T,)."""
    closed = openness < CLOSED
    length = min(WINDOW_FRAMES, len(openness))
    often = np.convolve(closed, np.ones(length), "valid")
    first = int(often.argmax())
    window = np.arange(first, first + length)
    kinds = (
        ("closed", window[closed[window]], np.flatnonzero(openness >= OPEN)),
        ("open", window[openness[window] >= OPEN], np.flatnonzero(openness < FULLY_CLOSED)),
    )
    found = [
        _eye_case(segment, kind, frames, others, window, yaw) for kind, frames, others in kinds
    ]
    return [case for case in found if case is not None]


def _eye_case(
    segment: str, kind: str, frames: Indices, references: Indices, window: Indices, yaw: Floats
) -> HardCase | None:
    outside = references[(references < window[0]) | (references > window[-1])]
    references = outside if len(outside) else references
    if not len(references) or not len(frames):
        return None
    nearest = np.abs(yaw[references] - yaw[frames].mean()).argmin()
    reference = int(references[nearest])
    counted = tuple(int(index) for index in frames if abs(index - reference) > NEAR_FRAMES)
    if len(counted) < FEWEST_EYE_FRAMES:
        return None
    return HardCase(segment, kind, reference, int(window[0]), int(window[-1]), counted)


def segment_of(row: FaceClip, case: HardCase) -> str:
    """What a case is listed under: a clip may have two."""
    return f"{row.segment}-{case.kind}"


def load(clips: FaceClips, row: FaceClip, case: HardCase, size_px: int) -> ScoredClip:
    """Read the frames of a case; raises FaceDataError as `protocol.load` does."""
    images, meshes = read(clips, row, size_px)
    played = slice(case.first, case.last + 1)
    return ScoredClip(
        segment=segment_of(row, case),
        identity=row.identity,
        reference_image=images[case.reference],
        reference_mesh=meshes[case.reference],
        truth=images[played],
        meshes=meshes[played],
        hidden=holes(meshes[played], size_px),
        counted=np.isin(np.arange(case.first, case.last + 1), case.counted),
    )
