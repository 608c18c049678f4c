"""Every profile tried on every person: what single looks say, and what a session would decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.identity.evidence import Evidence, EvidenceSettings, Verdict
from edge.identity.likeness import Look, Weights, evidence_of, look_at
from edge.identity.person_check import FIRST_NS, LATER_NS
from models.identity.reader import FacePrintReader
from training.identity.sessions import EVERY, FRAME_NS, PersonClip, Tracked, as_seen_by

SECONDS = 10.0  # that a session has to decide
OTHERS_EVERY = 3  # of the tracked frames of other persons: 2.8 a second


@dataclass(frozen=True)
class Trial:
    """One profile in front of one clip."""

    profile_of: str  # person
    profile_segment: str
    person: str
    segment: str
    window: str
    step_s: float  # between looks
    looks: tuple[Look | None, ...]  # in time; None: the frame showed too little

    @property
    def is_own(self) -> bool:
        """Whether it is the profile's owner."""
        return self.profile_of == self.person


def trials(
    profiles: Sequence[PersonClip],
    probes: Sequence[PersonClip],
    reader: FacePrintReader,
    *,
    others_per_profile: int | None = None,
    seed: int = 0,
) -> Iterator[Trial]:
    """Own clips frame by frame, other persons' (all, or so many drawn at random) less often."""
    random = np.random.default_rng(seed)
    for profile in profiles:
        own = [clip for clip in probes if clip.person == profile.person]
        others = [clip for clip in probes if clip.person != profile.person]
        if others_per_profile is not None and len(others) > others_per_profile:
            chosen = random.choice(len(others), others_per_profile, replace=False)
            others = [others[i] for i in chosen]
        for clip in (*own, *others):
            for window, frames in (("bare", clip.bare), ("lower", clip.covered)):
                yield _trial(profile, clip, window, frames, reader)


def _trial(
    profile: PersonClip,
    clip: PersonClip,
    window: str,
    frames: Sequence[Tracked],
    reader: FacePrintReader,
) -> Trial:
    if clip.segment == profile.segment:
        frames = frames[profile.profile_frames :]
    every = 1 if clip.person == profile.person else OTHERS_EVERY
    seen = as_seen_by(profile.fit, frames[::every])
    looks = tuple(look_at(image, track, profile.profile, reader) for image, track in seen)
    return Trial(
        profile.person,
        profile.segment,
        clip.person,
        clip.segment,
        window,
        every * EVERY * FRAME_NS / 1e9,
        tuple(look if look is None or look.window == window else None for look in looks),
    )


@dataclass(frozen=True)
class Outcome:
    """What the product would make of one trial."""

    flagged_s: float | None  # when the person is taken for somebody else; None: never
    least_sum: float  # of the evidence meanwhile: other thresholds would decide by it


def outcome(
    trial: Trial, weights: dict[str, Weights], settings: EvidenceSettings, seconds: float = SECONDS
) -> Outcome:
    """Play one trial for so many seconds, looking as often as the product does.

    A clip is shorter than that: its frames are played back and forth, so what one clip never shows
    cannot help.
    """
    looks = trial.looks
    if not looks:
        return Outcome(None, 0.0)
    there_and_back = [*range(len(looks)), *range(len(looks) - 2, 0, -1)]
    evidence = Evidence(settings)
    flagged_s, least = None, 0.0
    now_ns, end_ns = 0, round(seconds * 1e9)
    while now_ns <= end_ns:
        position = round(now_ns / 1e9 / trial.step_s)
        look = looks[there_and_back[position % len(there_and_back)]]
        if look is not None:
            verdict = evidence.add(evidence_of(look, weights), now_ns)
            least = min(least, evidence.sum)
            if verdict is Verdict.SOMEBODY_ELSE and flagged_s is None:
                flagged_s = now_ns / 1e9
        now_ns += LATER_NS if evidence.is_settled else FIRST_NS
    return Outcome(flagged_s, least)


def features(chosen: Sequence[Trial]) -> NDArray[np.float64]:
    """(N,2) product and distance of all looks."""
    rows = [(look.product, look.distance) for t in chosen for look in t.looks if look is not None]
    return np.array(rows, np.float64).reshape(-1, 2)
