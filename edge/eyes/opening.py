"""Everything between the eye cameras' program and the pipeline, opened from the settings."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from edge.eyes.arrivals import TOPICS, EyeArrivals
from edge.eyes.fusion import EyeFusion
from edge.eyes.renewal import EyeRenewal, IsWrong, open_renewal
from edge.profile import SessionProfile
from edge.settings import SessionSettings
from streaming.clock_follower import ClockFollower
from streaming.security.keys import load_client
from streaming.subscriber import Subscriber


def open_eyes(
    stack: ExitStack,
    settings: SessionSettings,
    profile: SessionProfile,
    passphrase: str | None,
    is_wrong_person: IsWrong,
) -> tuple[EyeFusion, EyeRenewal, EyeArrivals]:
    """The fusion, what calibrates it anew, and what feeds it; `stack` closes them.

    Nothing is calibrated while `is_wrong_person`.

    Raises:
        UserError: an address or key cannot be used.
    """
    hmd = settings.hmd_capture
    keys = load_client(Path(hmd.key)) if hmd.key else None
    offset = stack.enter_context(ClockFollower(hmd.clock, keys)).offset if hmd.clock else None
    eyes = EyeFusion(profile.eyes, round(settings.edge.max_eye_age_ms * 1e6), offset)
    subscriber = stack.enter_context(Subscriber(hmd.publisher, TOPICS, keys))
    renewal = stack.enter_context(
        open_renewal(eyes, settings, passphrase, is_wrong_person, profile.made)
    )
    arrivals = stack.enter_context(EyeArrivals(subscriber, renewal.observe))
    return eyes, renewal, arrivals
