"""What a JPEG asks of its decoder, read before that reserves memory or begins to work.

A file of 600 bytes may say 30000×30000 px; OpenCV then takes 3 GB to find that the rest is missing.
A progressive one of 2048×2048 px may repeat a scan of 16 bytes; 1 MiB of them take it 4 minutes.
"""

from __future__ import annotations

START = b"\xff\xd8"
SCAN = 0xDA  # pixels follow: the size must have come before
MOST_SCANS = 32  # encoders make a dozen at most
NO_LENGTH = {0x01, *range(0xD0, 0xD8)}  # markers that stand alone
# Start-of-frame markers, which hold the size; the three left out are tables.
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def jpeg_size(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height in px, None when `jpeg` is no JPEG or its header is broken."""
    if not jpeg.startswith(START):
        return None
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # a filler byte
            at += 1
        elif marker in NO_LENGTH:
            at += 2
        elif marker in FRAMES:
            height = int.from_bytes(jpeg[at + 5 : at + 7], "big")
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), height
        elif marker == SCAN:
            return None
        else:
            at += 2 + max(2, int.from_bytes(jpeg[at + 2 : at + 4], "big"))
    return None


def has_many_scans(jpeg: bytes) -> bool:
    """Whether its pixels are refined more often than any encoder has them refined."""
    # Among pixels FF is followed by 00 or a restart: this is a scan, or a preview's in the header.
    return jpeg.count(bytes((0xFF, SCAN))) > MOST_SCANS
