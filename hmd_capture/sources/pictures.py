"""Checking and decoding eye images before anything else sees them: whatever arrives is hostile."""

from __future__ import annotations

import cv2
import numpy as np

from hmd_capture.sources.device import MAX_SIDE_PX, MIN_SIDE_PX, BadPicture
from streaming.jpeg_header import has_many_scans
from streaming.records import ImageU8

START, END = b"\xff\xd8", b"\xff\xd9"
MAX_JPEG_BYTES = 1 << 20  # eye images have some 10 kB
# Start-of-frame markers carry the size; C4, C8 and CC in their range mean something else.
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SCAN_MARKER = 0xDA


def decode_jpeg(jpeg: bytes) -> ImageU8:
    """Decode a JPEG file to (H,W) grey uint8.

    Raises `BadPicture` when it is cut off, holds a second picture's beginning, is too large or
    too small, or has too many scans; size and scans are read before anything is decoded.
    """
    jpeg = jpeg.rstrip(b"\x00")  # some sensors pad their images
    if not jpeg.startswith(START) or len(jpeg) > MAX_JPEG_BYTES:
        raise BadPicture("no jpeg", f"{len(jpeg)} bytes that are no JPEG of acceptable size")
    width, height, scan = _size(jpeg)
    check_size(width, height)
    if has_many_scans(jpeg):
        raise BadPicture("scans", "a JPEG that would take minutes to decode")
    if not jpeg.endswith(END) or jpeg.find(START, scan) >= 0:
        raise BadPicture("truncated", f"a JPEG that ends after {len(jpeg)} bytes")
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise BadPicture("no jpeg", "a JPEG that cannot be decoded") from error
    if image is None:
        raise BadPicture("no jpeg", "a JPEG that cannot be decoded")
    return np.asarray(image, np.uint8)


def grey(image: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> ImageU8:
    """Turn a decoded image, (H,W), (H,W,1) or (H,W,3) BGR uint8, into (H,W) grey uint8.

    Raises `BadPicture` for any other depth or number of channels, and for a wrong size.
    """
    if image.dtype != np.uint8:
        raise BadPicture("depth", f"an image of {image.dtype} instead of 8 bits")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise BadPicture("channels", f"an image of shape {image.shape}")
    check_size(image.shape[1], image.shape[0])
    if image.ndim == 2:
        return np.asarray(image, np.uint8)
    if image.shape[2] == 1:
        return np.asarray(image[..., 0], np.uint8)
    return np.asarray(cv2.cvtColor(np.asarray(image, np.uint8), cv2.COLOR_BGR2GRAY), np.uint8)


def check_size(width: int, height: int) -> None:
    """Raise `BadPicture` for a size that no eye camera has."""
    if not (MIN_SIDE_PX <= width <= MAX_SIDE_PX and MIN_SIDE_PX <= height <= MAX_SIDE_PX):
        raise BadPicture("size", f"an image of {width}×{height}")


def _size(jpeg: bytes) -> tuple[int, int, int]:
    """Width and height as the header tells them, and where the compressed pixels begin."""
    width = height = 0
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker in FRAME_MARKERS and at + 9 <= len(jpeg):
            height = int.from_bytes(jpeg[at + 5 : at + 7], "big")
            width = int.from_bytes(jpeg[at + 7 : at + 9], "big")
        at += 2 + max(length, 2)
        if marker == SCAN_MARKER:
            return width, height, at
    raise BadPicture("truncated", f"a JPEG that ends in its header, after {len(jpeg)} bytes")
