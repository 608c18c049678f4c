"""A training of an inpainting network: trainer, streams, validation and run folder together."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import checkout
from streaming.errors import UserError
from training.feeding import decoded
from training.feeding.feeder import Feeder, Shelf
from training.feeding.playlist import Playlist
from training.feeding.sources import ClipSource, Part
from training.feeding.streams import HEADSET
from training.helper_weights import lpips_alex
from training.loss_terms.terms import LossTerms
from training.masks.headset import PROTOCOL_HEADSET
from training.masks.registry import MASKS
from training.masks.source import MaskSource
from training.recipes.schema import Recipe
from training.run import folder as run_folder
from training.run.folder import RunFolder, json_like
from training.run.processes import Processes
from training.trainer import Trainer
from training.validation import Validation, ValidationScore

log = logging.getLogger(__name__)

TOLD = ("recipe", "data_hash", "licence_classes", "seed")  # what a curve depends on
SPLITS = ("train", "val", "test")
DECODED = "decoded"  # in the run folder: clips as every process maps them


@dataclass(frozen=True)
class Setting:
    """What a training is started with, beside its recipe."""

    recipe: Recipe
    source: ClipSource
    helper_weights: Path
    seed: int
    workers: int


class InpaintingTraining:
    """What `training.loop` drives."""

    def __init__(
        self,
        setting: Setting,
        folder: RunFolder,
        processes: Processes,
        on_clip: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Decode clips, start workers, build networks.

        Raises:
            UserError, ValueError: the data, the recipe or the helper weights cannot be used.
        """
        recipe = setting.recipe
        self._setting, self._folder, self._processes = setting, folder, processes
        torch.manual_seed(setting.seed)
        terms = LossTerms.load(recipe.losses, recipe.loss_settings, setting.helper_weights)
        self.trainer = Trainer(recipe, terms, processes)
        self._size_px = self.trainer.inpainter.settings.size_px
        cache, threads = folder.path / DECODED, max(1, setting.workers)
        parts, val = setting.source.parts("train"), setting.source.parts("val")
        _check_apart(setting.source)
        # Before worker processes are: what cannot be validated leaves none of them behind.
        self._validation = self._first_only(lambda: self._made_validation(val, cache, threads))
        shelf = Shelf(parts, recipe, self._size_px, cache, threads, on_clip)
        share = recipe.augmentation.mirror_share
        playlist = Playlist(recipe.batch, setting.seed, share, processes.rank, processes.world)
        self._feeder = Feeder(
            shelf,
            playlist,
            recipe,
            self._size_px,
            seed=setting.seed,
            workers=setting.workers,
            device=processes.device,
        )
        self._score: ValidationScore | None = None

    @property
    def finished_steps(self) -> int:
        """Of the optimiser."""
        return self.trainer.finished_steps

    @property
    def waited_s(self) -> float:
        """For prepared streams, in this call."""
        return self._feeder.waited_s

    def resume(self, start_from: dict[str, Any] | None) -> float:
        """Go on from the run folder's checkpoint, else from another run's; seconds trained.

        Raises:
            ValueError: they are of another network.
        """
        kept = self._folder.load()
        rank = self._processes.rank
        if kept is not None:
            self.trainer.load_state_dict(kept)
        elif start_from is not None:
            self.trainer.start_with(start_from["average"], start_from.get("adversary"))
        if rank == 0:  # what a kill left half done
            self._folder.forget_after(self.finished_steps)
            self._tell_best_again()
        if kept is None:
            return 0.0
        states = self._folder.load_states(self.finished_steps, rank)
        if states is not None and kept["streams"] == self._streams:
            self.trainer.states = [state.to(self._processes.device) for state in states]
        return float(kept["trained_s"])

    def advance(self, share: float) -> Mapping[str, Any]:
        """See `training.loop.Training`."""
        self.trainer.finished_share = share
        each = self._setting.recipe.batch.accumulate
        first = self.finished_steps * each
        return self.trainer.step([self._feeder.chunk(first + k) for k in range(each)])

    def numbers(self, losses: Mapping[str, Any]) -> dict[str, float]:
        """See `training.loop.Training`."""
        return self.trainer.check(dict(losses))

    def validate(self) -> ValidationScore:
        """See `training.loop.Training`; the first process scores, the others wait."""
        nothing = float("nan")
        score = ValidationScore(nothing, nothing, nothing, nothing)
        if self._validation is not None:
            score = self._validation.score(self.trainer.average)
        self._processes.wait_for_all()
        return score

    def save(self, more: dict[str, Any]) -> None:
        """See `training.loop.Training`."""
        rank = self._processes.rank
        self._folder.save_states(self.finished_steps, rank, self.trainer.states)
        if rank == 0:
            self._folder.save({**self.trainer.state_dict(), "streams": self._streams, **more})
        self._processes.wait_for_all()
        self._folder.forget_states_but(self.finished_steps, rank)

    def save_best(self, score: dict[str, float], trained_s: float) -> None:
        """See `training.loop.Training`."""
        told = {"validation": score, "hours": trained_s / 3600, **self.testimony()}
        self._folder.save_best({**self.trainer.shippable(), **told})
        self._folder.write(run_folder.SCORES, {"step": self.finished_steps, **told})

    def _tell_best_again(self) -> None:
        """Write the scores of the best network where a kill came between it and them."""
        best = self._folder.best()
        if best is not None and self._folder.read(run_folder.SCORES).get("step") != best["step"]:
            told = ("step", "validation", "hours", *self.testimony())
            scores = {name: best[name] for name in told if name in best}
            self._folder.write(run_folder.SCORES, scores)

    def agree(self, value: float) -> float:
        """See `training.loop.Training`."""
        return self._processes.agree(value)

    def testimony(self) -> dict[str, Any]:
        """Where weights come from."""
        device = self._processes.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        return {
            "data_hash": self._setting.source.data_hash,
            "licence_classes": list(self._setting.source.licence_classes),
            "seed": self._setting.seed,
            "device": f"{self._processes.world} × {name}",
            "commit": checkout.commit(),
            "torch": str(torch.__version__),
        }

    def write_settings(self) -> None:
        """Say in the run folder what is being done, and with what."""
        if self._processes.rank == 0:
            document = {"recipe": asdict(self._setting.recipe), **self.testimony()}
            if document["commit"] == checkout.UNKNOWN:
                log.warning(
                    "this copy is no git checkout: the run and its networks cannot tell the commit "
                    "that made them; note the version beside %s",
                    self._folder.path / run_folder.SETTINGS,
                )
            self._folder.write(run_folder.SETTINGS, document | self._earlier(document))

    def _earlier(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What the run was done with before, where this call does it otherwise."""
        found = self._folder.read(run_folder.SETTINGS)
        before = found.pop("before", [])
        other = [key for key in TOLD if found and found.get(key) != json_like(document[key])]
        if other and self.finished_steps:
            log.warning("the run goes on with another %s than before", ", ".join(other))
            before = [*before, {"until_step": self.finished_steps, **found}]
        return {"before": before} if before else {}

    def close(self, over: bool) -> None:
        """Stop the workers; a run that is over needs its decoded clips no more."""
        self._feeder.close()
        if not over:  # perhaps by an error of this process alone: nobody would come
            return
        self._processes.wait_for_all()
        if self._processes.rank == 0:
            shutil.rmtree(self._folder.path / DECODED, ignore_errors=True)

    @property
    def _streams(self) -> list[Any]:
        """What stream states depend on, beside the step."""
        return [asdict(self._setting.recipe.batch), self._setting.seed, self._processes.world]

    def _first_only(self, make: Callable[[], Validation]) -> Validation | None:
        return make() if self._processes.rank == 0 else None

    def _made_validation(self, parts: list[Part], cache: Path, threads: int) -> Validation:
        folders = [decoded.decode(part, self._size_px, cache, threads) for part in parts]
        clips = [clip for clip in decoded.load_all(folders) if len(clip.images) > 1]
        if not clips:
            raise UserError("No val clip has two frames.", "Add longer clips.")
        recipe = self._setting.recipe
        return Validation(
            clips,
            lpips_alex(self._setting.helper_weights),
            recipe.inputs,
            recipe.watching.val_frame_step,
            _main_mask(recipe),
        )


def _check_apart(source: ClipSource) -> None:
    """Raise UserError when somebody is in two splits, of those that the source has."""
    people = {split: _people(source, split) for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        shared = sorted(people[one] & people[other])
        if shared:
            raise UserError(
                f"'{shared[0]}' is in the splits {one} and {other}: scores would measure memory "
                f"({len(shared)} such people).",
                "Give every person one split in manifest.csv, and pack again.",
            )


def _people(source: ClipSource, split: str) -> set[str]:
    """Everyone in a split, of whatever licence; nobody where there is no such split."""
    try:
        parts = source.parts_of(split)
    except UserError:
        return set()
    return {entry.identity for part in parts for entry in part.entries} - {""}


def _main_mask(recipe: Recipe) -> MaskSource:
    """The kind of hole that most streams have, as the protocols cut it."""
    kinds = recipe.masks.kinds
    kind = max(kinds, key=lambda name: float(kinds[name]))
    return PROTOCOL_HEADSET if kind == HEADSET else MASKS[kind]


def worker_count(asked: int | None, processes: int, cores: int) -> int:
    """Workers of one process: as asked, else all cores but one for each training process."""
    if asked is not None:
        return asked
    return max(0, int(np.ceil(cores / processes)) - 1)
