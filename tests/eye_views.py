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


# A right eye, corner to corner in eye widths: highest near the nose, lowest near the temple.
UPPER = np.array([0.0, -0.05, -0.10, -0.16, -0.21, -0.21, -0.16, -0.07, 0.0])
LOWER = np.array([0.0, 0.06, 0.09, 0.12, 0.13, 0.10, 0.05, 0.02, 0.0])
CLOSED = 0.05


class Wearer:
    """One eye before one camera: `affine` (2,3) px puts the eye's own coordinates in the image."""

    def __init__(self, side: Side, affine: np.ndarray, noise_px: float = 0.2) -> None:
        self.side, self.affine, self.noise_px = side, affine, noise_px
        self.random = np.random.default_rng(side.eye_index)

    def seen(
        self, time_ns: int, openness: float, yaw: float, pitch: float, said: Side | None = None
    ) -> EyeObservation:
        """What the camera, which says it is that of `said`, sees; angles in rad."""
        x = np.linspace(-0.5, 0.5, 9)
        upper, lower = CLOSED + (UPPER - CLOSED) * openness, CLOSED + (LOWER - CLOSED) * openness
        upper[[0, -1]] = lower[[0, -1]] = 0
        if self.side is Side.LEFT:
            upper, lower = upper[::-1], lower[::-1]
        both = np.stack([np.stack([x, upper], 1), np.stack([x, lower], 1)])
        pupil = np.array([np.sin(yaw) / 2.5, -np.sin(pitch) / 2.5])
        px = self._placed(both)
        if px[0, 0, 0] > px[0, -1, 0]:
            px = px[:, ::-1]  # told from the image's left to its right
        centre = self._placed(pupil)
        ellipse = np.array([*centre, 12, 12, 0], np.float32)
        blink = float(np.clip(1 - openness, 0.05, 0.95))
        return EyeObservation(
            said or self.side, time_ns, px.astype(np.float32), ellipse, ellipse * 2, blink, 0.9
        )

    def _placed(self, points: np.ndarray) -> np.ndarray:
        placed = points @ self.affine[:, :2].T + self.affine[:, 2]
        return np.asarray(placed + self.random.normal(0, self.noise_px, placed.shape))


def camera(
    turn_deg: float = 0.0, squeeze: float = 1.0, shear: float = 0.0, mirrored: bool = False
) -> np.ndarray:
    """Where an eye camera sits: turned, looking from the side (squeezed, sheared), mirrored."""
    turn = np.radians(turn_deg)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    look = np.array([[-squeeze if mirrored else squeeze, shear], [0.0, 1.0]])
    return np.column_stack([rotate @ look * 80, [64, 48]])


def doing(key: str, age_s: float) -> tuple[float, float, float]:
    """Openness, yaw and pitch (rad) of somebody who follows a phase of the routine."""
    gaze = {"left": (30, 0), "right": (-30, 0), "up": (0, 20), "down": (0, -20)}
    yaw, pitch = np.radians(gaze.get(key, (0, 0)))
    if key == "closed":
        return 0.0, 0.0, 0.0
    if key == "blink":
        return (0.0 if 0.5 < age_s % 1.0 < 0.62 else 1.0), 0.0, 0.0
    return 1.0, float(yaw), float(pitch)
