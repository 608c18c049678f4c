"""`unvisor train-outline`: train OutlineNet on made-up scenes; resumable."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from hmd_capture.headset_render import Headset
from models.export import export_outline_net
from models.headset.reader import HeadsetReader
from models.outlines.network import OutlineNet, OutlineNetSettings
from training.clips.faces import FaceClips
from training.outlines.scenes import OutlineScenes
from training.outlines.trainer import OutlineTrainer, OutlineTrainerSettings, collate
from training.run.folder import RunFolder
from training.scenes.bare_faces import BareFace, faces_by_clip, portraits_by_person
from training.scenes.headset_models import headset_models, split_names
from training.small_networks import options
from training.small_networks.loop import Rhythm, TimedTraining, Verdict
from training.small_networks.masks import MaskTargets
from training.small_networks.shipping import export_best

EXPORTED = "outline_net.onnx"
VALIDATION_BATCHES = 24
VALIDATION_SEED = 99

People = list[list[BareFace]]
Models = tuple[list[Headset], list[Headset]]


def train_outline(
    data: options.Clips,
    run: options.Run,
    headsets: options.Headsets = None,
    stills: options.Stills = None,
    minutes: options.Minutes = 60,
    batch: options.ScenesPerStep = 12,
    learning_rate: options.LearningRate = 2e-3,
    every: options.Every = 6,
    start_from: options.StartFrom = None,
    workers: options.SceneWorkers = 1,
    validate_every: options.ValidateEvery = 400,
    bfloat16: options.Bfloat16 = True,
    seed: options.SceneSeed = 0,
    limit_clips: options.LimitClips = 0,
) -> None:
    """Train the network that draws the headset's outline; start the same command again to resume.

    Of `--stills`, people of whom there are several photos are shown beside those of the clips.
    The schedule follows the time trained, so that a busy machine ends in fewer steps, not halfway.
    When the run is over, its best network is exported into the run's folder.
    """
    device = options.prepared_device(seed)
    settings = OutlineTrainerSettings(learning_rate=learning_rate, bfloat16=bfloat16)
    with options.failing_in_a_sentence():
        clips = FaceClips(data)
        people, val_people = (_people(clips, part, every, limit_clips) for part in ("train", "val"))
        sitters = people_of_portraits(stills) if stills else []
        models = headset_models(headsets, split_names(headsets, "train") if headsets else [])
        trainer = OutlineTrainer(OutlineNetSettings(), settings, device)
        held_back = _batches(val_people, models, batch, VALIDATION_SEED)
        validation = list(islice(held_back, VALIDATION_BATCHES))
        training = TimedTraining(
            trainer, RunFolder(run), lambda: Verdict.of(trainer.score(validation))
        )
        counts = {"clips": len(people), "portrayed_people": len(sitters)}
        told = {**counts, "batch": batch, "seed": seed}
        training.begin({"data": str(data), **told}, start_from)
        rhythm = Rhythm(minutes, validate_every=validate_every)
        drawn = partial(_batches, people + sitters, models, batch)
        training.run_on(trainer.step, drawn, seed, workers, rhythm)
    exported = export_best(run / EXPORTED, built, export_outline_net, {"training": told})
    typer.echo(f"{exported} written.")


def _people(clips: FaceClips, split: str, every: int, limit: int) -> People:
    """Frames of each clip of a split."""
    found = [list(frames) for frames in faces_by_clip(clips, split, every, limit)]
    return [frames for frames in found if frames]


def people_of_portraits(stills: Path) -> People:
    """Pictures of people of whom one portrait can be the bare picture of another.

    Raises:
        FaceDataError: the folder is of another layout.
    """
    photos = portraits_by_person(stills, held_back=False).values()
    return [faces for faces in photos if len(faces) > 1]


def _batches(people: People, models: Models, batch: int, seed: int) -> Iterator[MaskTargets]:
    """New scenes, forever."""
    scenes = OutlineScenes(people, *models, reader=HeadsetReader(), seed=seed)
    while True:
        yield collate([scenes.scene() for _ in range(batch)])


def built(kept: dict[str, Any]) -> OutlineNet:
    """The network that a checkpoint is of, without its weights."""
    return OutlineNet(OutlineNetSettings(**kept["outline_net"]))
