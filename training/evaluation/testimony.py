"""How a method's weights came to be: what its manifest or checkpoint says of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from training.evaluation.plateau import curve_end

NOT_TOLD = "not told"


@dataclass(frozen=True)
class Testimony:
    """What a comparison must say of a row; fields that a file does not tell say so."""

    file: str  # its name, without the folder
    architecture: str
    recipe: str = ""
    scale: str = ""  # what was laid over the recipe
    width: int | None = None
    size_px: int | None = None
    steps: int | None = None
    run_steps: int | None = None  # of the whole run; the best weights may be earlier ones
    last_fifth_db: float | None = None  # what val PSNR gained over the last fifth of the run
    hours: float | None = None
    device: str = NOT_TOLD
    sha256: str = ""
    commit: str = ""

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        return asdict(self)


def of_manifest(path: Path, manifest: Mapping[str, Any]) -> Testimony:
    """What the manifest of the network file `path` tells."""
    return _testimony(path, manifest, manifest.get("trained_steps"))


def of_checkpoint(path: Path, kept: Mapping[str, Any]) -> Testimony:
    """What the checkpoint `path` tells; a run's file is named by the run."""
    end = curve_end(path.parent)
    told = _testimony(path, kept, kept.get("step"))
    if end is None:
        return told
    return replace(told, run_steps=end.steps, last_fifth_db=end.last_fifth_db)


def _testimony(path: Path, told: Mapping[str, Any], steps: Any) -> Testimony:
    training = told.get("training")
    places = [told, training if isinstance(training, Mapping) else {}]
    settings, recipe = told.get("settings") or {}, told.get("recipe") or {}
    hours = _first(places, "hours")
    if hours is None and (seconds := _first(places, "seconds")) is not None:
        hours = float(seconds) / 3600
    return Testimony(
        file=path.name if path.suffix == ".onnx" else f"{path.parent.name}/{path.name}",
        architecture=str(told.get("architecture", "evi-hrnet")),
        recipe=str(recipe.get("name", "")) if isinstance(recipe, Mapping) else str(recipe),
        scale=str(recipe.get("scale", "")) if isinstance(recipe, Mapping) else "",
        width=settings.get("width"),
        size_px=settings.get("size_px"),
        steps=None if steps is None else int(steps),
        hours=None if hours is None else float(hours),
        device=str(_first(places, "device") or NOT_TOLD),
        sha256=str(told.get("sha256", "")),
        commit=str(told.get("commit", "")),
    )


def _first(places: list[Mapping[str, Any]], name: str) -> Any:
    return next((place[name] for place in places if place.get(name) is not None), None)
