"""Every loss term on cases whose value is known."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from training.adversaries.registry import JudgedClips
from training.feeding.pool import Chunk
from training.helper_weights import HelperWeightsError
from training.loss_terms import faces
from training.loss_terms.features import FeatureLosses, gram
from training.loss_terms.pixels import decibels, l1_in_hole, temporal_change
from training.loss_terms.terms import LossTerms, weighted
from training.recipes.loader import load_recipe
from training.recipes.schema import LossSettings, LossWeights

RAMP_LOGITS = [-0.6885, -2.576, -3.5306, -1.9843, -8.0463, -3.3684, -6.5498]
HELPER_WEIGHTS = Path(__file__).parents[2] / "shared" / "weights"


class Raw(torch.nn.Module):
    """The picture itself as its only activation."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.seen = images
        return [images]


def chunk_of(truth: torch.Tensor, mask: torch.Tensor, around: tuple[slice, slice]) -> Chunk:
    batch, frames = truth.shape[:2]
    inputs = torch.cat([truth * (1 - mask), mask, torch.zeros(batch, frames, 4, 32, 32)], 2)
    box = torch.tensor([4.0, 4, 28, 28, 1, 0, 0, 0, 1, 0]).expand(batch, frames, 10)
    return Chunk(inputs, truth, torch.zeros(batch, dtype=torch.bool), box, around)


def test_losses_on_pixels() -> None:
    truth, mask = torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:4, 2:4] = 1
    fill = torch.full_like(truth, 0.1)
    assert float(l1_in_hole(fill, truth, mask)) == pytest.approx(0.1)
    # 4 of 64 pixels are off by 0.1: the frame's squared error is 0.01 / 16.
    assert float(decibels(fill, truth, mask)) == pytest.approx(10 * np.log10(0.01 / 16), abs=0.01)


def test_a_steady_error_does_not_flicker_and_a_changing_one_does() -> None:
    truth, mask = torch.rand(1, 4, 3, 8, 8), torch.ones(1, 4, 1, 8, 8)
    assert float(temporal_change(truth + 0.1, truth, mask)) == pytest.approx(0, abs=1e-6)
    blinking = truth + 0.1 * torch.tensor([1.0, 0, 1, 0]).view(1, 4, 1, 1, 1)
    assert float(temporal_change(blinking, truth, mask)) == pytest.approx(0.1, abs=1e-6)
    assert float(temporal_change(blinking, truth, 0 * mask)) == 0


def test_style_compares_what_goes_together_not_where() -> None:
    picture = torch.rand(1, 3, 6, 6)
    moved = picture.roll(2, -1)
    perceptual, style = FeatureLosses(Raw(), (0,))(moved, picture)
    assert float(style) == pytest.approx(0, abs=1e-6)
    assert float(perceptual) > 0.1
    assert gram(torch.ones(2, 3, 4, 4))[0, 0, 1] == pytest.approx(1 / 3)  # 16 / (3 × 16)


def test_the_published_style_counts_deeper_layers_less() -> None:
    """LGTSM's divisors: 2, 4, 8. Without them the deepest layer counted eight times too much."""

    class Thrice(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [images, 2 * images, 4 * images]

    one, other = torch.rand(1, 3, 6, 6), torch.rand(1, 3, 6, 6)
    _, first = FeatureLosses(Thrice(), (0,))(one, other)
    perceptual, style = FeatureLosses(Thrice(), style_halving=True)(one, other)
    assert float(style) == pytest.approx(float(first) * (1 / 2 + 4 / 4 + 16 / 8), rel=1e-5)
    assert float(perceptual) == pytest.approx(7 * float((one - other).abs().mean()), rel=1e-5)
    published = load_recipe("evi-published").loss_settings
    assert (published.style_halving, published.first_layer, published.layers) == (True, 1, 3)
    assert not published.normalised


def test_terms_look_around_the_hole_or_at_the_frame_as_told() -> None:
    truth, mask = torch.zeros(1, 2, 3, 32, 32), torch.zeros(1, 2, 1, 32, 32)
    mask[..., 12:16, 12:16] = 1
    chunk = chunk_of(truth, mask, (slice(8, 24), slice(4, 28)))
    clips = JudgedClips(truth + 0.5 * mask, truth, chunk.inputs)
    weights = LossWeights(l1=1, l1_frame=1, decibel=0, perceptual=1)
    for region, shape in (("hole", (16, 24)), ("frame", (32, 32))):
        raw = Raw()
        settings = LossSettings(region=region, perceptual_share=0.5)
        terms = LossTerms(weights, settings, FeatureLosses(raw, (0,)))(clips, chunk, step=1)
        assert set(terms) == {"l1", "l1_frame", "perceptual"}
        assert tuple(raw.seen.shape) == (1, 3, *shape)  # one of two frames
    assert float(terms["l1"]) == pytest.approx(0.5)
    assert float(terms["l1_frame"]) == pytest.approx(0.5 * 16 / 1024)
    total = 0.5 + 0.5 * 16 / 1024 + float(terms["perceptual"])
    assert float(weighted(terms, weights)) == pytest.approx(total)


def test_an_expression_loss_follows_the_face_and_reaches_the_picture() -> None:
    class Brightness(torch.nn.Module):
        size_px = 8

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack([images.mean((1, 2, 3)), torch.zeros(len(images))], 1) * 10

    loss = faces.ExpressionLoss(Brightness())
    truth = torch.zeros(1, 3, 32, 32)
    box = torch.tensor([[8.0, 8, 16, 16, 1, 0, 0, 0, 1, 0]])
    outside, inside = truth.clone(), truth.clone()
    outside[..., 20:, 20:] = 1
    inside[..., 8:16, 8:16] = 0.3
    inside.requires_grad_(True)
    assert float(loss(outside, truth, box)) == 0
    found = loss(inside, truth, box)
    assert float(found) == pytest.approx(1 / (1 + np.exp(-3)) - 0.5, rel=0.05)
    found.backward()
    assert inside.grad[..., 10, 10].abs().sum() > 0


def test_a_face_chip_is_cut_by_its_matrix() -> None:
    picture = torch.zeros(1, 3, 40, 40)
    picture[..., 10, 20] = 1  # row 10, column 20
    box = torch.tensor([[0.0, 0, 1, 1, 2, 0, 30, 0, 2, 50]])  # chip = 2 × px + (30, 50)
    chip = faces._chips(picture, box)
    assert chip.shape[-1] == 150
    assert np.unravel_index(int(chip[0, 0].argmax()), (150, 150)) == (70, 70)


def test_missing_face_networks_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HelperWeightsError, match=r"losses\.expression=0"):
        faces.expression_network("face-api", tmp_path)
    monkeypatch.setitem(sys.modules, "hsemotion", None)
    with pytest.raises(HelperWeightsError, match="pip install hsemotion"):
        faces.expression_network("hsemotion", tmp_path)


def test_hsemotion_is_used_as_its_package_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package takes the classifier off the network and keeps its weights as arrays."""

    class Recognizer:
        def __init__(self, model_name: str, device: str) -> None:
            assert (model_name, device) == ("enet_b0_8_best_afew", "cpu")
            self.model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
            self.classifier_weights, self.classifier_bias = np.eye(8, 3), np.arange(8.0)

    package = SimpleNamespace(HSEmotionRecognizer=Recognizer)
    monkeypatch.setitem(sys.modules, "hsemotion", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "hsemotion.facial_emotions", package)
    network = faces.expression_network("hsemotion", Path("nowhere"))
    logits = network(network.mean.expand(1, 3, 224, 224))
    assert logits[0].tolist() == pytest.approx(list(range(8)), abs=1e-5)


@pytest.mark.skipif(
    not (HELPER_WEIGHTS / faces.EXPRESSION_FILE).exists(), reason="needs the helper weights"
)
def test_the_expression_network_gives_the_ports_logits() -> None:
    """Values of another implementation of the same file, on a grey ramp."""
    network = faces.expression_network("face-api", HELPER_WEIGHTS)
    ramp = torch.linspace(0, 1, 112).expand(1, 3, 112, 112)
    assert network(ramp)[0].tolist() == pytest.approx(RAMP_LOGITS, abs=2e-3)
