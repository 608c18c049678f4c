"""Prepared streams in the device's memory, as bytes; chunks are cut out of them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.contract import MASK, REFERENCE_RGB
from training.feeding.playlist import Turn
from training.feeding.streams import FACE_VALUES, PLANES, PreparedStream

HOLE_MARGIN_PX = 8  # known pixels around the hole that the losses see too
HOLE_STEP_PX = 16  # few different sizes: a GPU tunes itself to each


@dataclass(frozen=True)
class Chunk:
    """A batch of short clips on the device, and which streams begin anew with it."""

    inputs: Tensor  # (B,T,8,S,S) 0..1, see `models.contract`
    truth: Tensor  # (B,T,3,S,S) RGB 0..1
    begins: Tensor  # (B,) bool: states must be zeroed first
    faces: Tensor  # (B,T,10) px, see `training.feeding.streams.FACE_VALUES`
    around_hole: tuple[slice, slice]  # rows, columns that hold every hole, with a margin


class StreamPool:
    """A ring of prepared streams; stream n lies at n modulo the capacity."""

    def __init__(self, capacity: int, frames: int, size_px: int, device: torch.device) -> None:
        """Hold `capacity` streams on `device`.

        Raises:
            ValueError: they do not fit into its memory.
        """
        try:
            shape = (capacity, frames, PLANES, size_px, size_px)
            self._planes = torch.empty(shape, dtype=torch.uint8, device=device)
        except RuntimeError as error:
            gib = capacity * frames * PLANES * size_px**2 / 2**30
            raise ValueError(
                f"{capacity} prepared streams need {gib:.1f} GiB, which {device} does not have: "
                "set batch.kept_streams or batch.streams lower"
            ) from error
        self._faces = torch.empty((capacity, frames, FACE_VALUES), device=device)
        self._holes = np.zeros((capacity, 4), np.int64)
        self._numbers = np.full(capacity, -1, np.int64)
        self._device, self._size = device, size_px

    def holds(self, number: int) -> bool:
        """Whether stream `number` is there."""
        return bool(self._numbers[number % len(self._numbers)] == number)

    def put(self, number: int, stream: PreparedStream) -> None:
        """Keep a stream, in place of the one that is a whole ring older."""
        place = number % len(self._numbers)
        self._planes[place].copy_(torch.from_numpy(stream.planes))
        self._faces[place].copy_(torch.from_numpy(stream.faces))
        self._holes[place] = stream.hole
        self._numbers[place] = number

    def chunk(self, turns: Sequence[Turn], frames: int) -> Chunk:
        """Cut what the slots play; every stream must be held."""
        capacity = len(self._numbers)
        places = np.array([turn.stream % capacity for turn in turns])
        firsts = np.array([turn.first for turn in turns])
        mirrored = np.array([turn.mirrored for turn in turns])
        rows = self._on_device(places)[:, None]
        columns = self._on_device(firsts)[:, None] + torch.arange(frames, device=self._device)
        flips = self._on_device(mirrored)
        planes = self._planes[rows, columns]
        planes = torch.where(flips[:, None, None, None, None], planes.flip(-1), planes)
        faces = self._faces[rows, columns]
        faces = torch.where(flips[:, None, None], _mirrored(faces, self._size), faces)
        begins = self._on_device(np.array([turn.begins for turn in turns]))
        around = _around(self._holes[places], mirrored, self._size)
        return Chunk(*_colours(planes), begins, faces, around)

    def _on_device(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self._device, non_blocking=True)


def _colours(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and truth of bytes (B,T,8,S,S)."""
    values = planes.float()
    truth = values[:, :, :3] / 255
    inputs = values.clone()
    inputs[:, :, :3] = truth * (1 - values[:, :, MASK])
    inputs[:, :, REFERENCE_RGB] /= 255
    return inputs, truth


def _mirrored(faces: Tensor, size_px: int) -> Tensor:
    """Boxes of mirrored pictures, and matrices that turn those back into the unmirrored chip."""
    left, top, right, bottom, a, b, c, d, e, f = faces.unbind(-1)
    last = size_px - 1
    box = (last - right, top, last - left, bottom)
    return torch.stack([*box, -a, b, c + a * last, -d, e, f + d * last], -1)


def _around(
    holes: NDArray[np.int64], mirrored: NDArray[np.bool_], size_px: int
) -> tuple[slice, slice]:
    top, bottom, left, right = holes.T
    lefts = np.where(mirrored, size_px - right, left)
    rights = np.where(mirrored, size_px - left, right)
    return _span(top.min(), bottom.max(), size_px), _span(lefts.min(), rights.max(), size_px)


def _span(first: int, last: int, size_px: int) -> slice:
    """Rows or columns with a margin, in whole steps."""
    low = max(int(first) - HOLE_MARGIN_PX, 0) // HOLE_STEP_PX * HOLE_STEP_PX
    high = -(-(int(last) + HOLE_MARGIN_PX) // HOLE_STEP_PX) * HOLE_STEP_PX
    return slice(low, min(high, size_px))
