"""From what was taken to a profile that can be shown before it is saved."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from calibration.capture.shelf import stacked
from calibration.capture.take import Take
from calibration.capture.trial import Trial, try_on
from calibration.gates.gates import POSED
from edge.eyes.measures import mesh_apertures
from edge.profile import Part, SessionProfile
from edge.reference_choice import profile_from_frames
from edge.setup.part import CaptureSetup
from hmd_capture.head_pose import head_pose
from models.filling import Reference
from streaming.errors import UserError
from streaming.records import ImageU8

HELD_BACK_EVERY = 6  # every so many frames are kept from the profile, to try it on
MOST_TRIAL_FRAMES = 25
VIEW_PX = 160  # side of a view in the report
TURNED_DEG, NODDED_DEG, CLOSED = 10.0, 8.0, 0.5


@dataclass(frozen=True)
class Draft:
    """A profile that was made but not saved."""

    profile: SessionProfile
    trial: Trial
    take: Take
    views: tuple[str, ...]  # what each reference shows, in words

    @property
    def document(self) -> dict[str, Any]:
        """What was found, as JSON: no numbers of a face."""
        return {
            "quality": dict(self.profile.quality),
            "trial": {**self.trial.scores, "words": self.trial.words},
            "views": list(self.views),
            "seconds": round(self.take.seconds, 2),
            "frames": len(self.take.problems),
            "problems": dict(Counter(problem for problem in self.take.problems if problem)),
            "steps": {outcome.key: outcome.is_seen for outcome in self.take.outcomes},
            "missing": list(self.take.told),
        }


def make_draft(
    take: Take,
    *,
    with_plate: bool = True,
    setup: Callable[[tuple[int, int]], CaptureSetup] | None = None,
    remark: Callable[[], str] = lambda: "",
) -> Draft:
    """Make the profile, with the room behind the face or without, and try it on; takes seconds.

    `setup` says by what pictures of (width, height) were taken, None: nobody knows. `remark` is a
    sentence about the source itself, told with what is missing and with a refusal; "" = none.

    Raises:
        UserError: too little of what was taken can be used; says what was wrong.
    """
    _check(take, remark())
    kept = take.shelf.frames()
    good = [frame for frame in kept if frame.problem not in POSED]
    held_back = good[HELD_BACK_EVERY // 2 :: HELD_BACK_EVERY] or good[-1:]
    chosen = {frame.index for frame in held_back} if len(good) > len(held_back) else set()
    given = stacked([frame for frame in kept if frame.index not in chosen])
    made = profile_from_frames(*given, with_plate=with_plate)
    trial = try_on(made, _thinned(held_back))
    quality = {**made.quality, **trial.scores, "capture_seconds": round(take.seconds, 2)}
    views = views_in_words(made.references)
    height, width = kept[0].image.shape[:2]
    taken_by = setup((width, height)) if setup is not None else None
    made = dataclasses.replace(made, quality=quality, setup=taken_by)
    draft = Draft(made, trial, take, views)
    return dataclasses.replace(
        draft, profile=dataclasses.replace(draft.profile, report=_report(draft))
    )


def _check(take: Take, remark: str) -> None:
    """Raise UserError as `Take.check` does, with `remark`; else note that in the take."""
    try:
        take.check()
    except UserError as error:
        raise UserError(f"{error.message} {remark}".rstrip(), error.next_step) from error
    take.told[:0] = [remark] if remark else []


def views_in_words(references: tuple[Reference, ...]) -> tuple[str, ...]:
    """What each view shows, against the first, which is the frontal one."""
    front = references[0]
    level_deg = head_pose(front.mesh).pitch_deg
    opened = np.maximum(mesh_apertures(front.mesh), 1e-3)
    return tuple(_words(view, level_deg, opened) for view in references)


def view_pictures(references: tuple[Reference, ...]) -> list[ImageU8]:
    """Each view as a picture of `VIEW_PX` a side."""
    return [view.resized(VIEW_PX).image for view in references]


def _words(view: Reference, level_deg: float, opened: Any) -> str:
    pose = head_pose(view.mesh)
    nod_deg = pose.pitch_deg - level_deg
    words = []
    if abs(pose.yaw_deg) > TURNED_DEG:
        words.append("turned left" if pose.yaw_deg > 0 else "turned right")
    if abs(nod_deg) > NODDED_DEG:
        words.append("chin down" if nod_deg > 0 else "chin up")
    if not words:
        words.append("straight")
    openness = float(np.max(np.asarray(mesh_apertures(view.mesh)) / opened))
    return ", ".join([*words, *(["eyes closed"] if openness < CLOSED else [])])


def _thinned(frames: list[Any]) -> list[Any]:
    step = -(-len(frames) // MOST_TRIAL_FRAMES)
    return frames[::step]


def _report(draft: Draft) -> Part:
    pictures: Mapping[str, ImageU8] = {
        "trial": draft.trial.picture,
        "views": np.hstack(view_pictures(draft.profile.references)),
    }
    return Part(document=draft.document, pictures=pictures)


def as_jpeg(image: ImageU8, quality: int = 85) -> bytes:
    """A picture (H,W,3) BGR as JPEG."""
    is_encoded, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not is_encoded:
        raise ValueError(f"a picture of {image.shape} cannot be encoded")
    return packed.tobytes()
