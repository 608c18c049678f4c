"""Eyes as an eye camera sees them, for tests."""

from __future__ import annotations

import numpy as np

from streaming.records import EyeObservation, Float32Array, Side


def lids(gap: float, width: float = 100.0, turn_rad: float = 0.0) -> Float32Array:
    """Lids whose middle is open by `gap` of the eye's width."""
    x = np.linspace(-width / 2, width / 2, 9)
    half = gap * width / 2 * np.array([0, 0.5, 1, 1, 1, 1, 1, 0.5, 0])
    both = np.stack([np.stack([x, -half], axis=1), np.stack([x, half], axis=1)])
    turn = np.array([[np.cos(turn_rad), -np.sin(turn_rad)], [np.sin(turn_rad), np.cos(turn_rad)]])
    return (both @ turn.T + [64, 48]).astype(np.float32)


def seen(
    side: Side, time_ns: int, gap: float, pupil_x: float = 64.0, confidence: float = 1.0
) -> EyeObservation:
    pupil = np.array([pupil_x, 48, 10, 10, 0], np.float32)
    return EyeObservation(side, time_ns, lids(gap), pupil, pupil * 2, 0.0, confidence)
