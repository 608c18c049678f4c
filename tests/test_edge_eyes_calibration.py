from __future__ import annotations

import json

import numpy as np
import pytest
from eye_views import Wearer, camera, doing

from edge.eyes.fusion import EyeFusion
from edge.eyes.routine import PHASES, ROUTINE_S, EyeRoutine
from edge.eyes.verdict import EyesVerdict, judged
from edge.profile import EyeCalibration
from streaming.errors import UserError
from streaming.records import Side

RATE = 60
PLACES = {
    "straight": camera(),
    "turned": camera(turn_deg=25),
    "from the side": camera(turn_deg=-15, squeeze=0.7, shear=0.15),
    "mirrored": camera(mirrored=True),
}


def followed(place: np.ndarray, is_swapped: bool = False, **habits: object) -> EyeRoutine:
    """A routine that both eyes went through; `habits` override what is done in a phase."""
    routine = EyeRoutine(0.0)
    for side in Side:
        wearer = Wearer(side, place)
        other = Side.LEFT if side is Side.RIGHT else Side.RIGHT
        started_s = 0.0
        for phase in PHASES:
            key = str(habits.get(phase.key, phase.key))
            for index in range(round(phase.seconds * RATE)):
                time_s = started_s + index / RATE
                does = doing(key if index / RATE > 0.4 else "ahead", index / RATE)
                seen = wearer.seen(round(time_s * 1e9), *does, said=other if is_swapped else side)
                routine.observe(seen, time_s)
            started_s += phase.seconds
    return routine


@pytest.fixture(scope="module", params=list(PLACES))
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def verdict(place: str) -> EyesVerdict:
    return judged(followed(PLACES[place]).evidence)


def test_the_routine_takes_fifteen_seconds() -> None:
    assert ROUTINE_S == 15.0
    routine = EyeRoutine(100.0)
    keys = [phase.key for phase in PHASES]
    assert keys == ["ahead", "left", "right", "up", "down", "closed", "blink"]
    assert routine.phase_at(100.1) == PHASES[0]
    assert routine.phase_at(115.1) is None


@pytest.mark.parametrize("gaze_deg", [(0, 0), (20, 0), (-15, 10), (0, -15), (25, 12)])
def test_gaze_is_right_wherever_the_camera_sits(
    place: str, verdict: EyesVerdict, gaze_deg: tuple[float, float]
) -> None:
    fusion = EyeFusion(verdict.calibration, 10**8)
    wearers = [Wearer(side, PLACES[place], noise_px=0.0) for side in Side]
    for index in range(30):
        time_ns = index * 16_000_000
        for wearer in wearers:
            fusion.observe(wearer.seen(time_ns, 1.0, *np.radians(gaze_deg)))
    for eye in fusion.at(time_ns):
        assert np.degrees(eye.gaze) == pytest.approx(gaze_deg, abs=2.5)


@pytest.mark.parametrize("openness", [0.0, 0.3, 0.7, 1.0])
def test_openness_and_lids_are_right_wherever_the_camera_sits(
    place: str, verdict: EyesVerdict, openness: float
) -> None:
    fusion = EyeFusion(verdict.calibration, 10**8)
    wearers = [Wearer(side, PLACES[place], noise_px=0.0) for side in Side]
    for index in range(60):
        time_ns = index * 16_000_000
        for wearer in wearers:
            fusion.observe(wearer.seen(time_ns, openness, 0.0, 0.0))
    for eye in fusion.at(time_ns):
        assert eye.openness == pytest.approx(openness, abs=0.08)
        assert eye.closing is not None
        assert eye.closing[:, 2:7] == pytest.approx(np.full((2, 5), 1 - openness), abs=0.15)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_swapped_cameras_are_noticed_and_told(place: str, is_swapped: bool) -> None:
    found = judged(followed(PLACES[place], is_swapped).evidence)
    assert found.is_swapped is is_swapped
    assert [eye.is_swapped for eye in found.calibration] == [is_swapped] * 2
    assert ("swapped" in " ".join(found.words)) is is_swapped


def test_the_range_is_that_of_robust_percentiles() -> None:
    routine = followed(PLACES["straight"])
    wearer = Wearer(Side.RIGHT, PLACES["straight"])
    for index in range(8):  # a few readings gone wild
        routine.observe(wearer.seen(index, 3.0, 0.0, 0.0), 1.0)
    right = judged(routine.evidence).calibration[0]
    assert right.open == pytest.approx(0.27, abs=0.03)
    assert right.closed == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize(
    ("habits", "complaint"),
    [
        ({"closed": "ahead", "blink": "ahead"}, "was not seen closed"),
        ({"left": "ahead", "right": "ahead"}, "was not seen looking around"),
        ({"up": "left", "down": "right"}, "was not seen looking around"),
        ({"left": "ahead"}, "was not seen looking around"),
        ({"down": "up"}, "was not seen looking around"),
    ],
)
def test_what_was_not_done_is_told(habits: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        judged(followed(PLACES["straight"], **habits).evidence)
    assert caught.value.next_step


def test_an_eye_that_was_not_seen_is_named() -> None:
    routine = followed(PLACES["straight"])
    routine.evidence[Side.LEFT].observations.clear()
    with pytest.raises(UserError, match="The left eye was not seen"):
        judged(routine.evidence)
    with pytest.raises(UserError, match="Neither eye was seen"):
        judged(EyeRoutine(0.0).evidence)


def test_images_without_an_eye_do_not_count() -> None:
    routine = EyeRoutine(0.0)
    blind = Wearer(Side.RIGHT, PLACES["straight"]).seen(0, 1.0, 0.0, 0.0)
    object.__setattr__(blind, "confidence", 0.1)
    routine.observe(blind, 0.5)
    assert not routine.evidence[Side.RIGHT].observations
    assert routine.unsure == 1


def test_a_calibration_comes_back_from_its_json(verdict: EyesVerdict) -> None:
    for eye in verdict.calibration:
        assert EyeCalibration.from_json(json.loads(json.dumps(eye.to_json()))) == eye


def test_calibrations_of_version_1_are_read() -> None:
    old = {"closed": 0.07, "open": 0.3, "rest": [0.01, -0.02]}
    for document in (old, {"version": 1, **old}):
        eye = EyeCalibration.from_json(document)
        assert (eye.closed, eye.open, eye.rest) == (0.07, 0.3, (0.01, -0.02))
        assert eye.sines_from_way == EyeCalibration().sines_from_way


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"open_lids": [0.0] * 5},
        {"rest": [float("nan"), 0.0]},
        {"sines_from_way": [1.0]},
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="eye calibration"):
        EyeCalibration.from_json({**EyeCalibration().to_json(), **change})
