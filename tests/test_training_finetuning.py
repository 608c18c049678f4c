"""Learning a wearer's last layers: what is held back, what learns, and when it is kept."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from models.personal.exchange import Answer, Order
from models.shipped import SHIPPED_NETWORK
from streaming.errors import UserError
from training.finetuning import __main__ as process
from training.finetuning.clip import WearerClip, divided
from training.finetuning.drawing import FAR_FRAMES, SEQUENCE_FRAMES, Drawing
from training.finetuning.learning import Finetuned, finetune
from training.finetuning.scoring import Score, is_better

SIZE_PX = 32


@pytest.fixture(scope="module")
def clip(
    posed_mesh: Callable[..., NDArray[np.float32]], textured_image: NDArray[np.uint8]
) -> WearerClip:
    """A head that sways, in light that changes; small, so that steps are quick."""
    images, meshes = [], []
    for index in range(130):
        mesh = posed_mesh(yaw_deg=8 * np.sin(index / 9), closed=float(index % 40 == 0))
        scale = SIZE_PX / 256
        light = 1 + 0.1 * np.sin(index / 15)
        image = cv2.resize(textured_image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
        images.append(np.clip(image * light, 0, 255).astype(np.uint8))
        meshes.append(mesh * np.float32(scale))
    starts = np.zeros(len(images), bool)
    starts[[0, 70]] = True
    return WearerClip(np.stack(images), np.stack(meshes), starts)


@pytest.fixture
def network() -> EviHrnet:
    torch.manual_seed(0)
    return EviHrnet(NetworkSettings(width=8, size_px=SIZE_PX))


def test_the_end_of_the_clip_is_held_back(clip: WearerClip) -> None:
    known, held_back = divided(clip)
    assert len(known) == 91
    assert len(held_back) == 39
    assert (held_back.images[0] == clip.images[91]).all()
    assert held_back.starts[0]


def test_a_short_clip_is_refused(clip: WearerClip) -> None:
    with pytest.raises(UserError, match="only 90 usable frames"):
        divided(clip.part(0, 90))


def test_sequences_have_no_gaps_and_views_from_elsewhere(clip: WearerClip) -> None:
    drawing = Drawing(clip.part(0, 91), seed=3)
    assert not any(begin < 70 < begin + SEQUENCE_FRAMES for begin in drawing._beginnings)
    views = drawing._references(40, 40 + SEQUENCE_FRAMES)
    near = range(40 - FAR_FRAMES, 40 + SEQUENCE_FRAMES + FAR_FRAMES)
    meshes = {clip.meshes[index].tobytes() for index in near}
    assert not any(view.mesh.tobytes() in meshes for view in views)
    sequence = drawing.draw()
    assert sequence.inputs.shape == (SEQUENCE_FRAMES, 8, SIZE_PX, SIZE_PX)
    assert 0 < sequence.inputs[:, 3].mean() < 1  # something is hidden


def test_only_the_named_layers_learn_and_the_base_stays(
    clip: WearerClip, network: EviHrnet
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    done = finetune(network, clip, 0.6, layers=("conv11",))
    assert done.steps >= 1
    assert done.frames == 39
    after = done.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("conv11.") for name in changed)
    same = network.state_dict()
    assert all(torch.equal(before[name], same[name]) for name in before)


@pytest.mark.parametrize(
    ("tuned", "kept"),
    [
        (Score(24.2, 0.96), True),
        (Score(24.05, 0.97), False),  # within the spread
        (Score(25.0, 0.959), False),  # smoother, not better
        (Score(23.0, 0.99), False),
    ],
)
def test_a_network_is_kept_only_if_it_is_better_in_both(tuned: Score, kept: bool) -> None:
    assert is_better(tuned, Score(24.0, 0.96)) is kept
    network = EviHrnet(NetworkSettings(width=8, size_px=SIZE_PX))
    weights = process.learned_weights(Finetuned(network, 5, Score(24.0, 0.96), tuned, 39))
    assert bool(weights) is kept
    assert all(name.split(".")[0] in process.LAYERS for name in weights)


def test_the_shipped_checkpoint_is_what_the_shipped_file_was_made_of() -> None:
    network = process.network_of(SHIPPED_NETWORK)
    assert sum(parameter.numel() for parameter in network.parameters()) > 1e5


def test_the_process_refuses_a_short_clip_in_words(
    clip: WearerClip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = clip.part(0, 40)
    order = Order(short.images, short.meshes, short.starts, str(SHIPPED_NETWORK), 1.0)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(order.pack())))
    assert process.main() == 1
    assert "40 usable frames" in capsys.readouterr().err


def test_an_answer_carries_what_learned(clip: WearerClip, monkeypatch: pytest.MonkeyPatch) -> None:
    network = EviHrnet(NetworkSettings(width=8, size_px=SIZE_PX))
    monkeypatch.setattr(process, "network_of", lambda path: network)
    monkeypatch.setattr(
        process,
        "finetune",
        lambda base, *_, **__: Finetuned(base, 5, Score(24.0, 0.9), Score(25.0, 0.95), 39),
    )
    answer = process.answer_to(
        Order(clip.images, clip.meshes, clip.starts, str(SHIPPED_NETWORK), 1.0)
    )
    again = Answer.unpack(answer.pack())
    assert again.is_kept
    assert again.scores["psnr_masked_db"] - again.scores["base_psnr_masked_db"] == 1.0
    assert again.weights["conv11.feature.bias"].shape == (3,)
