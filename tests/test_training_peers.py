"""Every peer's recipe, rehearsed small: two steps of the product's own trainer."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from drawn_training import drawn_clips, played_chunks

from models.contract import MASK
from training.feeding.streams import DecodedClip
from training.loss_terms.features import FeatureLosses
from training.loss_terms.terms import LossTerms
from training.recipes.loader import load_recipe
from training.recipes.schema import Recipe
from training.trainer import Trainer, order_channels_last

SIZE = 64
SMALL = (
    *("network.settings.width=8", f"network.settings.size_px={SIZE}", "adversary.from_step=0"),
    *("batch.streams=2", "batch.chunk_frames=2", "batch.stream_frames=8", "batch.plays=1"),
    *("batch.kept_streams=2", "optimiser.bfloat16=false", "optimiser.warm_up_steps=1"),
)
JUDGED = ("lgtsm-online", "lgtsm-offline", "stn-lm", "m-csam")
JUDGED_ALIKE = ("lgtsm-ref-lm", "per-frame", "stn-si", "stn-si-lm", "stn", "m-csam-plain-conv")


class DrawnFeatures(torch.nn.Module):
    """Stands for VGG16, whose weights are not part of the project: its channels and sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = torch.nn.ModuleList(
            torch.nn.Conv2d(3, channels, 2**k, 2**k) for k, channels in enumerate((8, 8, 8, 512, 8))
        )
        self.requires_grad_(False)

    def forward(self, rgb: torch.Tensor) -> list[torch.Tensor]:
        return [torch.relu(conv(rgb)) for conv in self.convs]


@pytest.fixture(scope="module")
def clips() -> list[DecodedClip]:
    return drawn_clips(SIZE)


def small(name: str, *changes: str) -> Recipe:
    judge = [] if name == "comb-cn" else ["adversary.settings.width=4"]
    if name.startswith("m-csam"):
        judge.append("adversary.settings.feature_width=8")
    return load_recipe(name, [*SMALL, *judge, *changes])


def trainer_of(recipe: Recipe) -> Trainer:
    torch.manual_seed(0)
    s = recipe.loss_settings
    layers = tuple(range(s.first_layer, s.first_layer + s.layers))
    features = FeatureLosses(DrawnFeatures(), layers, s.normalised)
    uses = recipe.losses.perceptual or recipe.losses.style
    return Trainer(recipe, LossTerms(recipe.losses, s, features if uses else None))


def copied(module: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def changed(before: list[torch.Tensor], module: Any) -> bool:
    return any(
        not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "name", [*JUDGED, *(pytest.param(name, marks=pytest.mark.slow) for name in JUDGED_ALIKE)]
)
def test_a_peers_recipe_trains_network_and_adversary(name: str, clips: list[DecodedClip]) -> None:
    recipe = small(name, "optimiser.bfloat16=true")  # as all recipes have it
    trainer = trainer_of(recipe)
    network, judge = copied(trainer.generator), copied(trainer.adversary)
    seen = set()
    for module in trainer.adversary.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, given, said: seen.add(said.dtype))
    for chunk in played_chunks(clips, recipe, 2):
        losses = trainer.check(trainer.step([chunk]))
    assert {"adversarial", "judge", "perceptual"} <= set(losses)
    assert changed(network, trainer.generator)
    assert changed(judge, trainer.adversary)
    assert seen == {torch.float32}  # a penalty on slopes wants more than eight bits


def test_recipes_show_each_network_what_its_paper_does(clips: list[DecodedClip]) -> None:
    shown = {}
    for name in ("lgtsm-online", "stn-si-lm", "lgtsm-ref-lm"):
        inputs = played_chunks(clips, small(name), 1)[0].inputs
        hidden = inputs[:, :, MASK] > 0
        reference = inputs[:, :, 5:8]
        shown[name] = (
            bool(inputs[:, :, 4].any()),
            bool(reference.any()),
            bool((reference * ~hidden).any()),
        )
    assert shown == {
        "lgtsm-online": (False, False, False),
        "stn-si-lm": (True, False, False),
        "lgtsm-ref-lm": (True, True, False),
    }


def test_comb_cn_is_supervised_at_half_size_too_and_its_average_keeps_its_norms(
    clips: list[DecodedClip],
) -> None:
    recipe = small("comb-cn", "optimiser.bfloat16=true")
    trainer = trainer_of(recipe)
    before = copied(trainer.generator.structure)
    for chunk in played_chunks(clips, recipe, 2):
        losses = trainer.check(trainer.step([chunk]))
    assert set(losses) == {"l1", "structure", "gradient_norm"}
    assert changed(before, trainer.generator.structure)
    for kept, new in zip(trainer.average.buffers(), trainer.generator.buffers(), strict=True):
        assert torch.equal(kept, new)
    assert not trainer.average.training


def test_structure_is_refused_for_networks_that_draw_none(clips: list[DecodedClip]) -> None:
    recipe = small("lgtsm-online", "losses.structure=1.0")
    with pytest.raises(ValueError, match="for comb-cn only"):
        trainer_of(recipe).step(played_chunks(clips, recipe, 1))


@pytest.mark.parametrize("name", ["unvisor", "comb-cn", "m-csam", "stn-lm", "lgtsm-online"])
def test_recipes_train_as_a_gpu_lays_them_out(name: str, clips: list[DecodedClip]) -> None:
    """And in bfloat16. 3D convolutions know no channels-last order: M-CSAM and CombCN did not start
    on a GPU, and on a CPU CombCN's weights broke in the first step.
    """
    attention = ["network.settings.attention=none"] if name == "unvisor" else []
    recipe = small(name, "losses.expression=0", "optimiser.bfloat16=true", *attention)
    trainer = trainer_of(recipe)
    order_channels_last(trainer.generator)
    convolutions = [p for p in trainer.generator.parameters() if p.dim() == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)
    before = copied(trainer.generator)
    trainer.check(trainer.step(played_chunks(clips, recipe, 1)))
    assert changed(before, trainer.generator)


def test_critics_learn_five_times_for_each_step_of_the_network(clips: list[DecodedClip]) -> None:
    recipe = small("stn-si")
    trainer = trainer_of(recipe)
    trainer.step(played_chunks(clips, recipe, 1))
    assert trainer.judge_optimiser is not None
    (steps,) = {int(state["step"]) for state in trainer.judge_optimiser.state.values()}
    assert steps == 5


def test_an_adversary_of_features_needs_a_loss_that_looks_at_them() -> None:
    with pytest.raises(ValueError, match=r"losses\.perceptual or losses\.style"):
        trainer_of(small("m-csam", "losses.perceptual=0", "losses.style=0"))


def test_only_the_whole_image_is_supervised_where_pixels_are_known(
    clips: list[DecodedClip],
) -> None:
    """Region-attentive supervision takes its gradient from the hole alone."""
    for name, outside in (("m-csam", False), ("m-csam-whole-image", True)):
        recipe = small(name)
        trainer = trainer_of(recipe)
        chunk = played_chunks(clips, recipe, 1)[0]
        seen = trainer._filled(chunk)
        known = (chunk.inputs[:, :, MASK] == 0).expand_as(seen.composite)
        assert torch.equal(seen.composite[known], chunk.truth[known]) != outside


def test_the_video_network_goes_on_from_the_still_one(clips: list[DecodedClip]) -> None:
    recipe = small("stn-si")
    stills = trainer_of(recipe)
    stills.step(played_chunks(clips, recipe, 1))
    video = trainer_of(small("stn"))
    video.start_with(stills.average.state_dict())
    chunk = played_chunks(clips, recipe, 1)[0]
    with torch.no_grad():
        expected = stills.average(chunk.inputs)[0]
        assert torch.equal(video.average(chunk.inputs)[0], expected)
        assert torch.equal(video.generator(chunk.inputs)[0], expected)
    assert stills.adversary is not None
    judge = stills.adversary.state_dict()
    video.start_with(stills.average.state_dict(), judge)
    seen = stills._filled(chunk)
    assert video.adversary is not None
    assert torch.equal(video.adversary.generator_loss(seen), stills.adversary.generator_loss(seen))
    other = trainer_of(small("lgtsm-online"))
    before = copied(other.adversary)
    other.start_with(other.average.state_dict(), judge)
    assert not changed(before, other.adversary)
    wider = trainer_of(small("stn-si", "network.settings.width=16"))
    with pytest.raises(ValueError, match="another network"):
        video.start_with(wider.average.state_dict())
