"""A drawn face for tests that need MediaPipe to find one, without a real person's picture."""

from __future__ import annotations

import cv2
import numpy as np

from streaming.records import ImageU8


def draw_face(image: ImageU8, centre: tuple[int, int], scale: float = 1.0) -> None:
    """A cartoon that the face detector takes for a face."""

    def at(x: float, y: float) -> tuple[int, int]:
        return round(centre[0] + scale * x), round(centre[1] + scale * y)

    def axes(x: float, y: float) -> tuple[int, int]:
        return round(scale * x), round(scale * y)

    cv2.ellipse(image, at(0, 0), axes(48, 64), 0, 0, 360, (150, 180, 220), -1)
    cv2.ellipse(image, at(0, -36), axes(50, 36), 0, 180, 360, (40, 50, 60), -1)
    for x in (-20, 20):
        cv2.ellipse(image, at(x, -10), axes(9, 5), 0, 0, 360, (245, 245, 245), -1)
        cv2.circle(image, at(x, -10), round(4 * scale), (40, 40, 40), -1)
        cv2.line(image, at(x - 11, -22), at(x + 11, -22), (50, 60, 70), 3)
    cv2.line(image, at(0, -6), at(-4, 14), (110, 140, 180), 3)
    cv2.ellipse(image, at(0, 34), axes(18, 6), 0, 0, 360, (90, 90, 190), -1)


def scene(*faces: tuple[int, int, float]) -> ImageU8:
    image = np.full((240, 400, 3), 200, np.uint8)
    for x, y, scale in faces:
        draw_face(image, (x, y), scale)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2), np.uint8)
