"""A scale gives every recipe the same means, and leaves what the recipe is about."""

from __future__ import annotations

from dataclasses import asdict

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models.inpainting import architectures
from streaming.errors import UserError
from training.recipes.loader import (
    load_recipe,
    recipe_from,
    recipe_names,
    scale_names,
)

SMALL = "two-cores"
# What recipes may still differ in: networks and what they see, and losses that are their subject.
SUBJECTS = {"name", "about", "network", "inputs", "loss_settings.composited", "losses.structure"}


def flat(name: str) -> dict[str, object]:
    """The small recipe, settings of sections by dotted names."""
    found: dict[str, object] = {}
    for key, value in asdict(load_recipe(name, scale=SMALL)).items():
        sections = key in ("losses", "loss_settings", "optimiser", "augmentation", "masks")
        found |= {f"{key}.{k}": v for k, v in value.items()} if sections else {key: value}
    return found


@pytest.mark.parametrize("name", recipe_names())
def test_small_recipes_differ_in_their_subject_alone(name: str) -> None:
    ours, row = flat("unvisor"), flat(name)
    frames = [r.pop("batch") for r in (ours, row)]
    row.pop("loss_settings.expression_share"), ours.pop("loss_settings.expression_share")
    row.pop("loss_settings.style_halving"), ours.pop("loss_settings.style_halving")
    ignored = {"adversary"}  # its kind is "none": what else it says counts for nothing
    assert {key for key in ours if ours[key] != row[key]} - ignored <= SUBJECTS
    assert load_recipe(name, scale=SMALL).adversary.kind == "none"
    per_step = [b["streams"] * b["chunk_frames"] * b["accumulate"] for b in frames]
    assert per_step[0] == per_step[1]


@pytest.mark.parametrize("name", recipe_names())
def test_every_network_can_be_built_small_and_remembers_its_scale(name: str) -> None:
    recipe = load_recipe(name, scale=SMALL)
    network = architectures.build(recipe.network.architecture, recipe.network.settings)
    settings = architectures.as_inpainter(network).settings
    assert (settings.width, settings.size_px) == (16, 64)
    assert recipe_from(asdict(recipe)).scale == SMALL


def test_what_a_row_is_about_stays() -> None:
    assert load_recipe("evi-published", scale=SMALL).inputs.reference == "raw"
    assert load_recipe("comb-cn", scale=SMALL).losses.structure == 1
    assert not load_recipe("m-csam-whole-image", scale=SMALL).loss_settings.composited
    assert load_recipe("m-csam", scale=SMALL).loss_settings.composited
    assert load_recipe("stn", scale=SMALL).network.settings["temporal_layers"] == 2


def test_networks_that_look_ahead_keep_chunks_that_are_whole_streams() -> None:
    online, ahead = (load_recipe(n, scale=SMALL).batch for n in ("unvisor", "offline"))
    assert ahead.chunk_frames == ahead.stream_frames > online.chunk_frames


def test_changes_come_after_the_scale_and_recipes_are_not_scales() -> None:
    recipe = load_recipe("unvisor", ["optimiser.steps=7"], SMALL)
    assert (recipe.optimiser.steps, recipe.optimiser.bfloat16) == (7, False)
    assert SMALL not in recipe_names()
    assert load_recipe("unvisor").scale == ""
    with pytest.raises(UserError, match=rf"no scale 'unvisor'.*{' or '.join(scale_names())}"):
        load_recipe("unvisor", scale="unvisor")
