"""Figures and a plot of how well persons are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.identity.likeness import Fitted, evidence_of
from training.identity.fitting import flagged_share
from training.identity.looks import Outcome, Trial, outcome

FloatArray = NDArray[np.float64]
REFUSED_MARKS = (0.0, 0.01, 0.05)  # shares of own looks refused at which others are counted


def scores(chosen: Sequence[Trial], counted: Fitted) -> dict[str, Any]:
    """Figures of the trials of one window: single looks, and the decision over ten seconds."""
    own = [trial for trial in chosen if trial.is_own]
    other = [trial for trial in chosen if not trial.is_own]
    own_looks, other_looks = ratios(own, counted), ratios(other, counted)
    decided_own, decided_other = outcomes(own, counted), outcomes(other, counted)
    times = [o.flagged_s for o in decided_other if o.flagged_s is not None]
    return {
        "own_trials": len(own),
        "own_persons": len({trial.person for trial in own}),
        "other_trials": len(other),
        "looks_left_out": _share([look is None for trial in chosen for look in trial.looks]),
        "look": {
            "area_under_roc": area(own_looks, other_looks),
            "others_flagged_at_own_refused": {
                f"{mark:.2f}": flagged_at(own_looks, other_looks, mark) for mark in REFUSED_MARKS
            },
        },
        "decision": {
            "own_refused": flagged_share(own, counted.windows, counted.evidence, own=True),
            "own_refused_trials": sum(o.flagged_s is not None for o in decided_own),
            "others_flagged": _share([o.flagged_s is not None for o in decided_other]),
            "others_flagged_after_s": float(np.median(times)) if times else None,
            "area_under_roc": area(*_sums(decided_own, decided_other)),
        },
    }


def roc_of(chosen: Sequence[Trial], counted: Fitted, *, decided: bool) -> tuple[FloatArray, ...]:
    """(own refused, others flagged), both falling thresholds, of looks or of decisions."""
    own = [trial for trial in chosen if trial.is_own]
    other = [trial for trial in chosen if not trial.is_own]
    if decided:
        return _curve(*_sums(outcomes(own, counted), outcomes(other, counted)))
    return _curve(ratios(own, counted), ratios(other, counted))


def ratios(chosen: Sequence[Trial], counted: Fitted) -> FloatArray:
    """(N,) logarithms of likelihood ratios of all looks."""
    found = [evidence_of(k, counted.windows) for t in chosen for k in t.looks if k is not None]
    return np.array(found, np.float64)


def outcomes(chosen: Sequence[Trial], counted: Fitted) -> list[Outcome]:
    """What the product makes of each trial."""
    return [outcome(trial, counted.windows, counted.evidence) for trial in chosen]


def area(own: FloatArray, other: FloatArray) -> float:
    """Chance that one of `own` is larger than one of `other`; ties count half."""
    if not len(own) or not len(other):
        return float("nan")
    ranked = np.sort(other)
    below = np.searchsorted(ranked, own, "left") + np.searchsorted(ranked, own, "right")
    return float(below.mean() / 2 / len(other))


def flagged_at(own: FloatArray, other: FloatArray, refused: float) -> float:
    """Share of `other` below the threshold that refuses at most the share `refused` of `own`."""
    if not len(own) or not len(other):
        return float("nan")
    threshold = np.sort(own)[int(refused * len(own))]
    return float((other < threshold).mean())


def plot(curves: dict[str, tuple[FloatArray, ...]], path: Path, title: str) -> None:
    """Draw ROC curves by name: own refused (logarithmic) against others flagged."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 5.0), layout="constrained")
    for name, (refused, flagged) in curves.items():
        style = "-" if "decision" in name else "--"
        axes.step(100 * np.maximum(refused, 1e-4), 100 * flagged, style, where="post", label=name)
    axes.set_xscale("log")
    axes.set_xlim(0.05, 100)
    axes.set_ylim(0, 102)
    axes.axvline(1, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel("owners refused, %")
    axes.set_ylabel("other persons flagged, %")
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _curve(own: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    thresholds = np.concatenate([[-np.inf], np.unique(np.concatenate([own, other])), [np.inf]])
    refused = np.searchsorted(np.sort(own), thresholds, "left") / max(len(own), 1)
    flagged = np.searchsorted(np.sort(other), thresholds, "left") / max(len(other), 1)
    return refused, flagged


def _sums(own: Sequence[Outcome], other: Sequence[Outcome]) -> tuple[FloatArray, FloatArray]:
    return np.array([o.least_sum for o in own]), np.array([o.least_sum for o in other])


def _share(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")
