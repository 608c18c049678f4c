"""The steps of a bare face before a camera: turned, nodded, eyes closed, smiling.

Everything is relative to the person's own neutral face: foreheads, lids and mouths differ more
between people (level heads measure -8 to 20° of pitch over the training clips, open eyes .18 to .41
of their width) than a step asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.guide.steps import Step
from edge.eyes.measures import mesh_apertures
from hmd_capture.head_pose import head_pose
from streaming.records import Float32Array

MOUTH_CORNERS = (61, 291)
LEVEL_DEG = 8.0  # as straight as people look when asked to
TURN_DEG, NOD_DEG = 12.0, 7.0
FACING_DEG = 10.0  # before the neutral face is known: turned less than that
CLOSED, OPEN = 0.55, 0.75  # openness, shares of the neutral face's
SMILE = 1.10  # width of the mouth; talking reaches that now and then, so it has to be held
OPEN_QUANTILE = 0.9  # a neutral face blinks too

EYES_CLOSED = "eyes closed"
TURNED_AWAY = "turned away"


@dataclass(frozen=True)
class FaceMeasure:
    """One face, relative to its neutral self."""

    yaw_deg: float  # turned to the wearer's left
    pitch_deg: float  # nodded down
    openness: tuple[float, float]  # right, left; 1 = as in the neutral face
    smile: float  # width of the mouth; 1 = as in the neutral face


@dataclass(frozen=True)
class NeutralFace:
    """What a person looks like when they look straight ahead."""

    pitch_deg: float
    apertures: tuple[float, float]  # right, left: lid gap per eye width
    mouth: float  # width per distance of the outer eye corners

    @classmethod
    def of(cls, meshes: Sequence[Float32Array] | Float32Array) -> NeutralFace | None:
        """From meshes (T,478,3) px of a while, of which the frontal ones count.

        None where no mesh is frontal. NaN rows are left out.
        """
        found = [mesh for mesh in meshes if np.isfinite(mesh).all()]
        frontal = [mesh for mesh in found if abs(head_pose(mesh).yaw_deg) < FACING_DEG]
        if not frontal:
            return None
        gaps = np.array([mesh_apertures(mesh) for mesh in frontal])
        right, left = (float(v) for v in np.quantile(gaps, OPEN_QUANTILE, axis=0))
        pitch_deg = float(np.median([head_pose(mesh).pitch_deg for mesh in frontal]))
        return cls(pitch_deg, (right, left), float(np.median([_mouth(m) for m in frontal])))

    def measure(self, mesh: Float32Array) -> FaceMeasure:
        """One mesh (478,3) px, relative to this face."""
        pose = head_pose(mesh)
        right, left = (
            gap / max(usual, 1e-3)
            for gap, usual in zip(mesh_apertures(mesh), self.apertures, strict=True)
        )
        smile = _mouth(mesh) / max(self.mouth, 1e-3)
        return FaceMeasure(pose.yaw_deg, pose.pitch_deg - self.pitch_deg, (right, left), smile)


def face_steps() -> tuple[Step[FaceMeasure], ...]:
    """What a reference capture asks for, in order; 3.2 s of holding still in all."""
    turned = frozenset({TURNED_AWAY})
    closed = frozenset({EYES_CLOSED})
    return (
        Step(
            *("straight", "Look straight into the camera.", is_straight),
            hold_s=1.0,
            patience_s=10.0,
            is_required=True,
        ),
        Step(
            *("left", "Turn your head a little to your left.", lambda m: m.yaw_deg > TURN_DEG),
            without="Your face from the right is not kept, as you did not turn to the left.",
            tolerates=turned,
        ),
        Step(
            *("right", "Turn your head a little to your right.", lambda m: m.yaw_deg < -TURN_DEG),
            without="Your face from the left is not kept, as you did not turn to the right.",
            tolerates=turned,
        ),
        Step(
            *("up", "Lift your chin a little.", lambda m: m.pitch_deg < -NOD_DEG),
            without="Your face from below is not kept, as you did not lift your chin.",
        ),
        Step(
            *("down", "Lower your chin a little.", lambda m: m.pitch_deg > NOD_DEG),
            without="Your face from above is not kept, as you did not lower your chin.",
            tolerates=closed,  # lids follow a look downwards
        ),
        Step(
            *("blink", "Look straight again, and blink.", lambda m: max(m.openness) < CLOSED),
            hold_s=0.0,
            without="No blink was seen, so how far your eyes close is guessed.",
            tolerates=closed,
        ),
        Step(
            *("closed", "Close your eyes, count to two, and open them.", _is_closed),
            hold_s=0.6,
            without="Your closed eyes are not kept, so blinks will be drawn from open ones.",
            tolerates=closed,
        ),
        Step(
            *("smile", "Smile.", lambda m: m.smile > SMILE),
            hold_s=0.4,
            without="Your smile is not kept.",
            tolerates=closed,  # a smile narrows the eyes
        ),
    )


def is_straight(measure: FaceMeasure) -> bool:
    """Whether the face looks straight ahead with open eyes."""
    is_level = abs(measure.yaw_deg) < LEVEL_DEG and abs(measure.pitch_deg) < LEVEL_DEG
    return is_level and min(measure.openness) > OPEN


def _is_closed(measure: FaceMeasure) -> bool:
    return max(measure.openness) < CLOSED and abs(measure.yaw_deg) < TURN_DEG


def _mouth(mesh: Float32Array) -> float:
    right, left = (mesh[index] for index in MOUTH_CORNERS)
    return float(np.linalg.norm(left - right)) / head_pose(mesh).span_px
