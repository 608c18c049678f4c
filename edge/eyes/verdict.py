"""Whether a routine was seen well enough to calibrate the eyes, and in plain words what it gave."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge.eyes.learning import (
    AHEAD,
    DOWN,
    LEFT,
    RIGHT,
    UP,
    Evidence,
    Learned,
    learned,
    looked_around,
)
from edge.profile.eyes import EyeCalibration
from streaming.errors import UserError
from streaming.records import Side

MIN_SEEN = 60  # observations of one eye: 4 a second
MIN_RANGE = 0.06  # of the eye's width, between closed and open
GOOD_RANGE = 0.10
GOOD_WAY = 0.10  # eye widths that the iris moved from left to right
LEAN = 0.04  # by so much the lids have to lean to the wrong side, both eyes together
AGAIN = "Run it again: put the headset on firmly and follow each instruction until the next one."


@dataclass(frozen=True)
class EyesVerdict:
    """Both eyes' calibration, fit to be saved, and what to tell the wearer."""

    calibration: tuple[EyeCalibration, EyeCalibration]  # right, left
    words: tuple[str, ...]  # one sentence a line
    advice: tuple[str, ...]  # what would make it better; empty = it is good
    is_swapped: bool


def judged(evidence: Mapping[Side, Evidence], is_swapped: bool | None = None) -> EyesVerdict:
    """Calibrate both eyes from what their cameras saw during the routine.

    Args:
        evidence: by the side that each camera says it looks at.
        is_swapped: whether the cameras say the wrong sides; None = as the lids' shapes tell.

    Raises:
        UserError: an eye was not seen, did not close, or did not look around.
    """
    _check_seen(evidence)
    found = {side: learned(evidence[side]) for side in Side}
    for side in Side:
        _check(side, found[side])
    if is_swapped is None:
        is_swapped = are_swapped(found[Side.RIGHT], found[Side.LEFT])
    if is_swapped:
        found = {Side.RIGHT: found[Side.LEFT], Side.LEFT: found[Side.RIGHT]}
    right, left = (
        dataclasses.replace(found[side].calibration, is_swapped=is_swapped)
        for side in (Side.RIGHT, Side.LEFT)
    )
    words = [_words(side, found[side]) for side in (Side.RIGHT, Side.LEFT)]
    if is_swapped:
        words.append(
            "The eye cameras are swapped: what is named left looks at the right eye. "
            "This is put right by the calibration; nothing has to be changed."
        )
    advice = [sentence for side in Side for sentence in _advice(side, found[side])]
    return EyesVerdict((right, left), tuple(words), tuple(advice), is_swapped)


def own_calibration() -> UserError:
    """What is told where a headset sends gaze and openness instead of eye images."""
    return UserError(
        "This headset tells gaze and openness by its own calibration; there is nothing to do.",
        "Calibrate the eyes in the headset's own program.",
    )


def are_swapped(right: Learned, left: Learned) -> bool:
    """Whether the camera of the right eye shows a left one and the other way round, by the lids.

    Lids are highest near the nose and lowest near the temple. A mirrored image turns that round,
    and shows in that the iris went to the wrong side.
    """
    right_lean, left_lean = (
        -each.lean if each.calibration.sines_from_way[0] < 0 else each.lean
        for each in (right, left)
    )
    return right_lean - left_lean > LEAN


def _check_seen(evidence: Mapping[Side, Evidence]) -> None:
    missing = [side.value for side in Side if len(evidence[side]) < MIN_SEEN]
    if len(missing) == len(Side):
        raise UserError(
            "Neither eye was seen.",
            "Check that the headset is on, that both eye cameras run, and that each image shows "
            "the whole eye; then run it again.",
        )
    if missing:
        raise UserError(
            f"The {missing[0]} eye was not seen, or only for moments.",
            "Check that its camera runs and that its image shows the whole eye; then run it again.",
        )
    for side in Side:
        if AHEAD not in evidence[side].steps:
            raise UserError(f"The {side.value} eye was not seen looking straight ahead.", AGAIN)


def _check(side: Side, found: Learned) -> None:
    eye = found.calibration
    if not found.has_closed:
        raise UserError(f"The {side.value} eye was not seen closed.", AGAIN)
    if eye.open - eye.closed < MIN_RANGE:
        raise UserError(
            f"The lids of the {side.value} eye hardly moved in its camera's image.",
            "Move the camera or turn its image so that it shows the whole eye; then run it again.",
        )
    if not looked_around(found.ways):
        raise UserError(f"The {side.value} eye was not seen looking around.", AGAIN)


def _words(side: Side, found: Learned) -> str:
    eye, ways = found.calibration, found.ways
    sideways = 100 * math.dist(ways[LEFT], ways[RIGHT])
    updown = 100 * math.dist(ways[UP], ways[DOWN])
    return (
        f"{side.value.capitalize()} eye: lids {100 * eye.closed:.0f} % of its width apart when "
        f"closed and {100 * eye.open:.0f} % when open; the iris moves {sideways:.0f} % sideways "
        f"and {updown:.0f} % up and down."
    )


def _advice(side: Side, found: Learned) -> list[str]:
    eye, ways = found.calibration, found.ways
    advice = []
    if eye.open - eye.closed < GOOD_RANGE:
        advice.append(
            f"The lids of the {side.value} eye move little: blinks may be shown too weak. "
            "Seat the camera so that it looks less from below or from the side."
        )
    if math.dist(ways[LEFT], ways[RIGHT]) < GOOD_WAY:
        advice.append(
            f"The {side.value} iris moved little: gaze may be shown too strong. "
            "Look farther to the left and right when asked."
        )
    return advice
