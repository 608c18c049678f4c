"""One optimiser step after the other for FacePrintNet, and how well it tells new persons apart.

The student sees a window of a relit, shifted and perhaps covered face and should arrive at what
the teacher says of the same person's bare face (distillation), and nearer to that person than to
the others by a margin (ArcFace's idea with CosFace's margin: Deng et al. 2019, Wang et al. 2018).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.identity.face_chip import BARE, LOWER, WINDOWS, Window
from models.identity.network import FacePrintNet
from training.identity.faces import PersonFaces
from training.identity.views import batch_of
from training.small_networks.trainer import AveragedTrainer, TrainerSettings

RIDGE = 0.05  # of the heads' first fit
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class IdentitySettings(TrainerSettings):
    """How FacePrintNet is trained."""

    learning_rate: float = 1e-4  # of dlib's blocks
    head_rate: float = 3e-4  # of what is new
    average_decay: float = 0.995
    lower_batch: int = 40
    bare_batch: int = 8
    persons_weight: float = 0.3  # of telling persons apart, beside the teacher's word
    scale: float = 16.0
    margin: float = 0.15


@dataclass(frozen=True)
class IdentityScore:
    """How far own and other persons' likenesses lie apart, in their standard deviations."""

    bare: float
    lower: float
    lower_flagged: float  # share of others below all but 1 % of own

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by; higher is better."""
        return self.lower + 0.25 * self.bare


class IdentityTrainer(AveragedTrainer[FacePrintNet]):
    """Trains FacePrintNet."""

    settings: IdentitySettings

    def __init__(
        self, faces: PersonFaces, settings: IdentitySettings, device: torch.device, seed: int
    ) -> None:
        """Learn the persons of `faces`."""
        super().__init__(FacePrintNet(), {"face_print": True}, settings, device)
        self._faces = faces
        self._random = np.random.default_rng(seed)
        names, self._person = np.unique(faces.persons, return_inverse=True)
        self._of_person = [np.flatnonzero(self._person == k) for k in range(len(names))]
        self._targets = person_targets(faces.teacher, self._person).to(device)
        self.persons = nn.Parameter(self._targets.clone())
        heads = list(self.network.heads.parameters())
        new = {id(parameter) for parameter in heads}
        old = [p for p in self.network.trained_parameters() if id(p) not in new]
        rates = (settings.learning_rate, settings.head_rate)
        self._optimise(list(zip((old, [*heads, self.persons]), rates, strict=True)))

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Begin with the teacher's own filters."""
        for network in (self.network, self.average):
            network.start_from(weights)

    def fit_heads(self, rounds: int = 2) -> None:
        """Begin with heads that read the teacher's word off its own early features."""
        for window in WINDOWS:
            features, wanted = [], []
            for _ in range(rounds):
                for start in range(0, len(self._faces), 32):
                    indices = np.arange(start, min(start + 32, len(self._faces)))
                    chips = batch_of(self._faces, indices, window, self._random).to(self.device)
                    with torch.no_grad(), self.precision():
                        features.append(self.network.pooled(chips).float())
                    wanted.append(self._targets[torch.from_numpy(self._person[indices])])
            for network in (self.network, self.average):
                network.fit_head(window.name, torch.cat(features), torch.cat(wanted), RIDGE)

    def step(self, share: float) -> dict[str, float]:
        """Learn from one batch of each window; see `AveragedTrainer.learn`."""
        losses: dict[str, Tensor] = {}
        sizes = (self.settings.bare_batch, self.settings.lower_batch)
        for window, size in zip((BARE, LOWER), sizes, strict=True):
            losses.update(self._losses(window, size))
        return self.learn(losses, share)

    def state_dict(self) -> dict[str, Any]:
        """See `AveragedTrainer.state_dict`; the persons' vectors are learned too."""
        drawn = json.dumps(self._random.bit_generator.state)  # or a resumed run sees the same again
        return {**super().state_dict(), "persons": self.persons.detach().cpu(), "drawn": drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `AveragedTrainer.load_state_dict`; older runs did not keep all of it."""
        super().load_state_dict(state)
        if "drawn" in state:
            self._random.bit_generator.state = json.loads(state["drawn"])
        if "persons" in state:
            with torch.no_grad():
                self.persons.copy_(state["persons"])

    def embed(self, faces: PersonFaces, window: Window, seed: int) -> FloatArray:
        """(N,128) of relit views by the averaged weights."""
        random = np.random.default_rng(seed)
        parts = []
        for start in range(0, len(faces), 32):
            indices = np.arange(start, min(start + 32, len(faces)))
            chips = batch_of(faces, indices, window, random).to(self.device)
            with torch.no_grad(), self.precision():
                parts.append(self.average.embedding(chips, window.name).float().cpu())
        return np.asarray(torch.cat(parts).numpy(), np.float64)

    def _losses(self, window: Window, size: int) -> dict[str, Tensor]:
        persons = self._random.integers(0, len(self._of_person), size)
        indices = np.array([self._random.choice(self._of_person[p]) for p in persons])
        chips = batch_of(self._faces, indices, window, self._random).to(self.device)
        chips = chips.contiguous(memory_format=torch.channels_last)
        with self.precision():
            said = self.network.embedding(chips, window.name)
        said = said.float()
        who = torch.from_numpy(persons).to(self.device)
        likeness = said @ functional.normalize(self.persons).T
        pushed = likeness - self.settings.margin * functional.one_hot(who, likeness.shape[1])
        told = functional.cross_entropy(self.settings.scale * pushed, who)
        taught = 1 - (said * self._targets[who]).sum(1)
        return {
            f"{window.name}_teacher": taught.mean(),
            f"{window.name}_persons": self.settings.persons_weight * told,
        }


def person_targets(teacher: NDArray[np.float32], person: NDArray[np.int64]) -> Tensor:
    """(P,128) unit vectors: the teacher's mean for each person, seen from the mean of all.

    Without the mean of all, which every face shares, embeddings of two people look alike.
    """
    values = torch.from_numpy(teacher)
    means = torch.stack([values[torch.from_numpy(person == k)].mean(0) for k in np.unique(person)])
    return functional.normalize(means - means.mean(0))


def score(trainer: IdentityTrainer, faces: PersonFaces, seed: int) -> IdentityScore:
    """Tell persons apart that were not trained on; every view is lit anew."""
    apart, flagged = {}, 0.0
    for window in WINDOWS:
        own, other = likenesses(trainer.embed(faces, window, seed), faces)
        spread = math.sqrt((float(own.var()) + float(other.var())) / 2)
        apart[window] = float(own.mean() - other.mean()) / max(spread, 1e-9)
        flagged = float((other < np.quantile(own, 0.01)).mean())
    return IdentityScore(apart[BARE], apart[LOWER], flagged)


def likenesses(embeddings: FloatArray, faces: PersonFaces) -> tuple[FloatArray, FloatArray]:
    """Products of a print (mean of the first half of a scene) with own and with others' faces.

    Portraits share one studio: their first photo is the print, and others are compared too.
    """
    key = np.char.add(np.char.add(faces.scenes, "/"), faces.persons)
    own, other = [], []
    for name in np.unique(key):
        mine = np.flatnonzero(key == name)
        if len(mine) < 2:
            continue
        half = mine[: len(mine) // 2]
        template = embeddings[half].mean(axis=0)
        template /= np.linalg.norm(template)
        own.append(embeddings[mine[len(mine) // 2 :]] @ template)
        other.append(embeddings[faces.persons != faces.persons[mine[0]]] @ template)
    return np.concatenate(own), np.concatenate(other)
