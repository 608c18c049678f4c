"""Making the print of a person from bare faces."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from edge.identity.face_print import IdentityPrint
from hmd_capture.headset_style import STYLES
from hmd_capture.simulated import SimulatedHeadset
from models.face.geometry import lower_face_shape
from models.filling import Reference
from models.identity.face_chip import BARE, LOWER, cut_chip
from models.identity.reader import FacePrintReader
from models.weights_error import WeightsError
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

MOST_FACES = 8  # of a capture; more of the same seconds tell little more


def print_of_faces(
    images: Sequence[ImageU8], meshes: Sequence[Float32Array], reader: FacePrintReader
) -> IdentityPrint:
    """Look at bare faces, and at the same under each built-in headset in turn.

    Args:
        images: (H,W,3) BGR; at most `MOST_FACES` of them, evenly chosen, are used.
        meshes: (478,3) px of each.

    Raises:
        ValueError: there is no face.
    """
    if not len(images):
        raise ValueError("a print needs at least one face")
    chosen = np.unique(np.linspace(0, len(images) - 1, MOST_FACES).round().astype(int))
    bare, lower, shapes = [], [], []
    for turn, index in enumerate(chosen):
        image, mesh = images[index], meshes[index]
        bare.append(reader.read(cut_chip(image, mesh, BARE), BARE))
        shapes.append(lower_face_shape(mesh))
        # A single view wears them all; of several, each wears its own.
        worn = STYLES if len(chosen) < len(STYLES) else [list(STYLES)[turn % len(STYLES)]]
        for style in worn:
            hidden = SimulatedHeadset(style, turn).wear(image, mesh).hidden
            lower.append(reader.read(cut_chip(image, mesh, LOWER, hidden), LOWER))
    return IdentityPrint(reader.version, np.stack(bare), np.stack(lower), np.stack(shapes))


def print_of_capture(
    images: Sequence[ImageU8], meshes: Sequence[Float32Array]
) -> IdentityPrint | None:
    """The print for a new profile, by the shipped network; None where that cannot be used.

    Then one is made when a session starts, or the session says that it checks nobody.
    """
    try:
        return print_of_faces(images, meshes, FacePrintReader())
    except (WeightsError, ValueError) as error:
        log.warning("the profile gets no print of its owner: %s", error)
        return None


def print_of_views(views: Sequence[Reference], reader: FacePrintReader) -> IdentityPrint:
    """The print of a profile that has none yet, or one of another network, from its pictures."""
    return print_of_faces([v.image for v in views], [v.mesh for v in views], reader)
