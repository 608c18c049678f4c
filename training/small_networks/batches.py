"""Endless batches, drawn in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BatchT = TypeVar("BatchT")
TensorsT = TypeVar("TensorsT", bound="DataclassInstance")
MOST_WORKERS = 64  # seeds apart


class EndlessBatches(IterableDataset[BatchT]):
    """Batches that go on forever."""

    def __init__(self, drawn: Callable[[int], Iterator[BatchT]], seed: int) -> None:
        """Each worker process calls `drawn` with a seed of its own."""
        self._drawn, self._seed = drawn, seed

    def __iter__(self) -> Iterator[BatchT]:
        """Draw in this process."""
        cv2.setNumThreads(1)
        worker = get_worker_info()
        return self._drawn(self._seed * MOST_WORKERS + (worker.id if worker else 0))


def drawn_apart(batches: EndlessBatches[BatchT], workers: int) -> Iterator[BatchT]:
    """The same batches from so many worker processes; 0 = drawn here, when asked for."""
    return iter(DataLoader(batches, batch_size=None, num_workers=workers))


def to_device(batch: TensorsT, device: torch.device) -> TensorsT:
    """The same batch, a dataclass of tensors, on a device."""
    moved = {field.name: getattr(batch, field.name).to(device) for field in fields(batch)}
    return replace(batch, **moved)
