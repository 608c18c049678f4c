"""How much one look at a face speaks for or against the owner of a print.

A logistic function of the embeddings' product and of the proportions' distance, fitted on own and
other persons' faces; its argument is the logarithm of the likelihood ratio of one look.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from edge.identity.evidence import EvidenceSettings
from edge.identity.face_print import IdentityPrint
from edge.records import FaceTrack
from models.face.geometry import lower_face_shape
from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.identity.face_chip import BARE, LOWER, FaceChip, Window, cut_chip, sharpness
from models.identity.reader import FacePrintReader
from streaming.errors import UserError
from streaming.records import ImageU8

FITTED = Path(__file__).with_name("likeness.json")
# Looks that do not count.
LEAST_CONFIDENCE = 0.6  # of the tracker
LEAST_SHARE = {BARE.name: 0.25, LOWER.name: 0.08}  # of the window that shows face
LEAST_SPAN_PX = 22.0  # between the outer eye corners: a smaller face has no features
LEAST_SHARPNESS = 0.002
MOST_YAW = 0.60  # of tan(35 deg) about: depth over width of the eye line


@dataclass(frozen=True)
class Weights:
    """Of the logistic function, per window."""

    product: float
    distance: float
    constant: float


@dataclass(frozen=True)
class Look:
    """One comparison."""

    window: str
    product: float  # of the embeddings, -1..1
    distance: float  # root mean square of the proportions' differences, natural logarithms


def look_at(
    image: ImageU8, track: FaceTrack, of: IdentityPrint, reader: FacePrintReader
) -> Look | None:
    """Compare the tracked face in an (H,W,3) frame with a print; None if it shows too little."""
    window = LOWER if track.mask.any() else BARE
    if not is_fit(track):
        return None
    chip = chip_of(image, track, window)
    if chip.visible_share < LEAST_SHARE[window.name] or sharpness(chip) < LEAST_SHARPNESS:
        return None
    product = float(reader.read(chip, window) @ of.template(window))
    away = lower_face_shape(track.mesh) - of.shape
    return Look(window.name, product, float(np.sqrt((away * away).mean())))


def is_fit(track: FaceTrack) -> bool:
    """Whether the tracker is sure, and the face large enough and turned to the camera."""
    across = track.mesh[LEFT_EYE.outer_corner] - track.mesh[RIGHT_EYE.outer_corner]
    span_px = float(np.hypot(across[0], across[1]))
    is_turned = abs(float(across[2])) > MOST_YAW * span_px
    return track.confidence >= LEAST_CONFIDENCE and span_px >= LEAST_SPAN_PX and not is_turned


def chip_of(image: ImageU8, track: FaceTrack, window: Window) -> FaceChip:
    """The window of a tracked face, cut from the part of the frame around it."""
    reach = float(np.ptp(track.mesh[:, 0]))
    low = np.floor(track.mesh[:, :2].min(axis=0) - reach / 4).astype(int)
    high = np.ceil(track.mesh[:, :2].max(axis=0) + reach / 4).astype(int)
    height, width = image.shape[:2]
    left, top = np.clip(low, 0, (width - 1, height - 1))
    right, bottom = np.clip(high, (left + 1, top + 1), (width, height))
    part = np.s_[top:bottom, left:right]
    mesh = track.mesh - np.array([left, top, 0], np.float32)
    return cut_chip(image[part], mesh, window, track.mask[part])


def evidence_of(look: Look, weights: dict[str, Weights]) -> float:
    """Logarithm of: how probable the look is for the owner, over for somebody else."""
    of_window = weights[look.window]
    counted = of_window.product * look.product - of_window.distance * look.distance
    return counted + of_window.constant


@dataclass(frozen=True)
class Fitted:
    """What was fitted and chosen for one network; see `training.identity.fit_identity`."""

    network: str  # `FacePrintReader.version`
    windows: dict[str, Weights]
    evidence: EvidenceSettings


@lru_cache(maxsize=1)
def fitted() -> Fitted:
    """Fitted on persons whom the network was not trained on.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        tree = json.loads(FITTED.read_text(encoding="utf-8"))
        windows = {name: Weights(**tree["windows"][name]) for name in (BARE.name, LOWER.name)}
        return Fitted(str(tree["network"]), windows, EvidenceSettings(**tree["evidence"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{FITTED} is damaged ({error}).", "Install unvisor again.") from error
