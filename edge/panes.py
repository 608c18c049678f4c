"""What the preview shows of one view: its panes as JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from edge.records import PipelineView
from streaming.page.live import pane_jpeg
from streaming.records import ImageU8


def panes_of(view: PipelineView) -> dict[str, ImageU8]:
    """The images of one view by the name of their place on the page."""
    panes = {"camera": view.camera.image, "restored": view.restored.image}
    if view.eyes:
        panes["eyes"] = _side_by_side(view.eyes)
    if view.truth is not None:
        panes["truth"] = view.truth
    return panes


def jpegs_of(view: PipelineView) -> dict[str, bytes]:
    """The same as JPEG files, no wider than a pane."""
    return {name: pane_jpeg(image) for name, image in panes_of(view).items()}


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
