"""Headsets that nobody sells: built-in ones drawn from far wider ranges than those on the market.

A network that has seen ten models learns ten outlines; what it shall find is one it never saw.
"""

from __future__ import annotations

import numpy as np

from hmd_capture.headset_style import Colour, HeadsetStyle

# Where cameras may sit on the front, -1..1 in both directions.
CORNERS = ((-0.84, -0.66), (0.84, -0.66), (-0.74, 0.74), (0.74, 0.74))
SPOTS = (*CORNERS, (-0.5, 0.0), (0.5, 0.0), (0.0, -0.55))


def random_style(random: np.random.Generator) -> HeadsetStyle:
    """A style whose every dimension and colour is drawn by itself."""
    body = plastic(random)
    shown = random.random(len(SPOTS)) < random.uniform(0, 0.6)
    return HeadsetStyle(
        name="made up",
        widening=float(random.uniform(1.0, 1.3)),
        half_height=float(random.uniform(0.56, 0.78)),
        front=float(random.uniform(0.6, 1.25)),
        squareness=float(np.exp(random.uniform(np.log(2.2), np.log(9.0)))),
        wrap=float(random.uniform(0.2, 0.6)),
        body=body,
        plate=plastic(random) if random.random() < 0.5 else _alike(body, random),
        foam=_dark(random) if random.random() < 0.7 else plastic(random),
        strap=plastic(random) if random.random() < 0.6 else _alike(body, random),
        gloss=float(random.uniform(0, 0.9)),
        camera_spots=tuple(spot for spot, is_there in zip(SPOTS, shown, strict=True) if is_there),
        has_top_strap=bool(random.random() < 0.6),
    )


def plastic(random: np.random.Generator) -> Colour:
    """Black, white, some grey, or seldom a colour; BGR."""
    kind = random.random()
    if kind < 0.4:
        return _dark(random)
    if kind < 0.9:
        level = random.uniform(170, 240) if kind < 0.65 else random.uniform(60, 180)
        return _tinted(level, 0.05, random)
    return _tinted(random.uniform(60, 200), 0.4, random)


def _dark(random: np.random.Generator) -> Colour:
    return _tinted(random.uniform(12, 60), 0.08, random)


def _alike(colour: Colour, random: np.random.Generator) -> Colour:
    blue, green, red = np.clip(np.array(colour) * random.uniform(0.85, 1.15), 8, 240)
    return float(blue), float(green), float(red)


def _tinted(level: float, spread: float, random: np.random.Generator) -> Colour:
    blue, green, red = np.clip(level * (1 + random.uniform(-spread, spread, 3)), 8, 240)
    return float(blue), float(green), float(red)
