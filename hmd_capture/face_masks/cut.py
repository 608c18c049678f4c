"""How face masks are cut: five kinds, and what varies from one piece to the next.

Lengths are in spans on the head, see `hmd_capture.head_pose`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Cut:
    """One piece, as it is worn."""

    kind: str
    top: float  # of its edge on the nose: 0 = between the eyes, 1 = the tip
    cheek: float  # edge on the cheeks, below (+) or above (-) the nose's tip
    side_top: float  # upper corner at the side, likewise
    side_bottom: float  # lower corner: 0 = level with the nose's tip, 1 = with the chin
    reach: float  # how far the sides go, over half the face's width there
    under: float  # how far it goes below the chin
    standoff: float  # in front of nose and mouth
    widening: float  # of the lower edge over the upper one; scarves only
    straps: str  # "loops" behind the ears, "bands" round the head, "none"
    strap_width: float
    roll: float  # rad, how crooked it is worn


# Kind: how each number of `Cut` varies. A piece is drawn from these ranges.
CUTS: Mapping[str, Mapping[str, Range]] = {
    "surgical": {
        "top": (-0.05, 0.5), "cheek": (-0.24, -0.08), "side_top": (-0.14, 0.10),
        "side_bottom": (0.50, 0.72), "reach": (0.80, 0.93), "under": (0.02, 0.10),
        "standoff": (0.03, 0.08), "strap_width": (0.020, 0.036),
    },
    "cloth": {
        "top": (-0.1, 0.55), "cheek": (-0.22, 0.0), "side_top": (-0.08, 0.20),
        "side_bottom": (0.45, 0.70), "reach": (0.84, 0.99), "under": (0.02, 0.12),
        "standoff": (0.04, 0.12), "strap_width": (0.028, 0.060),
    },
    "n95": {
        "top": (-0.1, 0.35), "cheek": (-0.20, -0.02), "side_top": (0.04, 0.26),
        "side_bottom": (0.50, 0.72), "reach": (0.66, 0.82), "under": (0.03, 0.14),
        "standoff": (0.12, 0.24), "strap_width": (0.030, 0.050),
    },
    "bandana": {
        "top": (0.0, 0.7), "cheek": (-0.24, 0.0), "side_top": (-0.20, 0.12),
        "side_bottom": (1.0, 1.0), "reach": (0.98, 1.10), "under": (0.35, 0.75),
        "standoff": (0.03, 0.10), "widening": (0.55, 0.95), "strap_width": (0.0, 0.0),
    },
    "scarf": {
        "top": (0.2, 1.05), "cheek": (-0.12, 0.16), "side_top": (-0.05, 0.30),
        "side_bottom": (1.0, 1.0), "reach": (1.06, 1.32), "under": (0.5, 1.0),
        "standoff": (0.14, 0.26), "widening": (0.95, 1.2), "strap_width": (0.0, 0.0),
    },
}  # fmt: skip
KINDS = tuple(CUTS)
SCARVES = ("bandana", "scarf")
STRAPS = {"surgical": "loops", "cloth": "loops", "n95": "bands"}
ROLL_RAD = 0.04
UNDER_NOSE_SHARE = 0.04  # of masks are worn with the nose out


def cut_of(kind: str | None, random: np.random.Generator) -> Cut:
    """A piece of a kind, or of a random one.

    Raises:
        ValueError: there is no such kind.
    """
    if kind is not None and kind not in CUTS:
        raise ValueError(f"no face mask called {kind!r}; known: {', '.join(KINDS)}")
    chosen = kind or KINDS[int(random.integers(len(KINDS)))]
    drawn = {name: random.uniform(*limits) for name, limits in CUTS[chosen].items()}
    if chosen not in SCARVES and random.random() < UNDER_NOSE_SHARE:
        drawn |= {"top": 1.25, "cheek": 0.2, "side_top": max(drawn["side_top"], 0.12)}
    return Cut(
        kind=chosen,
        straps=STRAPS.get(chosen, "none"),
        roll=float(np.clip(random.normal(0, ROLL_RAD), -0.1, 0.1)),
        **{"widening": 1.0, **drawn},
    )
