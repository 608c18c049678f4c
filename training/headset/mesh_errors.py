"""`unvisor fit-tracker`: learn how the tracker's mesh errs, given what is seen of the face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from edge.reference_choice import profile_from_frames
from edge.wearer import wearer_fit
from hmd_capture.headset_render import Headset
from hmd_capture.simulated import covered
from models import mesh_register, registration
from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.face_fit import WearerFit
from models.headset.head_crop import crop_of_mesh
from models.headset.reader import HeadsetReader
from models.mesh_register import OwnView
from training.clips.faces import FaceClips
from training.registration import without_outliers
from training.scenes.headset_models import headset_models, split_names

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

AWAY = 0.08  # spans: how far off the first crop of a frame is, standard deviation
LOOKS = 2  # readings of a frame until the crop has settled
# Ridge regression: shift coordinates of this size count as the noise of their errors.
COORDINATE_SPANS = 0.01


@dataclass(frozen=True)
class Worn:
    """One frame with a headset on, as the tracker reads it."""

    coordinates: Float32Array  # (K,) of the shift
    error: Float32Array  # (478,2) spans: the truth less the tracker's mesh


def fit_tracker(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    headsets: Annotated[
        Path | None, typer.Option(help="Folder of headset pictures with a manifest.")
    ] = None,
    output: Annotated[Path, typer.Option(help="File to write.")] = mesh_register.ERRORS_FILE,
    frames_per_clip: Annotated[int, typer.Option(min=1, help="Frames of each clip.")] = 10,
    limit_clips: Annotated[int, typer.Option(help="Clips to learn from; 0 = all.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of headsets and crops.")] = 0,
) -> None:
    """Fit the statistics of `models/mesh_register.py` on the train split, minutes on one core."""
    cv2.setNumThreads(1)
    clips, random, reader = FaceClips(data), np.random.default_rng(seed), HeadsetReader()
    names = split_names(headsets, "train") if headsets else []
    built_in, models = headset_models(headsets, names)
    pool = models or built_in
    seen = [
        worn
        for row in track(clips.rows("train")[: limit_clips or None], "clips", transient=True)
        for worn in worn_frames(
            clips.frames(row), clips.meshes(row), frames_per_clip, pool, reader, random
        )
    ]
    coordinates = np.stack([worn.coordinates for worn in seen])
    errors = np.stack([worn.error for worn in seen])
    kept = without_outliers(errors)
    usual, by_shift = regress(coordinates[kept], errors[kept].reshape(int(kept.sum()), -1))
    np.savez_compressed(output, usual=usual.reshape(-1, 2), by_shift=by_shift.astype(np.float16))
    typer.echo(f"{output} written from {kept.sum()} frames.")


def worn_frames(
    images: ImageU8,
    meshes: Float32Array,
    count: int,
    headsets: Sequence[Headset],
    reader: HeadsetReader,
    random: np.random.Generator,
) -> Iterator[Worn]:
    """Frames of one bare clip, spread over it, each under one of the headsets."""
    reference = profile_from_frames([images[0]], meshes[:1], with_plate=False).references[0]
    fit, view = wearer_fit(reference, reader), OwnView(reference)
    for index in np.linspace(1, min(len(images), len(meshes)) - 1, count).astype(int):
        truth = meshes[index]
        headset = headsets[int(random.integers(len(headsets)))]
        camera, hidden = covered(images[index], headset.draw(truth, images[index]))
        mesh = _settled(reader, fit, camera, truth, random)
        coordinates = view.shift(camera, hidden, mesh)
        if coordinates is not None and hidden.any():
            step = np.asarray((truth - mesh)[:, :2], np.float32)
            yield Worn(coordinates, registration.shift_spans(step, mesh))


def regress(coordinates: Float32Array, errors: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Ridge regression of errors (N,D) on coordinates (N,K): the constant (D,) and (K,D)."""
    inputs = np.column_stack([np.ones(len(coordinates)), coordinates / COORDINATE_SPANS])
    penalty = len(inputs) * np.eye(inputs.shape[1])
    penalty[0, 0] = 0.0
    weights = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ errors)
    return np.asarray(weights[0], np.float32), np.asarray(
        weights[1:] / COORDINATE_SPANS, np.float32
    )


def _settled(
    reader: HeadsetReader,
    fit: WearerFit,
    camera: ImageU8,
    truth: Float32Array,
    random: np.random.Generator,
) -> Float32Array:
    """The tracker's mesh (478,3) px, once the crop has found its place."""
    corners = truth[[RIGHT_EYE.outer_corner, LEFT_EYE.outer_corner], :2]
    away = random.normal(0, AWAY, 2) * float(np.linalg.norm(corners[1] - corners[0]))
    mesh = truth + np.append(away, 0).astype(np.float32)
    for _ in range(LOOKS):
        crop = crop_of_mesh(mesh)
        reading = reader.read(crop.cut(camera))
        mesh = crop.mesh_in_frame(reading.mesh)
    return fit.fitted(mesh, reading.spread)
