"""The synthetic pictures inside the vectors."""

from __future__ import annotations

import base64

import numpy as np

from streaming.records import ImageU8

# Four squares of 8×8 px, so that a flipped or mirrored picture and swapped channels show. Kept as
# bytes, because encoders differ between versions and processors.
FOUR_SQUARES_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDg"
    "sLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU"
    "FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wAARCAAQABADAREAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABwgJ/8"
    "QAFBABAAAAAAAAAAAAAAAAAAAAAP/EABgBAAMBAQAAAAAAAAAAAAAAAAcICQUG/8QAFBEBAAAAAAAAAAAAAAAAAAAA"
    "AP/aAAwDAQACEQMRAD8ANAkOAWGamOn1Q13DYUr4gP/Z"
)
FOUR_SQUARES_BGR = (  # (column, row, blue, green, red), each ± 4
    (3, 3, 40, 60, 200),
    (12, 3, 60, 180, 70),
    (3, 12, 190, 80, 50),
    (12, 12, 230, 230, 230),
)

# The same squares of 16×16 px as one H.264 access unit: parameter sets and a key picture.
FOUR_SQUARES_H264 = base64.b64decode(
    "AAAAAWdCwAqmESWmoEBAyAAAAwAIAAADAeR4kTCMAAAAAWjIQgEMsgAAAAFliIIFeIxQABVFjgACWnHAAFgaIxQABW"
    "qjgACEPHAAGgebFAAEquOAAMA0cAAYOeIf/4IooAAqIeGAAJDAAAj7gACDPDAAEFAAAQKwABKGwA=="
)


def numbered_bgr() -> ImageU8:
    """(2,3,3) BGR: every byte is its own position, so that any reordering shows."""
    return np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


def numbered_grey() -> ImageU8:
    """(2,4) grey: bytes 100 to 107."""
    return np.arange(100, 108, dtype=np.uint8).reshape(2, 4)
