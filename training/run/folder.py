"""The folder of one training run: checkpoints, settings, curve, scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streaming.whole_file import write_whole
from training.run import checkpoint

CHECKPOINT, BEST, CURVE, SETTINGS = "last.pt", "best.pt", "curve.jsonl", "settings.json"
SCORES, CURVES = "scores.json", "curves"


class RunFolder:
    """Files of a run; every file is readable after a kill at any moment."""

    def __init__(self, path: Path) -> None:
        """Use, and make if need be, the folder `path`."""
        self.path = path
        with _told(path):
            path.mkdir(parents=True, exist_ok=True)

    def save(self, state: dict[str, Any]) -> None:
        """Keep a checkpoint in place of the last; raises CheckpointError and keeps that one."""
        checkpoint.save(state, self.path / CHECKPOINT)

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, None for a new run."""
        path = self.path / CHECKPOINT
        return checkpoint.load(path) if path.exists() else None

    def save_states(self, step: int, rank: int, states: Any) -> None:
        """Keep what the network remembers of its streams, which is large: a file of its own.

        Those of the last checkpoint stay until `forget_states_but`: a kill in between loses none.
        """
        checkpoint.save({"step": step, "states": states}, self._states(rank, step))

    def load_states(self, step: int, rank: int) -> Any:
        """What `save_states` kept at that step; None where it did not: streams begin anew."""
        path = self._states(rank, step)
        return checkpoint.load(path)["states"] if path.exists() else None

    def forget_states_but(self, step: int, rank: int) -> None:
        """Delete what `save_states` kept at other steps, and what a kill left half written."""
        for path in self.path.glob(f"last-states-{rank}-*"):
            if path != self._states(rank, step):
                path.unlink(missing_ok=True)

    def save_best(self, state: dict[str, Any]) -> None:
        """Keep the network with the best validation so far."""
        checkpoint.save(state, self.path / BEST)

    def best(self) -> dict[str, Any] | None:
        """That network, None before the first validation."""
        path = self.path / BEST
        return checkpoint.load(path) if path.exists() else None

    def record(self, row: dict[str, Any]) -> None:
        """Add a row to the curve."""
        with _told(self.path / CURVE), open(self.path / CURVE, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def forget_after(self, step: int, *, is_validated: bool = False) -> None:
        """Drop rows of steps that will be done again, and a last row that was cut short.

        The validation of `step` itself is done again, too, unless `is_validated`.
        """
        path = self.path / CURVE
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row["step"] < step or (
                row["step"] == step and (is_validated or "validation" not in row)
            ):
                kept.append(json.dumps(row))
        _replace(path, "".join(f"{line}\n" for line in kept))

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Write a JSON file of the run."""
        _replace(self.path / name, json.dumps(document, indent=1) + "\n")

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run; empty where there is none."""
        try:
            found = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _states(self, rank: int, step: int) -> Path:
        return self.path / f"last-states-{rank}-{step}.pt"


def json_like(value: Any) -> Any:
    """`value` as it comes back from a JSON file: tuples are lists."""
    return json.loads(json.dumps(value))


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with _told(path):
        write_whole(path, text.encode())


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what became of a file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise checkpoint.CheckpointError(
            f"{path} could not be written ({error}); the last checkpoint is kept. Free disk space "
            "and start the same command again: it resumes."
        ) from error
