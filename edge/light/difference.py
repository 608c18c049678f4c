"""How the light on the skin differs between two looks, in what a person would call it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from edge.light.skin import DARKEST, LEFT, RIGHT, SkinLook

LEAST_REGIONS = 2  # that both looks show
BLACK = 16.0  # L* + 16 and a*, b* grow alike with the light (CIE 15), so their ratio is its colour

# Beyond these a difference is worth telling. Chosen on val and train clips under simulated
# headsets, against views of the same recording relit in linear light. A stop of grey is 2 EV of
# exposure: views that are 1 EV darker lose nothing inside the mask, 2 EV 0.5 dB, 3 EV 1.4 dB. 16
# in a*, b* lies between red over blue changed by 1 EV (13 to 15; 0.1 to 0.3 dB) and by 2 EV (27 to
# 30; 0.6 to 0.9 dB). Light from a side (±2 EV at the picture's borders: 0.2 to 0.7 dB) leaves about
# 0.6 stops between the jaws.
STOPS, COLOUR, SIDE = 1.1, 16.0, 0.65

DARKER, BRIGHTER = "darker", "brighter"
WARMER, COOLER, PINKER, GREENER = "warmer", "cooler", "pinker", "greener"
FROM_RIGHT, FROM_LEFT = "from the wearer's right", "from the wearer's left"


@dataclass(frozen=True)
class Difference:
    """Of one look from another."""

    stops: float  # of grey value, positive = brighter
    red: float  # a* at the other look's lightness, positive = redder, negative = greener
    yellow: float  # b*, likewise; positive = warmer, negative = bluer
    right: float  # stops by which the right side gained on the left, beyond the other look

    @property
    def strength(self) -> float:
        """How far it goes; more than 1 is worth telling."""
        return max(size for size, _ in self._sizes())

    @property
    def words(self) -> frozenset[str]:
        """What of it is worth telling, in words such as `DARKER`."""
        return frozenset(word for size, word in self._sizes() if size > 1.0)

    def _sizes(self) -> tuple[tuple[float, str], ...]:
        """Brightness, colour and side as multiples of their limits, with what they are called."""
        if abs(self.yellow) >= abs(self.red):
            colour = WARMER if self.yellow > 0 else COOLER
        else:
            colour = PINKER if self.red > 0 else GREENER
        return (
            (abs(self.stops) / STOPS, BRIGHTER if self.stops > 0 else DARKER),
            (float(np.hypot(self.red, self.yellow)) / COLOUR, colour),
            (abs(self.right) / SIDE, FROM_RIGHT if self.right > 0 else FROM_LEFT),
        )


def sentence(words: Collection[str]) -> str:
    """What to tell the user, with the next step; "" without words."""
    how = [word for word in (DARKER, BRIGHTER, WARMER, COOLER, PINKER, GREENER) if word in words]
    side = [word for word in (FROM_RIGHT, FROM_LEFT) if word in words]
    told = [f"is much {' and '.join(how)}"] if how else []
    told += [f"comes much more {' and '.join(side)}"] if side else []
    if not told:
        return ""
    return (
        f"the light {' and '.join(told)} than in the profile; "
        "results are better after calibrate-reference in this light"
    )


def difference(look: SkinLook, other: SkinLook) -> Difference | None:
    """Region by region, the median of all; None when they show too few of the same."""
    both = np.isfinite(look.grey) & np.isfinite(other.grey)
    if np.count_nonzero(both) < LEAST_REGIONS:
        return None
    stops = np.log2((look.grey + DARKEST) / (other.grey + DARKEST))
    as_light = (other.lab[:, :1] + BLACK) / (look.lab[:, :1] + BLACK)
    colour = look.lab[:, 1:] * as_light - other.lab[:, 1:]
    red, yellow = np.median(colour[both], axis=0).tolist()
    sides = [stops[[row for row in side if both[row]]] for side in (RIGHT, LEFT)]
    right = float(sides[0].mean() - sides[1].mean()) if all(map(len, sides)) else 0.0
    return Difference(float(np.median(stops[both])), red, yellow, right)
