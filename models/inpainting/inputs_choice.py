"""What of a prepared frame an inpainting network is shown: one record for training and use.

Our network sees the reference warped, registered and blended. Published designs see it as it lies,
inside the hole only, or not at all; ablations go without landmarks. Nothing is prepared anew for
them: channels of the common input are replaced or zeroed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models import preparation
from models.contract import CONTOURS, MASK, REFERENCE_RGB
from models.preparation import Prepared

Float32Array = NDArray[np.float32]
ReferenceChoice = Literal["prepared", "raw", "none"]


@dataclass(frozen=True)
class InputsChoice:
    """`[inputs]` of a recipe; the manifest of an exported network repeats it."""

    reference: ReferenceChoice = "prepared"  # "raw": as it was taken, not moved; "none": zeros
    reference_in_hole_only: bool = False  # zeros outside the hole
    landmarks: bool = True  # False: no contours

    def network_input(self, prepared: Prepared) -> Float32Array:
        """`preparation.network_input` (8,S,S) float32 in 0..1 under this choice."""
        inputs = preparation.network_input(prepared)
        if self.reference == "raw":
            inputs[REFERENCE_RGB] = preparation.planes(prepared.drawn.layers[0].reference.image)
        elif self.reference == "none":
            inputs[REFERENCE_RGB] = 0
        if self.reference_in_hole_only:
            inputs[REFERENCE_RGB] *= inputs[MASK]
        if not self.landmarks:
            inputs[CONTOURS] = 0
        return inputs
