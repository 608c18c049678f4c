"""Curves of a run for TensorBoard, where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FOLDER = "curves"


class Curves:
    """Writes what `curve.jsonl` holds as TensorBoard scalars too; without TensorBoard nothing."""

    def __init__(self, run: Path) -> None:
        """Write into `run`/curves."""
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.info("no TensorBoard here (the extra `curves` has it): only curve.jsonl is written")
            return
        self._writer = SummaryWriter(str(run / FOLDER))

    def add(self, row: Mapping[str, Any]) -> None:
        """A row of the curve: its step, and losses or a validation."""
        if self._writer is None:
            return
        step = row["step"]
        for name, value in row.items():
            if name == "validation":
                for key, score in value.items():
                    self._writer.add_scalar(f"validation/{key}", score, step)
            elif name != "step":
                self._writer.add_scalar(f"loss/{name}", value, step)
        if "validation" in row:
            self._writer.flush()
