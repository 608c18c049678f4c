"""What a client is told of a frame, by what covers the face."""

from __future__ import annotations

from edge.eyes.fusion import EyePair, eye_statuses
from edge.records import FaceTrack
from streaming.records import Status


def restored_statuses(track: FaceTrack, eyes: EyePair, is_warming: bool) -> tuple[Status, ...]:
    """Of a restored frame.

    Under a headset cameras see the eyes. No camera sees a mouth behind a face mask: what is shown
    there is plausible, not live; the eyes are in view, so that their cameras do not matter.
    """
    warming = (Status.WARMING,) if is_warming else ()
    if track.cover == "face-mask":
        return (*warming, Status.PLAUSIBLE)
    return (*(warming or (Status.LIVE,)), *eye_statuses(eyes))


def bare_status(track: FaceTrack) -> Status:
    """Of a tracked face on which nothing is to be filled."""
    return Status.COVER_MISMATCH if track.is_other else Status.NO_HEADSET
