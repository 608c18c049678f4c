"""How much a network differs from the one that it was made from, run online on whole clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import preparation
from models.bank.references import ReferenceBank
from models.inpainting.inputs_choice import InputsChoice
from models.preparation import Reference
from models.preparer import Preparer
from models.quantisation.online import Float32Array, OnlineNetwork
from models.shipped import load_network
from training import protocol
from training.clips.faces import FaceClip, FaceClips, ImageU8

LARGEST_DB = 100.0  # of pictures that are equal
WINDOW = 100  # frames at either end of the loop whose agreement is compared


@dataclass(frozen=True)
class Parity:
    """Means over clips, by the protocol `hmd`."""

    clips: int
    frames: int
    psnr_db: float  # the original against the truth
    int8_psnr_db: float
    worst_drop_db: float  # of one clip's mean
    agreement_db: float  # the two against each other


def check_parity(
    original: Path, other: Path, clips: FaceClips, rows: list[FaceClip], size_px: int
) -> Parity:
    """Run both on the same frames and compare with the truth and with each other."""
    networks = OnlineNetwork(original), OnlineNetwork(other)
    shown = load_network(original).inputs
    scores = [_clip_scores(networks, shown, clips, row, size_px) for row in rows]
    means = np.array([np.mean(rows_of_clip, axis=0) for rows_of_clip in scores])
    psnr, int8, agreement = means.mean(axis=0).tolist()
    drops = means[:, 0] - means[:, 1]
    frames = sum(len(rows_of_clip) for rows_of_clip in scores)
    return Parity(len(rows), frames, psnr, int8, float(drops.max()), agreement)


def check_drift(
    original: Path, other: Path, clips: FaceClips, row: FaceClip, size_px: int, frames: int
) -> dict[str, float]:
    """Play one clip back and forth for so many frames; does the difference grow?"""
    if frames < 2 * WINDOW:
        return {}
    shown = load_network(original).inputs
    prepared = prepared_frames(protocol.load(clips, row, "hmd", size_px), shown)
    there_and_back = [*prepared, *prepared[-2:0:-1]]
    networks = OnlineNetwork(original), OnlineNetwork(other)
    agreement = []
    for index in range(frames):
        inputs, crop, hidden = there_and_back[index % len(there_and_back)]
        first, second = (filled(network, inputs, crop, hidden) for network in networks)
        agreement.append(psnr(first, second))
    ends = float(np.mean(agreement[:WINDOW])), float(np.mean(agreement[-WINDOW:]))
    return {"frames": frames, "first_db": ends[0], "last_db": ends[1], "least_db": min(agreement)}


def _clip_scores(
    networks: tuple[OnlineNetwork, OnlineNetwork],
    shown: InputsChoice,
    clips: FaceClips,
    row: FaceClip,
    size_px: int,
) -> list[tuple[float, float, float]]:
    scored = protocol.load(clips, row, "hmd", size_px)
    for network in networks:
        network.reset()
    rows = []
    prepared = prepared_frames(scored, shown)
    for (inputs, crop, hidden), truth in zip(prepared, scored.truth, strict=True):
        first, second = (filled(network, inputs, crop, hidden) for network in networks)
        rows.append((psnr(first, truth), psnr(second, truth), psnr(first, second)))
    return rows


def prepared_frames(
    scored: protocol.ScoredClip, shown: InputsChoice
) -> list[tuple[Float32Array, ImageU8, ImageU8]]:
    """A network's input (1,8,S,S), the crop and what is hidden, of each frame of a clip.

    `shown` is what the network is given of a prepared frame: its manifest's `inputs`.
    """
    reference = Reference(scored.reference_image, scored.reference_mesh)
    preparer = Preparer(ReferenceBank([reference], len(reference.image)))
    found = []
    for crop, hidden, mesh in zip(scored.truth, scored.hidden, scored.meshes, strict=True):
        prepared = preparer.step(crop, hidden, mesh)
        found.append((shown.network_input(prepared)[None], crop, hidden))
    return found


def filled(network: OnlineNetwork, inputs: Float32Array, crop: ImageU8, hidden: ImageU8) -> ImageU8:
    """One frame through a network: the crop with its hole filled."""
    image = preparation.image_from_planes(network.step(inputs)[0])
    return preparation.compose(image, crop, hidden)


def psnr(image: ImageU8, truth: ImageU8) -> float:
    """Of 8-bit pictures, dB, at most LARGEST_DB."""
    error = float(np.mean((image.astype(np.float64) - truth) ** 2))
    return LARGEST_DB if error == 0 else min(LARGEST_DB, float(10 * np.log10(255**2 / error)))
