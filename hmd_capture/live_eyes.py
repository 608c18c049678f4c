"""Both eyes' real sources as one: the newest of each, and in plain words what is lost."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from hmd_capture.sources.address import EyeInput, open_inputs
from hmd_capture.sources.eye_view import EyeCameraSettings
from streaming.messages import EyeImage
from streaming.records import EyeParameters, Side

LATE_S = 0.5  # silent for so long, a source counts as lost


class LiveEyes:
    """One or two eye cameras, or what stands in for them; each is read on a thread of its own."""

    def __init__(self, wanted: Mapping[Side, EyeCameraSettings]) -> None:
        """Open what the settings name; raises `UserError` for what makes no sense."""
        self._woken = threading.Event()
        self._inputs = open_inputs(wanted, self._woken)

    def take(self, timeout_s: float) -> Sequence[EyeImage | EyeParameters]:
        """Return the newest unseen of each eye, waiting for the first; empty on timeout."""
        self._woken.wait(timeout_s)
        self._woken.clear()  # before taking: what comes meanwhile sets it again
        return [item for one in self._inputs for item in one.take()]

    def troubles(self) -> list[str]:
        """Return one sentence for every source that is lost now."""
        return [trouble for one in self._inputs if (trouble := trouble_of(one))]

    @property
    def rejected(self) -> int:
        """Images and messages that were not usable, over all sources."""
        return sum(
            count
            for one in self._inputs
            for reason, count in one.counts.items()
            if reason not in ("skipped", "other", "lost", "garbage")
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Return what each source rejected, by reason."""
        return {one.name: {key: n for key, n in one.counts.items() if n} for one in self._inputs}

    def close(self) -> None:
        """Let go of all."""
        for one in self._inputs:
            one.close()


def trouble_of(one: EyeInput) -> str:
    """Say in a sentence that a source is lost and what to do; empty while it is well."""
    age_s = one.age_s
    if age_s < LATE_S:
        return ""
    whose = f"{one.sides[0].value} eye camera" if len(one.sides) == 1 else "camera of both eyes"
    why = f" ({one.trouble})" if one.trouble else ""
    state = "is silent since" if one.was_heard else "has given nothing for"
    return f"{whose} {one.name} {state} {age_s:.0f} s{why}; {one.hint}; trying again"
