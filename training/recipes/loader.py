"""Reading recipes: strict, with `extends` for rows that differ from another in one thing.

A scale is laid over any recipe, for a comparison of many by smaller means.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edge.strict_mapping import from_mapping
from streaming.errors import UserError
from training.recipes.schema import BEST_JPEG_QUALITY, Batch, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
SCALES = FOLDER / "scales"
EXTENDS = "extends"
VGG_LAYERS = 5  # activations that the losses can look at
BOUNDS: Mapping[str, tuple[float, float]] = {  # of settings, least and most
    "batch.streams": (1, math.inf),
    "batch.chunk_frames": (1, math.inf),
    "batch.stream_frames": (1, math.inf),
    "batch.accumulate": (1, math.inf),
    "batch.plays": (1, math.inf),
    "batch.kept_streams": (1, math.inf),
    "batch.window_parts": (0, math.inf),
    "optimiser.steps": (1, math.inf),
    "watching.validate_every_steps": (1, math.inf),
    "watching.val_frame_step": (1, math.inf),
    "loss_settings.perceptual_share": (0.001, 1),
    "loss_settings.expression_share": (0.001, 1),
    "loss_settings.first_layer": (0, VGG_LAYERS - 1),
    "loss_settings.layers": (1, VGG_LAYERS),
    "augmentation.lowest_jpeg_quality": (1, BEST_JPEG_QUALITY - 1),
}
WHOLE_STREAMS = "whole_streams"  # of a scale: for recipes whose chunks are whole streams


def recipe_names() -> list[str]:
    """Names of the recipes that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def scale_names() -> list[str]:
    """Names of the scales that come with the project."""
    return sorted(path.stem for path in SCALES.glob("*.toml"))


def load_recipe(
    name_or_path: str | Path, changes: Iterable[str] = (), scale: str | None = None
) -> Recipe:
    """The recipe of a name or a TOML file, with `changes` such as `optimiser.learning_rate=1e-4`.

    `scale` names what is laid over the recipe before the changes, in `training/recipes/scales`.

    Raises:
        UserError: no such recipe or scale, not TOML, an unknown key (the valid ones are listed), or
            a value of the wrong type or size.
    """
    path = _path(name_or_path)
    tree = _merged(path, ())
    if scale is not None:
        tree = _scaled(tree, scale)
    for change in changes:
        _change(tree, change)
    tree["name"] = path.stem
    recipe = from_mapping(Recipe, tree, str(path))
    _check_bounds(recipe)
    _check_shares(recipe)
    return recipe


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """The recipe of `dataclasses.asdict`, as checkpoints and manifests hold it."""
    return from_mapping(Recipe, values, "the stored recipe")


def _path(name_or_path: str | Path) -> Path:
    for path in (FOLDER / f"{name_or_path}.toml", Path(name_or_path)):
        if path.is_file():
            return path
    raise UserError(
        f"There is no recipe '{name_or_path}'.",
        f"Name a TOML file or one of {', '.join(recipe_names())}.",
    )


def _scaled(tree: dict[str, Any], scale: str) -> dict[str, Any]:
    """A recipe's tree with a scale over it."""
    if scale not in scale_names():
        raise UserError(f"There is no scale '{scale}'.", f"Use {' or '.join(scale_names())}.")
    over = _read(SCALES / f"{scale}.toml")
    over.pop("about", None)
    whole_streams = over.pop(WHOLE_STREAMS, {})
    scaled = _laid_over(tree, over)
    if _plays_whole_streams(tree):
        scaled = _laid_over(scaled, whole_streams)
    return scaled | {"scale": scale}


def _plays_whole_streams(tree: Mapping[str, Any]) -> bool:
    """Whether chunks are all that a recipe's network sees of a clip, as it looks ahead."""
    batch, usual = tree.get("batch", {}), Batch()
    frames = batch.get("stream_frames", usual.stream_frames)
    return bool(batch.get("chunk_frames", usual.chunk_frames) == frames)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error


def _merged(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The tree of a file over that of the recipe it extends."""
    if path in seen:
        raise UserError(f"The recipe {path} extends itself.")
    tree = _read(path)
    parent = tree.pop(EXTENDS, None)
    if parent is None:
        return tree
    below = _path(parent if not str(parent).endswith(".toml") else path.parent / parent)
    return _laid_over(_merged(below, (*seen, path)), tree)


def _laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        # Shares of mask kinds are given as a whole: a row with boxes has no headsets left over.
        both = isinstance(value, Mapping) and isinstance(under, dict) and key != "kinds"
        if key == "settings" and _is_of_another(below, above):
            both = False
        merged[key] = _laid_over(under or {}, value) if both else value
    return merged


def _is_of_another(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether a section names another network or adversary than the one that it is laid over."""
    return any(above.get(key, below.get(key)) != below.get(key) for key in ("architecture", "kind"))


def _change(tree: dict[str, Any], change: str) -> None:
    """Set one dotted key; the value is written as in TOML, bare words are strings."""
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise UserError(
            f"'{change}' changes nothing.", "Write SECTION.KEY=VALUE, as in batch.streams=8."
        )
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *sections, leaf = key.strip().split(".")
    node = tree
    for section in sections:
        node = node.setdefault(section, {})
        if not isinstance(node, dict):
            raise UserError(f"'{key}' is no setting: {section} is a value, not a section.")
    node[leaf] = value


def _check_bounds(recipe: Recipe) -> None:
    for key, (least, most) in BOUNDS.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(recipe, section), name)
        if not least <= value <= most:
            wanted = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
            raise UserError(f"{recipe.name}: {key} is {value:g}; it has to be {wanted}.")
    looks = recipe.loss_settings
    if looks.first_layer + looks.layers > VGG_LAYERS:
        raise UserError(
            f"{recipe.name}: loss_settings asks for layers {looks.first_layer} to "
            f"{looks.first_layer + looks.layers - 1} of VGG16; the last one is {VGG_LAYERS - 1}."
        )


def _check_shares(recipe: Recipe) -> None:
    shares = recipe.masks.kinds
    if not shares or any(not isinstance(s, int | float) or s < 0 for s in shares.values()):
        raise UserError(f"{recipe.name}: masks.kinds needs a share of at least 0 for each kind.")
    if sum(shares.values()) <= 0:
        raise UserError(f"{recipe.name}: masks.kinds has no kind with a share above 0.")
    if recipe.batch.stream_frames % recipe.batch.chunk_frames:
        raise UserError(
            f"{recipe.name}: batch.chunk_frames ({recipe.batch.chunk_frames}) must divide "
            f"batch.stream_frames ({recipe.batch.stream_frames})."
        )
