"""What the preview sends for one view: the panes as JPEG behind a JSON header."""

from __future__ import annotations

import json
import struct
from typing import Any

import cv2
import numpy as np

from edge.records import PipelineView
from streaming.records import ImageU8

PANE_WIDTH_PX = 640  # wider frames are scaled down: a pane is no larger on screen
JPEG_QUALITY = 80


def panes_of(view: PipelineView) -> dict[str, ImageU8]:
    """The images of one view by the name of their place on the page."""
    panes = {"camera": view.camera.image, "restored": view.restored.image}
    if view.eyes:
        panes["eyes"] = _side_by_side(view.eyes)
    if view.truth is not None:
        panes["truth"] = view.truth
    return panes


def pack(facts: dict[str, Any], panes: dict[str, ImageU8]) -> bytes:
    """A 4-byte big-endian length, that much JSON, then one JPEG per pane the JSON lists.

    The page reads it in one request, so that all its panes always show the same frame.
    """
    jpegs = {name: _jpeg(image) for name, image in panes.items()}
    listing = [{"name": name, "bytes": len(jpeg)} for name, jpeg in jpegs.items()]
    header = json.dumps(facts | {"panes": listing}).encode()
    return b"".join([struct.pack(">I", len(header)), header, *jpegs.values()])


def _jpeg(image: ImageU8) -> bytes:
    if image.shape[1] > PANE_WIDTH_PX:
        height = max(1, round(image.shape[0] * PANE_WIDTH_PX / image.shape[1]))
        small = cv2.resize(image, (PANE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
    encoded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise ValueError(f"cannot encode a pane of shape {image.shape}")
    return jpeg.tobytes()


def _side_by_side(eyes: tuple[ImageU8, ...]) -> ImageU8:
    """The eye images at the height of the first, with a narrow white gap."""
    height = eyes[0].shape[0]
    columns: list[ImageU8] = []
    for eye in eyes:
        width = max(1, round(eye.shape[1] * height / eye.shape[0]))
        columns += [
            np.asarray(cv2.resize(eye, (width, height)), np.uint8),
            np.full((height, 2), 255, np.uint8),
        ]
    return np.hstack(columns[:-1])
