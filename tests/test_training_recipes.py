"""Recipes are strict, and every one that comes with the project can be built."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from test_models_preparation import crop_mesh, smooth_image

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models import preparation
from models.bank.references import ReferenceBank
from models.contract import CONTOURS, KNOWN_RGB, MASK, REFERENCE_RGB
from models.inpainting import architectures
from models.inpainting.inputs_choice import InputsChoice
from models.preparation import Reference
from models.preparer import Preparer
from streaming.errors import UserError
from training.adversaries.kinds import ADVERSARIES
from training.adversaries.registry import make_adversary
from training.masks.coverings import headset_mask
from training.recipes.loader import load_recipe, recipe_from, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_names_a_network_and_an_adversary_that_exist(name: str) -> None:
    recipe = load_recipe(name, ["network.settings.size_px=64", "network.settings.width=8"])
    network = architectures.build(recipe.network.architecture, recipe.network.settings)
    assert architectures.name_of(network) == recipe.network.architecture
    make_adversary(ADVERSARIES, recipe.adversary.kind, recipe.adversary.settings)
    assert recipe.about
    assert recipe_from(asdict(recipe)) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_networks_learn_from_clips_as_long_as_what_they_remember(name: str) -> None:
    """Those that look ahead see a chunk alone, and `offline` saw eight frames of 32."""
    recipe = load_recipe(name, ["network.settings.size_px=64", "network.settings.width=8"])
    network = architectures.build(recipe.network.architecture, recipe.network.settings)
    is_online = architectures.as_inpainter(network).is_online
    seen = recipe.batch.stream_frames if is_online else recipe.batch.chunk_frames
    assert seen >= 20
    frames = recipe.batch.streams * recipe.batch.chunk_frames
    if not is_online:
        assert frames == load_recipe("unvisor").batch.streams * 8  # as many a step as ours


def test_an_ablation_differs_from_ours_in_what_it_leaves_out_only() -> None:
    ours, ablated = asdict(load_recipe("unvisor")), asdict(load_recipe("no-landmarks"))
    different = {key for key in ours if ours[key] != ablated[key]}
    assert different == {"name", "about", "inputs"}
    assert not ablated["inputs"]["landmarks"]


def test_an_unknown_key_is_refused_with_the_valid_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "unvisor"\n[optimiser]\nlearning_rat = 1.0\n')
    with pytest.raises(UserError, match=r"learning_rat'.*learning_rate"):
        load_recipe(tmp_path / "mine.toml")
    with pytest.raises(UserError, match=r"no recipe 'mine'.*unvisor"):
        load_recipe("mine")
    with pytest.raises(UserError, match="must divide"):
        load_recipe("unvisor", ["batch.chunk_frames=5"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("batch.chunk_frames=0", "batch.chunk_frames is 0; it has to be at least 1"),
        ("batch.accumulate=0", "batch.accumulate is 0; it has to be at least 1"),
        ("watching.validate_every_steps=0", "it has to be at least 1"),
        ("loss_settings.perceptual_share=0.0", "it has to be 0.001 to 1"),
        ("loss_settings.first_layer=3", "layers 3 to 5 of VGG16; the last one is 4"),
        ("augmentation.lowest_jpeg_quality=90", "it has to be 1 to 84"),
    ],
)
def test_numbers_that_no_training_can_run_with_are_refused(change: str, told: str) -> None:
    """They ended in a division by zero, or in a worker, minutes later."""
    with pytest.raises(UserError, match=told):
        load_recipe("unvisor", [change])


def test_changes_are_laid_over_a_recipe() -> None:
    recipe = load_recipe("unvisor", ["optimiser.learning_rate=3e-4", "adversary.kind=none"])
    assert recipe.optimiser.learning_rate == pytest.approx(3e-4)
    assert make_adversary(ADVERSARIES, recipe.adversary.kind, recipe.adversary.settings) is None
    with pytest.raises(UserError, match=r"must be a number, not 'fast'"):
        load_recipe("unvisor", ["optimiser.learning_rate=fast"])


def test_another_network_does_not_inherit_the_settings_of_the_one_it_replaces(
    tmp_path: Path,
) -> None:
    text = 'extends = "unvisor"\n[adversary]\nkind = "other"\nsettings = { depth = 3 }\n'
    (tmp_path / "mine.toml").write_text(text)
    assert load_recipe(tmp_path / "mine.toml").adversary.settings == {"depth": 3}


def test_unknown_settings_of_networks_and_adversaries_name_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="no setting 'depth'; it has width, size_px"):
        architectures.build("evi-hrnet", {"depth": 3})
    with pytest.raises(ValueError, match=r"choose one of .*evi-hrnet"):
        architectures.build("unet", {})
    with pytest.raises(ValueError, match="no setting 'depth'; it has width"):
        make_adversary(ADVERSARIES, "patch", {"depth": 3})


def test_the_inputs_choice_replaces_channels_and_leaves_the_rest(
    canonical_mesh: np.ndarray,
) -> None:
    image, mesh = smooth_image(0), crop_mesh(canonical_mesh)
    hidden = headset_mask(mesh, len(image))
    reference = Reference(smooth_image(1), crop_mesh(canonical_mesh, (5, 0)))
    prepared = Preparer(ReferenceBank([reference], len(image))).step(image, hidden, mesh)
    ours = InputsChoice().network_input(prepared)
    raw = InputsChoice("raw", reference_in_hole_only=True).network_input(prepared)
    blind = InputsChoice("none", landmarks=False).network_input(prepared)
    assert np.array_equal(ours, preparation.network_input(prepared))
    expected = preparation.planes(reference.image) * hidden
    assert np.allclose(raw[REFERENCE_RGB], expected)
    assert not blind[REFERENCE_RGB].any()
    assert not blind[CONTOURS].any()
    for kept in (KNOWN_RGB, MASK):
        assert np.array_equal(raw[kept], ours[kept])
        assert np.array_equal(blind[kept], ours[kept])
