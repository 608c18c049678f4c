"""Options that the training commands of small networks share, and how they begin and fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import cv2
import torch
import typer

from streaming.errors import UserError
from training.clips.faces import FaceDataError
from training.helper_weights import HelperWeightsError
from training.run.checkpoint import CheckpointError
from training.trainer import TrainingDiverged

Clips = Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")]
Run = Annotated[Path, typer.Option(help="Folder of this run; an unfinished run goes on.")]
Headsets = Annotated[
    Path | None, typer.Option(help="Folder of headset pictures with their manifest.")
]
Stills = Annotated[Path | None, typer.Option(help="Folder of portrait photos.")]
Minutes = Annotated[float, typer.Option(help="Length of the whole run.", min=0.01)]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.")]
Every = Annotated[int, typer.Option(help="Take every n-th frame of the clips.", min=1)]
StartFrom = Annotated[
    Path | None, typer.Option(help="Checkpoint whose weights a new run starts with.")
]
ScenesPerStep = Annotated[int, typer.Option(help="Scenes per step.", min=2)]
SceneSeed = Annotated[int, typer.Option(help="Seed of scenes and initial weights.")]
SceneWorkers = Annotated[int, typer.Option(help="Processes that make scenes.", min=0)]
ValidateEvery = Annotated[int, typer.Option(help="Steps between validations.", min=1)]
Bfloat16 = Annotated[bool, typer.Option(help="Mixed precision.")]
LimitClips = Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")]


def prepared_device(seed: int) -> torch.device:
    """Seed torch, leave the cores to it, and say where to train: on a GPU where there is one."""
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def failing_in_a_sentence() -> Iterator[None]:
    """What a training cannot go on with becomes a UserError."""
    try:
        yield
    except (CheckpointError, FaceDataError, HelperWeightsError, TrainingDiverged) as error:
        raise UserError(str(error)) from error
