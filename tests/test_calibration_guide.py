"""The guide: steps are waited for, seen, skipped and told; prompts are heard without a camera."""

from __future__ import annotations

import io
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from calibration.guide import prompters
from calibration.guide.face_steps import NeutralFace, face_steps
from calibration.guide.prompters import (
    Chorus,
    SpokenPrompter,
    SteadyAdvice,
    TerminalPrompter,
    find_speaker,
)
from calibration.guide.steps import Guide, Step

MeshMaker = Callable[..., NDArray[np.float32]]
SMILE = 1.2
TICK_S = 0.125  # exact in binary


def number_step(key: str, number: float, **changes: Any) -> Step[float]:
    return Step(
        key, f"Show {key}.", lambda shown: shown == number, **{"hold_s": 2 * TICK_S, **changes}
    )


def follow(guide: Guide[float], shown: list[float | None], begin_s: float = 0.0) -> float:
    """Show a value per tick; returns the time after it."""
    for index, value in enumerate(shown):
        guide.follow(begin_s + index * TICK_S, value)
    return begin_s + len(shown) * TICK_S


def test_a_step_is_seen_once_it_was_held() -> None:
    guide = Guide([number_step("one", 1), number_step("two", 2)])
    follow(guide, [0, 1, 1])
    assert [each.key for each in guide.outcomes] == []
    assert guide.held == pytest.approx(0.5)
    (seen,) = guide.follow(3 * TICK_S, 1)
    assert (seen.key, seen.is_seen, seen.began_s, seen.ended_s) == ("one", True, 0, 3 * TICK_S)
    assert guide.current is not None
    assert guide.current.key == "two"


@pytest.mark.parametrize("gap", [0, None])
def test_what_is_interrupted_has_to_be_held_again(gap: float | None) -> None:
    guide = Guide([number_step("one", 1)])
    follow(guide, [1, 1, gap, 1, 1])
    assert not guide.outcomes
    guide.follow(5 * TICK_S, 1)
    assert guide.is_over


def test_while_the_camera_is_lost_no_patience_is_used_up_and_nothing_is_held() -> None:
    guide = Guide([number_step("one", 1, patience_s=2.0)])
    end_s = follow(guide, [0, 1])
    for minute in (1, 2):  # longer than the patience with frames that cannot be judged, too
        back_s = end_s + 60.0 * minute
        assert guide.follow(back_s, 1) == ()
        assert guide.held == 0.0
    guide.follow(back_s + TICK_S, 1)
    (seen,) = guide.follow(back_s + 2 * TICK_S, 1)
    assert seen.is_seen


def test_steps_come_in_order_and_a_later_one_is_not_taken_for_an_earlier() -> None:
    guide = Guide([number_step("one", 1), number_step("two", 2)])
    follow(guide, [2] * 5 + [1] * 3)
    assert [each.key for each in guide.outcomes] == ["one"]


def test_a_step_that_is_never_seen_is_skipped_and_told() -> None:
    guide = Guide([number_step("one", 1, patience_s=1.0, without="No one."), number_step("two", 2)])
    follow(guide, [0] * 9 + [2] * 3)
    assert [(each.key, each.is_seen) for each in guide.outcomes] == [("one", False), ("two", True)]
    assert [step.without for step in guide.missing] == ["No one."]
    assert guide.is_over
    assert not guide.has_failed


def test_frames_that_cannot_be_judged_do_not_use_the_patience_up_at_once() -> None:
    guide = Guide([number_step("one", 1, patience_s=1.0)])
    end_s = follow(guide, [None] * 24)
    assert not guide.outcomes
    follow(guide, [None], end_s)
    assert [each.is_seen for each in guide.outcomes] == [False]


def test_a_required_step_that_is_not_seen_fails_the_guide() -> None:
    guide = Guide([number_step("one", 1, patience_s=0.5, is_required=True), number_step("two", 2)])
    end_s = follow(guide, [0] * 8)
    assert guide.has_failed
    assert guide.is_over
    assert guide.follow(end_s, 2) == ()


def test_in_any_order_whatever_was_shown_counts_and_nothing_is_skipped_before_the_end() -> None:
    guide = Guide([number_step(key, n) for n, key in enumerate("abc")], in_any_order=True)
    follow(guide, [2, 2, 2, 0, 0, 0] + [9] * 400)
    assert {each.key for each in guide.outcomes} == {"a", "c"}
    guide.finish()
    assert [step.key for step in guide.missing] == ["b"]


def test_the_person_may_skip_a_step() -> None:
    guide = Guide([number_step("one", 1), number_step("two", 2)])
    guide.follow(0.0, 0)
    guide.skip()
    assert guide.current is not None
    assert guide.current.key == "two"
    assert not guide.outcomes[0].is_seen


@pytest.mark.parametrize("keys", [[], ["a", "a"]])
def test_a_guide_without_different_steps_is_refused(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="different keys"):
        Guide([number_step(key, 1) for key in keys])


def a_performance(posed_mesh: MeshMaker) -> list[NDArray[np.float32]]:
    """Somebody who does what is asked, a second each, at 10 frames a second."""
    wide = posed_mesh()
    centre = (wide[61] + wide[291]) / 2
    wide[[61, 291]] = centre + SMILE * (wide[[61, 291]] - centre)
    acts = [
        posed_mesh(),
        posed_mesh(yaw_deg=20),
        posed_mesh(yaw_deg=-20),
        posed_mesh(pitch_deg=-12),
        posed_mesh(pitch_deg=12),
        posed_mesh(closed=0.9),
        posed_mesh(closed=0.9),
        wide,
    ]
    return [mesh for act in acts for mesh in [act] * 12]


def test_a_person_who_does_what_is_asked_is_through_in_ten_seconds(posed_mesh: MeshMaker) -> None:
    meshes = a_performance(posed_mesh)
    neutral = NeutralFace.of(meshes)
    assert neutral is not None
    guide = Guide(face_steps())
    for index, mesh in enumerate(meshes):
        guide.follow(index / 10, neutral.measure(mesh))
    assert [each.key for each in guide.outcomes if each.is_seen] == [s.key for s in face_steps()]
    assert guide.outcomes[-1].ended_s < 10


def test_a_still_frontal_face_is_straight_and_nothing_else(posed_mesh: MeshMaker) -> None:
    neutral = NeutralFace.of([posed_mesh(pitch_deg=6)] * 3)
    assert neutral is not None
    measure = neutral.measure(posed_mesh(pitch_deg=6))
    assert [step.key for step in face_steps() if step.is_seen(measure)] == ["straight"]


def test_who_never_faces_the_camera_has_no_neutral_face(posed_mesh: MeshMaker) -> None:
    assert NeutralFace.of([posed_mesh(yaw_deg=40)]) is None
    assert NeutralFace.of(np.full((2, 478, 3), np.nan, np.float32)) is None


class Heard:
    """A prompter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def ask(self, step: Step[Any], number: int, count: int) -> None:
        self.lines.append(f"{number}/{count} {step.instruction}")

    def advise(self, sentence: str) -> None:
        self.lines.append(f"advice: {sentence}")

    def tell(self, sentence: str) -> None:
        self.lines.append(sentence)

    def close(self) -> None:
        self.lines.append("closed")


def test_advice_that_flickers_is_kept_back() -> None:
    heard = Heard()
    advice = SteadyAdvice(heard, after_s=0.5)
    for index in range(20):
        advice.update(index / 10, "Hold still." if index % 2 else "")
    assert heard.lines == []
    for index in range(20, 30):
        told = advice.update(index / 10, "Hold still.")
    assert told == "Hold still."
    for index in range(30, 40):
        told = advice.update(index / 10, "")
    assert told == ""
    assert heard.lines == ["advice: Hold still.", "advice: "]


def test_the_terminal_and_others_say_the_same() -> None:
    written, heard = io.StringIO(), Heard()
    both = Chorus([TerminalPrompter(Console(file=written, width=100)), heard])
    both.ask(number_step("one", 1), 2, 5)
    both.advise("Come closer.")
    both.tell("Done.")
    both.close()
    assert heard.lines == ["2/5 Show one.", "advice: Come closer.", "Done.", "closed"]
    for words in ("2/5 Show one.", "Come closer.", "Done."):
        assert words in written.getvalue()


def a_voice(folder: Path, seconds: float = 0.0) -> Path:
    """A program that writes what it was to say."""
    script = folder / "voice"
    script.write_text(f'#!/bin/sh\necho "$1" >> {folder}/spoken\nsleep {seconds}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def test_a_voice_speaks_what_is_asked(tmp_path: Path) -> None:
    speaker = SpokenPrompter([str(a_voice(tmp_path))])
    speaker.ask(number_step("one", 1), 1, 1)
    speaker.close()
    assert (tmp_path / "spoken").read_text() == "Show one.\n"


def test_a_newer_sentence_cuts_the_voice_short(tmp_path: Path) -> None:
    speaker = SpokenPrompter([str(a_voice(tmp_path, 30))])
    began = time.monotonic()
    speaker.tell("first")
    while not (tmp_path / "spoken").exists():
        time.sleep(0.01)
    speaker._command = (str(a_voice(tmp_path)),)
    speaker.tell("second")
    speaker.close()
    assert (tmp_path / "spoken").read_text() == "first\nsecond\n"
    assert time.monotonic() - began < 20


def test_without_a_voice_nothing_breaks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prompters.shutil, "which", lambda name: None)
    assert find_speaker() is None
    speaker = SpokenPrompter(["/no/such/voice"])
    speaker.tell("hello")
    speaker.close()
    assert "does not speak" in caplog.text
