"""All that the input preparation remembers of the frames before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.memory.exposure import ExposureMemory
from models.memory.fields import FieldMemory
from models.memory.fill import FillMemory
from models.memory.landmarks import SteadyLandmarks
from models.memory.light import LightMemory

Float32Array = NDArray[np.float32]

SHIFT_PERSISTENCE, TINT_PERSISTENCE = 0.8, 0.7  # chosen on val clips


class SessionMemory:
    """One person's frames, one after the other.

    Attributes:
        landmarks: steadies each frame's mesh, before anything else is made of it.
        exposure: gain between the views and the frames.
        shift: of the registration.
        tint: of the registration.
        light: of what is continued from the hole's rim.
        fill: of what was drawn into the hole, and seen around it.
    """

    def __init__(self, reference_mesh: Float32Array) -> None:
        """Expect the face of `reference_mesh` (478,3) px, of a crop of any size."""
        self.landmarks = SteadyLandmarks(reference_mesh)
        self.shift, self.tint = FieldMemory(SHIFT_PERSISTENCE), FieldMemory(TINT_PERSISTENCE)
        self.exposure, self.light = ExposureMemory(), LightMemory()
        self.fill = FillMemory()

    def reset(self) -> None:
        """Forget earlier frames: the next one is another scene."""
        steady = (self.landmarks, self.exposure, self.shift, self.tint, self.light, self.fill)
        for part in steady:
            part.reset()
