"""Checkpoints: everything a run needs to go on as if it had not stopped, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


class CheckpointError(Exception):
    """A checkpoint cannot be read or does not fit; the message says what to do."""


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` to `path`; a crash, also of power, or a full disk leaves the previous file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # or the new name may come to the disk before the content
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
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
