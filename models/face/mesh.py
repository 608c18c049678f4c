"""Where things are in the 478-point face mesh: index constants only.

The numbering is MediaPipe's (468 canonical points, then 5 per iris; connection sets published with
its face mesh under Apache-2.0), written out so that importing this needs no mediapipe.
RIGHT and LEFT are the wearer's own sides: in a camera image that is not mirrored, the right eye is
on the image's left. Every line runs from the image's left to its right unless it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass

Line = tuple[int, ...]

POINT_COUNT = 478
IRIS_START = 468  # points before this one exist in the 468-point mesh too


@dataclass(frozen=True)
class EyePoints:
    """Mesh indices of one eye."""

    upper_lid: Line  # 9 points, corner to corner, from the image's left to its right
    lower_lid: Line  # 9 points, same corners
    inner_corner: int
    outer_corner: int
    iris_centre: int
    iris_ring: Line  # 4 points, closed when drawn
    brow_upper: Line  # 5 points
    brow_lower: Line  # 5 points

    @property
    def lids(self) -> tuple[Line, Line]:
        """Upper and lower lid, 9 points each."""
        return self.upper_lid, self.lower_lid


RIGHT_EYE = EyePoints(
    upper_lid=(33, 246, 161, 160, 159, 158, 157, 173, 133),
    lower_lid=(33, 7, 163, 144, 145, 153, 154, 155, 133),
    inner_corner=133,
    outer_corner=33,
    iris_centre=468,
    iris_ring=(469, 470, 471, 472),
    brow_upper=(70, 63, 105, 66, 107),
    brow_lower=(46, 53, 52, 65, 55),
)
LEFT_EYE = EyePoints(
    upper_lid=(362, 398, 384, 385, 386, 387, 388, 466, 263),
    lower_lid=(362, 382, 381, 380, 374, 373, 390, 249, 263),
    inner_corner=362,
    outer_corner=263,
    iris_centre=473,
    iris_ring=(474, 475, 476, 477),
    brow_upper=(336, 296, 334, 293, 300),
    brow_lower=(285, 295, 282, 283, 276),
)
EYES = (RIGHT_EYE, LEFT_EYE)  # in the order of the wire's eye index: 0 right, 1 left

LIPS_OUTER_UPPER: Line = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_LOWER: Line = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS_INNER_UPPER: Line = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_LOWER: Line = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)

NOSE_BRIDGE: Line = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)  # from between the eyes to the base
NOSE_BASE: Line = (48, 64, 98, 97, 2, 326, 327, 294, 278)
NOSE_WINGS: Line = (48, 115, 220, 45, 4, 275, 440, 344, 278)
NOSE_TIP = 4
NOSE_ROOT = 168  # between the eyes

# Closed: starts at the top of the forehead and runs down the wearer's left, round the chin, and up.
FACE_OVAL: Line = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
)
JAW: Line = (
    *(234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    *(377, 400, 378, 379, 365, 397, 288, 361, 323, 454),
)
FOREHEAD_TOP = 10
CHIN = 152
RIGHT_SIDE = 234  # the oval's widest points, in front of the ears
LEFT_SIDE = 454

# What a landmark contour image draws; closed lines repeat their first point.
EYE_LINES: tuple[Line, ...] = (*RIGHT_EYE.lids, *LEFT_EYE.lids)
IRIS_LINES: tuple[Line, ...] = tuple((*eye.iris_ring, eye.iris_ring[0]) for eye in EYES)
BROW_LINES: tuple[Line, ...] = tuple(
    line for eye in EYES for line in (eye.brow_upper, eye.brow_lower)
)
LIP_LINES: tuple[Line, ...] = (
    LIPS_OUTER_UPPER,
    LIPS_OUTER_LOWER,
    LIPS_INNER_UPPER,
    LIPS_INNER_LOWER,
)
NOSE_LINES: tuple[Line, ...] = (NOSE_BRIDGE, NOSE_BASE)
CONTOUR_LINES: tuple[Line, ...] = (
    *EYE_LINES,
    *IRIS_LINES,
    *BROW_LINES,
    *LIP_LINES,
    *NOSE_LINES,
    FACE_OVAL,
)
