"""Where an INT8 network goes, and that it only gets there when it is good enough."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.quantisation.quantise import Target
from models.shipped import int8_path, manifest_path


def default_place(original: Path, target: Target) -> Path:
    """The file that INT8 forms of `original` are written to; sessions look for the `cpu` one."""
    place = int8_path(original)
    return place if target == "cpu" else place.with_stem(f"{place.stem}_{target}")


@contextmanager
def accepted_as(out: Path) -> Iterator[Path]:
    """A file to write a network to, its manifest beside it; both become `out` at the end.

    An exception in between leaves `out` as it was: sessions would take what lies there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unvisor-int8-", dir=out.parent) as folder:
        made = Path(folder) / out.name
        yield made
        os.replace(made, out)
        os.replace(manifest_path(made), manifest_path(out))
