"""Checkpoints: everything a run needs to go on as if it had not stopped, written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from streaming.whole_file import whole_file


class CheckpointError(Exception):
    """A checkpoint cannot be read or does not fit; the message says what to do."""


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` to `path`; a crash, also of power, or a full disk leaves the previous file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_file(path) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} could not be saved ({error}); the previous checkpoint is kept. Free disk "
            "space and start the same command again: it resumes."
        ) from error


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes fail in the unpickler in every possible way
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(
            f"{path} is not a readable checkpoint ({reason}); name another, or delete it."
        ) from error
    return state
