"""The part `light` of a profile: how the skin was lit and coloured in the views that it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.light.skin import BARE, NAMES, SkinLook, look_at_skin, stops_between
from edge.profile.parts import Part
from models.filling import Reference
from streaming.records import Float32Array

VERSION = 1
EVEN_STOPS = 0.2  # between the cheeks: less is not worth telling
CHEEKS = (NAMES.index("right cheek"), NAMES.index("left cheek"))


@dataclass(frozen=True, eq=False)
class ProfileLight:
    """What `look_at_skin` finds in each view; rows per view, then in the order of `NAMES`."""

    lab: Float32Array  # (V,R,3) typical L* 0..100, a*, b*; NaN where a region is not seen
    spread: Float32Array  # (V,R,3) standard deviations over the region's pixels
    grey: Float32Array  # (V,R) typical grey value, 0..255
    clipped: Float32Array  # (V,) share of the skin that is over-exposed

    @property
    def colour(self) -> Float32Array:
        """(3,) mean over the views of L*, a*, b* of cheeks and forehead."""
        return np.asarray(np.nanmean(self.lab[:, BARE], axis=(0, 1)), np.float32)

    @property
    def colour_spread(self) -> Float32Array:
        """(3,) their standard deviations: between views and regions, and within each."""
        between = np.nanvar(self.lab[:, BARE], axis=(0, 1))
        within = np.nanmean(self.spread[:, BARE] ** 2, axis=(0, 1))
        return np.asarray(np.sqrt(between + within), np.float32)

    @property
    def brightness(self) -> float:
        """Mean over the views of the grey value of cheeks and forehead, 0..255."""
        return float(np.nanmean(self.grey[:, BARE]))

    @property
    def unevenness(self) -> float:
        """Stops by which the right cheek is brighter than the left in the first, frontal view."""
        right, left = (float(self.grey[0, cheek]) for cheek in CHEEKS)
        found = stops_between(right, left)
        return found if np.isfinite(found) else 0.0

    def to_json(self) -> dict[str, Any]:
        """What is told of it, as JSON values."""
        return {
            "lab": _rounded(self.colour),
            "lab_spread": _rounded(self.colour_spread),
            "brightness": round(self.brightness, 1),
            "unevenness_stops": round(self.unevenness, 2),
            "over_exposed": round(float(self.clipped.max()), 4),
            "views": len(self.lab),
        }

    @property
    def words(self) -> str:
        """In one line."""
        (light, red, yellow), spread = self.colour.tolist(), self.colour_spread.tolist()
        skin = f"skin L* {light:.0f} ± {spread[0]:.0f}, a* {red:.0f} ± {spread[1]:.0f}"
        brighter = "right" if self.unevenness > 0 else "left"
        sides = f"{brighter} cheek {abs(self.unevenness):.1f} stops brighter"
        if abs(self.unevenness) < EVEN_STOPS:
            sides = "evenly lit"
        over = f"{float(self.clipped.max()):.1%} over-exposed"
        return f"{skin}, b* {yellow:.0f} ± {spread[2]:.0f}; {sides}; {over}"

    def looks(self) -> list[SkinLook]:
        """View by view."""
        rows = zip(self.lab, self.spread, self.grey, self.clipped, strict=True)
        return [SkinLook(lab, spread, grey, float(share)) for lab, spread, grey, share in rows]

    def to_part(self) -> Part:
        """The part `light` of a profile."""
        arrays = {"lab": self.lab, "spread": self.spread, "grey": self.grey}
        document = {"regions": list(NAMES), **self.to_json()}
        return Part(document, {**arrays, "clipped": self.clipped}, version=VERSION)

    @classmethod
    def from_part(cls, part: Part) -> ProfileLight:
        """Inverse of `to_part`; raises UnknownVersion, KeyError, TypeError or ValueError."""
        part.require_version(VERSION)
        named = (part.arrays[name] for name in ("lab", "spread", "grey", "clipped"))
        lab, spread, grey, clipped = (array.astype(np.float32) for array in named)
        views = len(lab)
        wanted = [(views, len(NAMES), 3)] * 2 + [(views, len(NAMES)), (views,)]
        found = [array.shape for array in (lab, spread, grey, clipped)]
        if part.document["regions"] != list(NAMES) or found != wanted or not views:
            raise ValueError(f"light of {found}")
        is_seen = np.isfinite(grey)
        is_whole = np.isfinite(clipped).all() and np.isfinite([lab[is_seen], spread[is_seen]]).all()
        if not (is_whole and is_seen[:, BARE].any() and (grey[is_seen] >= 0).all()):
            raise ValueError("light that was measured nowhere")
        return cls(lab, spread, grey, clipped)


def light_of_views(views: Sequence[Reference]) -> ProfileLight | None:
    """Measure the views of a profile; None where no cheek or forehead is seen in any of them."""
    looks = [look_at_skin(view.image, view.mesh) for view in views]
    light = ProfileLight(
        np.stack([look.lab for look in looks]),
        np.stack([look.spread for look in looks]),
        np.stack([look.grey for look in looks]),
        np.array([look.clipped for look in looks], np.float32),
    )
    return light if np.isfinite(light.grey[:, BARE]).any() else None


def _rounded(values: Float32Array) -> list[float]:
    return [round(float(value), 2) for value in values]
