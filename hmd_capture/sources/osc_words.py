"""What VRCFaceTracking (v2) and VRChat call the eyes over OSC. No sockets here.

Directions are the wearer's in OSC, and those of the outside camera's image in our records: the
wearer's right is the image's left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streaming.records import Float32Array, Side

BOTH = (Side.RIGHT, Side.LEFT)
# VRCFaceTracking: gaze 1 is 45°; a lid at .75 is open, above it is widened.
FULL_GAZE_RAD = math.pi / 4
OPEN_LID = 0.75
MAX_SHARE = 2.0  # "may exceed 1"; far beyond is no gaze
MAX_GAZE_RAD = 1.2

_VRCFT = re.compile(r"/avatar/parameters/(?:[\w/]{1,40}/)?v2/(Eye|EyeLid)(Left|Right)?([XY]?)")
_VRCHAT = "/tracking/eye/"
_LIDS = ("EyesClosedAmount",)
_LOOKS = {  # numbers per eye, and whether they are angles or a vector
    "CenterPitchYaw": (2, False, False),
    "CenterPitchYawDist": (3, False, False),
    "CenterVec": (3, False, True),
    "CenterVecFull": (3, False, True),
    "LeftRightPitchYaw": (2, True, False),
    "LeftRightVec": (3, True, True),
}


class BadWord(ValueError):
    """An OSC message about eyes whose arguments make no sense."""


@dataclass(frozen=True)
class EyeWords:
    """What has been said of one eye so far; None = nothing."""

    openness: float | None = None  # 0..1
    right_rad: float | None = None  # to the wearer's right
    up_rad: float | None = None

    @property
    def gaze(self) -> Float32Array | None:
        """(2,) rad yaw, pitch as in our records; None while no direction was told."""
        if self.right_rad is None and self.up_rad is None:
            return None
        return np.array([-(self.right_rad or 0.0), self.up_rad or 0.0], np.float32)


Change = Callable[[EyeWords], EyeWords]


def read_word(address: str, arguments: Sequence[object]) -> Mapping[Side, Change]:
    """What one OSC message changes, by eye; empty when it is not about eyes.

    Raises `BadWord` when its arguments are missing, no numbers, or out of range.
    """
    match = _VRCFT.fullmatch(address)
    if match is not None and bool(match[3]) == (match[1] == "Eye"):
        change = _vrcft(match[1], match[3], arguments)
        return dict.fromkeys(_sides(match[2]), change)
    name = address.removeprefix(_VRCHAT) if address.startswith(_VRCHAT) else ""
    if name in _LIDS:
        (closed,) = _numbers(arguments, 1, 1.0, low=0.0)
        return dict.fromkeys(BOTH, _opened(1.0 - closed))
    if name in _LOOKS:
        return _vrchat(name, arguments)
    return {}


def _vrcft(kind: str, axis: str, arguments: Sequence[object]) -> Change:
    if kind == "EyeLid":
        (lid,) = _numbers(arguments, 1, 1.0, low=0.0)
        return _opened(min(1.0, lid / OPEN_LID))
    (share,) = _numbers(arguments, 1, MAX_SHARE)
    angle = _gaze(share * FULL_GAZE_RAD)
    if axis == "X":
        return lambda words: replace(words, right_rad=angle)
    return lambda words: replace(words, up_rad=angle)


def _vrchat(name: str, arguments: Sequence[object]) -> Mapping[Side, Change]:
    count, is_per_eye, is_vector = _LOOKS[name]
    values = _numbers(arguments, count * (2 if is_per_eye else 1), 1e4 if is_vector else 180.0)
    read = _from_vector if is_vector else _from_angles
    if not is_per_eye:
        return dict.fromkeys(BOTH, read(values))
    return {Side.LEFT: read(values[:count]), Side.RIGHT: read(values[count:])}


def _from_angles(values: Sequence[float]) -> Change:
    """Pitch down and yaw right, in degrees."""
    return _looking(math.radians(values[1]), -math.radians(values[0]))


def _from_vector(values: Sequence[float]) -> Change:
    """Right, up and forward; of any length."""
    x, y, z = values
    if z <= 0.0:
        raise BadWord(f"a gaze that does not look forward: {values}")
    return _looking(math.atan2(x, z), math.atan2(y, math.hypot(x, z)))


def _looking(right_rad: float, up_rad: float) -> Change:
    right, up = _gaze(right_rad), _gaze(up_rad)
    return lambda words: replace(words, right_rad=right, up_rad=up)


def _opened(openness: float) -> Change:
    return lambda words: replace(words, openness=openness)


def _gaze(angle_rad: float) -> float:
    return max(-MAX_GAZE_RAD, min(MAX_GAZE_RAD, angle_rad))


def _sides(name: str | None) -> tuple[Side, ...]:
    return BOTH if not name else (Side(name.lower()),)


def _numbers(
    arguments: Sequence[object], count: int, limit: float, low: float | None = None
) -> tuple[float, ...]:
    least = -limit if low is None else low
    numbers = [
        float(a) for a in arguments if isinstance(a, int | float) and not isinstance(a, bool)
    ]
    if len(arguments) != count or len(numbers) != count:
        raise BadWord(f"{count} numbers are needed, not {arguments!r:.80}")
    if not all(least <= number <= limit for number in numbers):  # also refuses NaN
        raise BadWord(f"{numbers!r:.80} is not in {least:g}..{limit:g}")
    return tuple(numbers)
