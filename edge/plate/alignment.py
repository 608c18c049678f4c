"""Where a plate of the room lies in another picture of it: the camera may have been moved between.

ORB features (Rublee et al., ICCV 2011), and the similarity that most of their matches agree on.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streaming.records import Float32Array, ImageU8

MaskU8 = NDArray[np.uint8]

FEATURES = 600
DISTINCT = 0.8  # distance of the best match over that of the second best (Lowe 2004)
LARGEST_ERROR_PX = 2.0
LEAST_MATCHES, LEAST_SHARE = 10, 0.4
SCALES = (0.9, 1.1)  # a camera that was moved towards or away from the room shows it otherwise


def plate_in_frame(
    plate: ImageU8, known: MaskU8, frame: ImageU8, is_room: MaskU8
) -> Float32Array | None:
    """Similarity (2,3) from px of `plate` (H,W,3) to px of `frame`; None when it is not certain.

    Args:
        plate: the room; its pixels count where `known` (H,W) is not 0.
        known: see `plate`.
        frame: another picture of it.
        is_room: (H,W) not 0 where `frame` shows neither wearer nor headset.
    """
    finder = cv2.ORB.create(FEATURES, fastThreshold=7)
    points, marks = finder.detectAndCompute(_contrasted(plate), known)
    others, other_marks = finder.detectAndCompute(_contrasted(frame), is_room)
    if marks is None or other_marks is None or min(len(points), len(others)) < LEAST_MATCHES:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(marks, other_marks, 2)
    good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < DISTINCT * p[1].distance]
    if len(good) < LEAST_MATCHES:
        return None
    start = np.array([points[match.queryIdx].pt for match in good], np.float32)
    end = np.array([others[match.trainIdx].pt for match in good], np.float32)
    motion, agreeing = cv2.estimateAffinePartial2D(
        start, end, ransacReprojThreshold=LARGEST_ERROR_PX
    )
    if motion is None or agreeing.sum() < max(LEAST_MATCHES, LEAST_SHARE * len(good)):
        return None
    scale = float(np.hypot(motion[0, 0], motion[1, 0]))
    return motion.astype(np.float32) if SCALES[0] <= scale <= SCALES[1] else None


def _contrasted(image: ImageU8) -> ImageU8:
    """Grey, with the faint structure of walls brought out."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.createCLAHE(4.0, (8, 8)).apply(grey), np.uint8)
