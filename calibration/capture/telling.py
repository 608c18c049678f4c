"""What a person reads at the end of a capture: how good the profile is, and what became of it."""

from __future__ import annotations

from rich.console import Console

from calibration.capture.draft import Draft
from calibration.capture.keeping import Saving
from calibration.gates.gates import ADVICE
from edge.profile import SessionProfile

MOST_PROBLEMS = 2  # that are told, the most frequent first


def console_for_people() -> Console:
    """Standard output, for sentences."""
    return Console(highlight=False, soft_wrap=True)


def tell_result(draft: Draft, console: Console) -> None:
    """Views, the trial's score, and what was missing or wrong."""
    scores = draft.trial
    console.print(f"{len(draft.views)} views: {'; '.join(draft.views)}.")
    console.print(
        f"{scores.words} Tried on {scores.frames} frames under a simulated headset: "
        f"PSNR {scores.psnr_masked_db:.1f} dB inside the mask, SSIM {scores.ssim:.3f}."
    )
    for sentence in draft.take.told:
        console.print(sentence)
    problems = draft.document["problems"]
    for problem in sorted(problems, key=problems.get, reverse=True)[:MOST_PROBLEMS]:
        count = problems[problem]
        console.print(f"{count} of {len(draft.take.problems)} frames: {problem}. {ADVICE[problem]}")


def tell_saved(profile: str, saving: Saving, made: SessionProfile) -> None:
    """What was kept of an older profile, where the new one is, and what to do next."""
    console = console_for_people()
    for sentence in saving.told_of(made):
        console.print(sentence)
    console.print(f"The profile is at {saving.folder}; use it with --profile {profile}.")
    if not saving.kept.has_eyes:
        console.print(
            "With cameras in the headset, put it on and teach them this wearer's eyes: "
            f"`unvisor calibrate-eyes --profile {profile}`."
        )
