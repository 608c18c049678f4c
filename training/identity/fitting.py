"""From looks to likelihood ratios, and the thresholds of the decision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.identity.evidence import EvidenceSettings
from edge.identity.likeness import Weights
from training.identity.looks import Trial, outcome

FloatArray = NDArray[np.float64]
STEPS, RIDGE = 40, 1e-5


def fit_weights(own: FloatArray, other: FloatArray) -> Weights:
    """Logistic regression on (N,2) looks, both classes weighing the same (Newton's method).

    Its argument is then the logarithm of the likelihood ratio; proportions may only speak against
    a person when they differ.
    """
    features = np.concatenate([own, other])
    is_own = np.concatenate([np.ones(len(own)), np.zeros(len(other))])
    weight = np.where(is_own > 0, 0.5 / len(own), 0.5 / len(other))
    x = np.column_stack([features, np.ones(len(features))])
    found = _logistic(x, is_own, weight)
    if found[1] > 0:  # more different, more likely? chance: leave the proportions out
        found = np.insert(_logistic(x[:, [0, 2]], is_own, weight), 1, 0.0)
    product, distance, constant = (float(v) for v in found)
    return Weights(product, -distance, constant)


def _logistic(x: FloatArray, is_own: FloatArray, weight: FloatArray) -> FloatArray:
    found = np.zeros(x.shape[1])
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[-1, -1] = 0.0
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(x @ found).clip(-30, 30)))
        slope = x.T @ (weight * (chance - is_own)) + penalty @ found
        bend = (x * (weight * chance * (1 - chance))[:, None]).T @ x + penalty
        found = found - np.linalg.solve(bend, slope)
    return np.asarray(found, np.float64)


def choose_settings(
    chosen: Sequence[Trial],
    weights: dict[str, Weights],
    most_refused: float,
    candidates: Sequence[EvidenceSettings],
) -> EvidenceSettings:
    """The candidate that flags most others while refusing at most that share of owners.

    Raises:
        ValueError: every candidate refuses more owners.
    """
    covered = [trial for trial in chosen if trial.window == "lower"]
    bare = [trial for trial in chosen if trial.window == "bare"]
    best, most = None, -1.0
    for candidate in candidates:
        refused = max(flagged_share(part, weights, candidate, own=True) for part in (covered, bare))
        if refused > most_refused:
            continue
        flagged = flagged_share(covered, weights, candidate, own=False)
        flagged += 0.5 * flagged_share(bare, weights, candidate, own=False)
        if flagged > most:
            best, most = candidate, flagged
    if best is None:
        raise ValueError("every way of deciding refuses too many owners")
    return best


def flagged_share(
    chosen: Sequence[Trial], weights: dict[str, Weights], settings: EvidenceSettings, *, own: bool
) -> float:
    """Share of the trials of own (or other) persons that are flagged as somebody else.

    Every person in view counts the same, however many clips there are of them.
    """
    by_person: dict[str, list[bool]] = {}
    for trial in chosen:
        if trial.is_own == own:
            is_flagged = outcome(trial, weights, settings).flagged_s is not None
            by_person.setdefault(trial.person, []).append(is_flagged)
    shares = [float(np.mean(flagged)) for flagged in by_person.values()]
    return float(np.mean(shares)) if shares else float("nan")
