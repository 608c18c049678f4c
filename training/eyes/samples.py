"""One labelled eye image, whatever it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

NOTHING, SCLERA, IRIS, PUPIL = range(4)  # values of a label map


@dataclass(frozen=True)
class EyeSample:
    """An image and what is known of it; None = not known. Units are px of the image."""

    image: ImageU8  # (H,W) grey
    group: str  # what it is drawn with, such as "meye_43 open"
    lids: Float32Array | None = None  # (2,9,2) upper then lower, from the image's left to its right
    lid_weights: Float32Array = field(default_factory=lambda: np.ones((2, 9), np.float32))
    pupil: Float32Array | None = None  # (5,) OpenCV ellipse
    iris: Float32Array | None = None  # (5,)
    labels: ImageU8 | None = None  # (H,W) of the values above
    # Which of visible pupil, iris, opening the label map knows.
    known_masks: tuple[bool, bool, bool] = (False, False, False)
    blink: float | None = None  # 0 open … 1 closed
    confidence: float = 1.0  # 0 = there is no eye
    # Whether pupil and blink are the data's own, not a teacher's or a guess: only then scored.
    pupil_is_true: bool = False
    blink_is_true: bool = False
    source: str = ""
    subject: str = ""
    name: str = ""
