from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.ages import AgeStatistics
from streaming.clock import ClockOffset, PublishingClock, frame_time_ns, monotonic_ns

TIMES = st.integers(0, 2**62)
S = 1_000_000_000


@given(TIMES, st.integers(-(2**62), 2**62))
def test_offset_goes_there_and_back(time_ns: int, offset_ns: int) -> None:
    offset = ClockOffset(offset_ns)
    assert offset.sender_from_ours(offset.ours_from_sender(time_ns)) == time_ns


@given(TIMES, st.integers(0, S), st.integers(0, S), st.integers(-(2**61), 2**61))
def test_echo_is_right_within_its_uncertainty(
    asked_ns: int, there_ns: int, back_ns: int, sender_minus_ours_ns: int
) -> None:
    sender_ns = asked_ns + there_ns + sender_minus_ours_ns
    offset = ClockOffset.from_echo(asked_ns, sender_ns, asked_ns + there_ns + back_ns)
    assert abs(offset.offset_ns + sender_minus_ours_ns) <= offset.uncertainty_ns


def test_best_offset_is_that_of_the_quickest_echo() -> None:
    slow, quick = ClockOffset.from_echo(0, 500, 900), ClockOffset.from_echo(0, 100, 10)
    assert ClockOffset.best([slow, quick]) is quick


def test_answer_before_the_question_is_refused() -> None:
    with pytest.raises(ValueError, match="before"):
        ClockOffset.from_echo(10, 5, 9)


def test_frame_times_do_not_drift_over_an_hour_at_29_97_fps() -> None:
    fps = 30000 / 1001
    frames = 30000 * 4
    assert frame_time_ns(7, frames, fps) == 7 + 1001 * 4 * S
    assert frame_time_ns(7, 0, fps) == 7


@pytest.mark.parametrize("fps", [0.0, -25.0, float("nan"), float("inf")])
def test_frame_times_need_a_frame_rate(fps: float) -> None:
    with pytest.raises(ValueError, match="fps"):
        frame_time_ns(0, 1, fps)


def test_publishing_clock_shows_what_it_was_set_to_and_goes_on() -> None:
    clock = PublishingClock()
    time_ns = monotonic_ns()
    assert clock.seconds_at(time_ns) == pytest.approx(time_ns / S, abs=1e-6)
    clock.set_s(100.0)
    shown = clock.now_s()
    assert 100.0 <= shown < 160.0
    later_ns = monotonic_ns() + 5 * S
    assert clock.seconds_at(later_ns) - clock.seconds_at(later_ns - 2 * S) == pytest.approx(2.0)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e13])
def test_publishing_clock_refuses_what_is_no_time(seconds: float) -> None:
    clock = PublishingClock()
    with pytest.raises(ValueError, match="not a time"):
        clock.set_s(seconds)


def test_ages_and_intervals_are_percentiles_in_ms() -> None:
    statistics = AgeStatistics()
    for index in range(101):
        capture_ns = index * 40_000_000
        statistics.add(index, capture_ns, capture_ns + 10_000_000)
    assert statistics.fps == pytest.approx(25.0)
    assert statistics.age_ms(50) == pytest.approx(10.0)
    assert statistics.interval_ms(99) == pytest.approx(40.0)
    assert statistics.summary() == {
        "frames": 101,
        "fps": 25.0,
        "drops": 0,
        "restarts": 0,
        "age_ms": {"p50": 10.0, "p99": 10.0},
        "interval_ms": {"p50": 40.0, "p99": 40.0},
    }


def test_gaps_in_frame_ids_are_drops_and_a_restart_is_none() -> None:
    statistics = AgeStatistics()
    for time_ns, frame_id in enumerate([10, 11, 15, 16, 0, 2]):
        statistics.add(frame_id, 0, time_ns)
    assert statistics.drops == 3 + 1
    assert statistics.restarts == 1


def test_empty_statistics_say_nothing_rather_than_zero_age() -> None:
    statistics = AgeStatistics()
    assert statistics.age_ms(50) is None
    assert statistics.interval_ms(50) is None
    assert statistics.fps == 0.0


def test_memory_of_statistics_is_bounded_while_counts_go_on() -> None:
    statistics = AgeStatistics(window=10)
    for index in range(100):
        statistics.add(index, index, index + (1_000_000 if index < 90 else 2_000_000))
    assert statistics.frames == 100
    assert statistics.age_ms(0) == pytest.approx(2.0)
