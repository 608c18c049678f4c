"""Evidence for or against the owner of a profile, added up over time: Wald's sequential test.

Looks at one face within seconds resemble each other, so their logarithms of likelihood ratios may
not simply be added: what came earlier fades, each look counts at most so much, and the sum has a
floor and a ceiling. The sum decides when it leaves the band between two thresholds, and holds its
decision until it reaches the other one (Wald 1945; Page 1954 for the bounded sum).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """Whom the looks so far speak for."""

    UNDECIDED = "undecided"
    OWNER = "owner"
    SOMEBODY_ELSE = "somebody else"


@dataclass(frozen=True)
class EvidenceSettings:
    """How evidence is added up; `training.identity.fit_identity` chooses the numbers."""

    fade_s: float  # time constant
    most: float  # that one look may count, either way
    wrong: float  # sum (below 0) from which on it is somebody else
    right: float  # and (above 0) from which on it is the owner
    floor: float  # the sum is kept between these
    ceiling: float


class Evidence:
    """The sum, and what it says."""

    def __init__(self, settings: EvidenceSettings) -> None:
        """Start undecided."""
        self.settings = settings
        self.verdict = Verdict.UNDECIDED
        self.sum = 0.0
        self._time_ns: int | None = None

    @property
    def is_settled(self) -> bool:
        """Whether all speaks for the owner: then looking now and then is enough."""
        return self.verdict is Verdict.OWNER and self.sum >= self.settings.right

    def add(self, ratio: float, time_ns: int) -> Verdict:
        """Count one look (logarithm of a likelihood ratio) at a time; returns the verdict."""
        chosen = self.settings
        passed_s = 0.0 if self._time_ns is None else max(0, time_ns - self._time_ns) / 1e9
        self._time_ns = time_ns
        counted = min(max(ratio, -chosen.most), chosen.most)
        total = self.sum * math.exp(-passed_s / chosen.fade_s) + counted
        self.sum = min(max(total, chosen.floor), chosen.ceiling)
        if self.sum <= chosen.wrong:
            self.verdict = Verdict.SOMEBODY_ELSE
        elif self.sum >= chosen.right:
            self.verdict = Verdict.OWNER
        return self.verdict

    def restart(self) -> None:
        """The face was lost: whoever is found next may be another.

        Somebody else stays somebody else until the looks say otherwise, or hiding the face for a
        moment would bring the profile's face back; an owner has to be seen again.
        """
        self.sum = 0.0
        self._time_ns = None
        if self.verdict is Verdict.OWNER:
            self.verdict = Verdict.UNDECIDED
