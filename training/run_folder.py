"""The folder of one training run: checkpoints, settings, curve, scores."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from training import checkpoint

CHECKPOINT, BEST, CURVE, SETTINGS = "last.pt", "best.pt", "curve.jsonl", "settings.json"
SCORES, CURVES = "scores.json", "curves"


class RunFolder:
    """Files of a run; every file is readable after a kill at any moment."""

    def __init__(self, path: Path) -> None:
        """Use, and make if need be, the folder `path`."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def save(self, state: dict[str, Any]) -> None:
        """Keep a checkpoint in place of the last; raises CheckpointError and keeps that one."""
        checkpoint.save(state, self.path / CHECKPOINT)

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, None for a new run."""
        path = self.path / CHECKPOINT
        return checkpoint.load(path) if path.exists() else None

    def save_states(self, step: int, rank: int, states: Any) -> None:
        """Keep what the network remembers of its streams, which is large: a file of its own."""
        checkpoint.save({"step": step, "states": states}, self._states(rank))

    def load_states(self, step: int, rank: int) -> Any:
        """What `save_states` kept at that step; None where it did not: streams begin anew."""
        path = self._states(rank)
        if not path.exists():
            return None
        kept = checkpoint.load(path)
        return kept["states"] if kept["step"] == step else None

    def save_best(self, state: dict[str, Any]) -> None:
        """Keep the network with the best validation so far."""
        checkpoint.save(state, self.path / BEST)

    def best(self) -> dict[str, Any] | None:
        """That network, None before the first validation."""
        path = self.path / BEST
        return checkpoint.load(path) if path.exists() else None

    def record(self, row: dict[str, Any]) -> None:
        """Add a row to the curve."""
        with open(self.path / CURVE, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop rows of steps that will be done again, and a last row that was cut short."""
        path = self.path / CURVE
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row["step"] < step or (row["step"] == step and "validation" not in row):
                kept.append(json.dumps(row))
        partial = path.with_suffix(".partial")
        partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        os.replace(partial, path)

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Write a JSON file of the run."""
        text = json.dumps(document, indent=1) + "\n"
        (self.path / name).write_text(text, encoding="utf-8")

    def _states(self, rank: int) -> Path:
        return self.path / f"last-states-{rank}.pt"


def commit() -> str:
    """Commit of this checkout, with `+` when files differ from it; `unknown` outside of one."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    head = ask("rev-parse", "HEAD")
    return head + "+" * bool(ask("status", "--porcelain", "-uno")) if head else "unknown"
