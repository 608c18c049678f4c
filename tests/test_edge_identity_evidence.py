"""The sequential decision: noise around an owner's mean never flags, somebody else is flagged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.identity.evidence import Evidence, EvidenceSettings, Verdict
from edge.identity.likeness import fitted

LOOK_NS = 300_000_000
HARD = EvidenceSettings(fade_s=6, most=2, wrong=-12, right=6, floor=-20, ceiling=20)


@pytest.fixture(params=["chosen by hand", "shipped"])
def chosen(request: pytest.FixtureRequest) -> EvidenceSettings:
    return HARD if request.param == "chosen by hand" else fitted().evidence


def decided(evidence: Evidence, ratios: np.ndarray, start_ns: int = 0) -> list[Verdict]:
    return [evidence.add(float(r), start_ns + k * LOOK_NS) for k, r in enumerate(ratios)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), mean=st.floats(1.0, 4.0), noise=st.floats(0.0, 1.5))
def test_an_owner_is_never_flagged_by_noise_around_a_good_mean(
    seed: int, mean: float, noise: float
) -> None:
    ratios = np.random.default_rng(seed).normal(mean, noise, 400)
    for chosen in (HARD, fitted().evidence):
        verdicts = decided(Evidence(chosen), ratios)
        assert Verdict.SOMEBODY_ELSE not in verdicts
        assert verdicts[-1] is Verdict.OWNER


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.0, 1.5))
def test_somebody_else_is_flagged_within_ten_seconds(seed: int, noise: float) -> None:
    ratios = np.random.default_rng(seed).normal(-4.0, noise, 34)
    for chosen in (HARD, fitted().evidence):
        assert decided(Evidence(chosen), ratios)[-1] is Verdict.SOMEBODY_ELSE


def test_one_bad_look_decides_nothing(chosen: EvidenceSettings) -> None:
    evidence = Evidence(chosen)
    assert decided(evidence, np.array([-1000.0])) == [Verdict.UNDECIDED]
    assert evidence.sum >= -chosen.most


def test_the_owner_who_takes_over_is_recognised_after_seconds_of_good_looks(
    chosen: EvidenceSettings,
) -> None:
    evidence = Evidence(chosen)
    assert decided(evidence, np.full(60, -9.0))[-1] is Verdict.SOMEBODY_ELSE
    back = decided(evidence, np.full(100, 9.0), 60 * LOOK_NS)
    assert back[0] is Verdict.SOMEBODY_ELSE
    assert back[-1] is Verdict.OWNER
    assert back.index(Verdict.OWNER) * LOOK_NS > 1e9


def test_hiding_the_face_for_a_moment_does_not_clear_somebody_else(
    chosen: EvidenceSettings,
) -> None:
    evidence = Evidence(chosen)
    decided(evidence, np.full(60, -9.0))
    evidence.restart()
    assert evidence.sum == 0
    assert evidence.verdict is Verdict.SOMEBODY_ELSE


def test_an_owner_who_was_away_has_to_be_seen_again(chosen: EvidenceSettings) -> None:
    evidence = Evidence(chosen)
    decided(evidence, np.full(60, 9.0))
    assert evidence.is_settled
    evidence.restart()
    assert evidence.verdict is Verdict.UNDECIDED
    assert not evidence.is_settled


def test_old_evidence_fades() -> None:
    evidence = Evidence(HARD)
    decided(evidence, np.full(5, 2.0))
    before = evidence.sum
    evidence.add(0.0, 5 * LOOK_NS + 12_000_000_000)
    assert evidence.sum < 0.2 * before
