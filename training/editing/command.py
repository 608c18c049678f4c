"""`unvisor edit`: the same video under other landmarks, or without its owner's face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.reference import Reference
from models.shipped import SHIPPED_NETWORK
from streaming.errors import UserError
from training import protocol as protocols
from training.clips.faces import FaceClip, FaceClips, Float32Array, ImageU8
from training.editing.distances import (
    IdentityMeasure,
    IdentityReader,
    of_other_people,
    of_the_same_person,
)
from training.editing.landmarks import perturbed, swapped
from training.evaluation.evaluate import MethodScores, fill_clip
from training.evaluation.faces_seen import load_face_reader
from training.evaluation.networks import TrainedNetwork
from training.helper_weights import DEFAULT_FOLDER
from training.protocol import ScoredClip
from training.reports import scores as score_report

LARGEST_SIGMA = 0.5  # eye spans; beyond, meshes fold over
AS_IT_IS = "restored"


def edit(
    clip: Annotated[str, typer.Argument(help="A clip of --data, by the name of its segment.")],
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    landmarks: Annotated[
        list[str] | None,
        typer.Option(help="Clip whose landmarks are taken under the headset; repeat for several."),
    ] = None,
    perturb: Annotated[
        float, typer.Option(help="Move hidden landmarks at random; σ in distances of the eyes.")
    ] = 0,
    variants: Annotated[int, typer.Option(min=1, help="How many random moves.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the first random move.")] = 0,
    privacy: Annotated[
        bool, typer.Option(help="Insist on a network that never saw the owner's face.")
    ] = False,
    weights: Annotated[
        Path, typer.Option(help="Network: ONNX file with its JSON, or a run folder.")
    ] = SHIPPED_NETWORK,
    strip: Annotated[Path, typer.Option(help="Picture to write.")] = Path("out/edit.png"),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the distances here.")
    ] = None,
    identity: Annotated[
        bool, typer.Option(help="Measure whose face it is (needs --helper-weights).")
    ] = True,
    helper_weights: Annotated[
        Path, typer.Option(help="Folder of the face recognition network.")
    ] = DEFAULT_FOLDER,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 1,
) -> None:
    """Restore a clip under a simulated headset with landmarks of somebody else, or moved ones.

    Writes a strip: reference, hole, restored, each edit, and the bare face; frames down. The
    identity distance tells how far each is from the bare face (one person's pictures: below 0.6).
    """
    if strip.suffix.lower() != ".png":
        raise UserError(f"{strip} is no .png file.", "Name one with --strip.")
    network = TrainedNetwork("edit", weights, threads)
    _check(network, weights, privacy, perturb, bool(landmarks))
    reader = load_face_reader(helper_weights) if identity else None  # before anything is written
    clips = FaceClips(data)
    row = _row(clips, clip)
    protocols.eligible([row], protocols.HMD)
    scored = protocols.load(clips, row, protocols.HMD, network.size_px)
    edits = {AS_IT_IS: scored.meshes}
    edits |= _swaps(clips, scored, landmarks or [], network.size_px)
    for number in range(variants if perturb else 0):
        moved = perturbed(scored.meshes, scored.hidden, perturb, seed + number)
        edits[f"moved {number + 1}"] = moved
    filled = {name: _filled(network, scored, meshes) for name, meshes in edits.items()}
    score_report.write_strip(strip.parent, replace(scored, segment=strip.stem), filled)
    document: dict[str, Any] = {"clip": clip, "weights": weights.name}
    document["reference"] = network.shown.reference
    if reader is not None:
        found = _distances(clips, row, scored, filled, edits, reader)
        document["identity_distance"] = found
        Console().print(_table(found))
    if json_file is not None:
        score_report.write_json(json_file, document)
    Console().print(f"{strip} written: reference, hole, {', '.join(filled)}, bare face.")


def _check(
    network: TrainedNetwork, weights: Path, privacy: bool, perturb: float, swaps: bool
) -> None:
    """Refuse what would not do what was asked for."""
    shown = network.shown
    if privacy and shown.reference != "none":
        raise UserError(
            f"{weights.name} fills from the owner's reference, so the face stays the owner's.",
            "Name weights that were trained without one with --weights: recipe no-reference, "
            "lgtsm-online, per-frame, stn, stn-lm or m-csam.",
        )
    if not 0 <= perturb <= LARGEST_SIGMA:
        raise UserError(f"--perturb takes up to {LARGEST_SIGMA} distances of the eyes.")
    if (swaps or perturb) and not shown.landmarks and shown.reference != "prepared":
        raise UserError(
            f"{weights.name} was trained without landmarks: editing them changes nothing.",
            "Name weights trained with them, as by recipe unvisor, lgtsm-ref-lm or stn-lm.",
        )


def _swaps(
    clips: FaceClips, clip: ScoredClip, segments: list[str], size_px: int
) -> dict[str, Float32Array]:
    return {
        f"landmarks of {segment}": swapped(
            clip.meshes, clip.hidden, clips.meshes(_row(clips, segment), size_px)
        )
        for segment in segments
    }


def _row(clips: FaceClips, segment: str) -> FaceClip:
    for row in clips.all_rows:
        if row.segment == segment:
            return row
    raise UserError(
        f"{clips.root} has no clip '{segment}'.", "manifest.csv lists them in its first column."
    )


def _filled(network: TrainedNetwork, clip: ScoredClip, meshes: Float32Array) -> ImageU8:
    reference = Reference(clip.reference_image, clip.reference_mesh)
    filler = network(reference, network.size_px)
    return fill_clip(filler, replace(clip, meshes=meshes), MethodScores())


def _distances(
    clips: FaceClips,
    row: FaceClip,
    clip: ScoredClip,
    filled: Mapping[str, ImageU8],
    edits: Mapping[str, Float32Array],
    reader: IdentityReader,
) -> dict[str, float]:
    measure = IdentityMeasure(reader, clip.truth, clip.meshes)
    found = {name: measure.filled(images, edits[name]) for name, images in filled.items()}
    size = clip.truth.shape[1]
    compared = {
        "other pictures of this person": of_the_same_person(clips, row, len(clip.truth) + 1, size),
        "other people": of_other_people(clips, row, size),
    }
    return found | {name: measure.pictures(c) for name, c in compared.items() if c is not None}


def _table(distances: Mapping[str, float]) -> Table:
    table = Table("identity distance from the bare face", "mean", title="below 0.6: one person")
    for name, value in distances.items():
        table.add_row(name, f"{value:.3f}")
    return table
