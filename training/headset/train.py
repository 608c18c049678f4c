"""`unvisor train-headset`: train HeadsetNet on made-up scenes; resumable."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np
import torch

from hmd_capture.headset_render import Headset
from models.headset.network import HeadsetNetSettings
from training.headset.losses import HeadsetTargets, collate
from training.headset.trainer import HeadsetTrainer, HeadsetTrainerSettings
from training.run.folder import RunFolder
from training.scenes.bare_faces import BareFace, faces_to_learn
from training.scenes.headset_models import headset_models, split_names
from training.scenes.turned_faces import with_turned
from training.scenes.worn_scenes import WornScenes
from training.small_networks import options
from training.small_networks.loop import Rhythm, TimedTraining, Verdict

SHAPE_SCENES = 1500  # scenes whose meshes give the mesh head its first basis
TURNED_SHARE = 0.35  # faces that are shown a second time, turned to a side
VALIDATION_BATCHES = 8
VALIDATION_SEED = 99

Models = tuple[list[Headset], list[Headset]]


def train_headset(
    data: options.Clips,
    run: options.Run,
    headsets: options.Headsets = None,
    stills: options.Stills = None,
    minutes: options.Minutes = 60,
    batch: options.ScenesPerStep = 32,
    learning_rate: options.LearningRate = 2e-3,
    every: options.Every = 6,
    start_from: options.StartFrom = None,
    workers: options.SceneWorkers = 1,
    validate_every: options.ValidateEvery = 250,
    bfloat16: options.Bfloat16 = True,
    seed: options.SceneSeed = 0,
    limit_clips: options.LimitClips = 0,
) -> None:
    """Train the headset tracker's network; start the same command again to resume.

    The schedule follows the time trained, so that a busy machine ends in fewer steps, not halfway.
    """
    device = options.prepared_device(seed)
    settings = HeadsetTrainerSettings(learning_rate=learning_rate, bfloat16=bfloat16)
    with options.failing_in_a_sentence():
        parts = faces_to_learn(data, stills, every, limit_clips)
        faces = list(with_turned(parts[0], TURNED_SHARE, np.random.default_rng(seed)))
        val_faces = list(parts[1])
        models = headset_models(headsets, split_names(headsets, "train") if headsets else [])
        trainer = HeadsetTrainer(HeadsetNetSettings(), settings, device)
        held_back = _batches(val_faces, models, batch, VALIDATION_SEED)
        validation = list(islice(held_back, VALIDATION_BATCHES))
        training = TimedTraining(
            trainer, RunFolder(run), lambda: Verdict.of(trainer.score(validation))
        )
        training.begin(
            {"data": str(data), "faces": len(faces), "batch": batch, "seed": seed},
            start_from,
            first=lambda: trainer.start_from_shapes(_shapes(faces, models, seed)),
        )
        rhythm = Rhythm(minutes, validate_every=validate_every)
        drawn = partial(_batches, faces, models, batch)
        training.run_on(trainer.step, drawn, seed, workers, rhythm)


def _batches(
    faces: list[BareFace], models: Models, batch: int, seed: int
) -> Iterator[HeadsetTargets]:
    """New scenes, forever."""
    scenes = WornScenes(faces, *models, seed=seed)
    while True:
        yield collate([scenes.scene() for _ in range(batch)])


def _shapes(faces: list[BareFace], models: Models, seed: int) -> torch.Tensor:
    scenes = WornScenes(faces, *models, seed=seed)
    meshes = [scene.mesh for _ in range(SHAPE_SCENES) if (scene := scenes.scene()).mesh is not None]
    return torch.stack([torch.from_numpy(mesh) for mesh in meshes])
