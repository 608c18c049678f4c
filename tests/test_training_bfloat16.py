"""Geometry stays exact while a training computes in bfloat16, whose coordinates are whole px."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models.contract import MASK
from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from training.adversaries.critics import around_hole
from training.loss_terms import faces

FACE = torch.tensor([[20.0, 15, 110, 120, 1.37, 0.11, -8.3, -0.11, 1.37, 4.2]])


def chessboard(size_px: int) -> torch.Tensor:
    axis = torch.arange(size_px)
    return ((axis[:, None] + axis) % 2).float().expand(3, size_px, size_px)


@pytest.mark.parametrize("size_px", [128, 256])
@torch.no_grad()
def test_the_start_is_not_moved_by_the_number_format(size_px: int) -> None:
    """It was by up to half a px at 256 px: a fine pattern came back grey."""
    torch.manual_seed(0)
    network = EviHrnet(NetworkSettings(width=8, size_px=size_px, attention="none"))
    network.smooth_head.bias[:2] = torch.tensor([0.7, -1.3])  # a flow in px
    inputs = chessboard(size_px).repeat(3, 1, 1)[None, None, :8].clone()
    inputs[:, :, MASK] = 0
    exact, _ = network(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = network(inputs)
    assert float((found - exact).abs().max()) < 0.02


@pytest.mark.parametrize(
    "cut", [faces._chips, lambda images, boxes: faces._face_boxes(images, boxes, 112)]
)
def test_losses_cut_faces_where_they_are(cut: object) -> None:
    """Their px were rounded to eight bits: cuts were off by up to half a px."""
    assert callable(cut)
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    places = torch.stack([x, y, x])[None]  # px as colours
    exact = cut(places, FACE)
    with torch.autocast("cpu", torch.bfloat16):
        assert float((cut(places, FACE) - exact).abs().max()) < 1e-3


def test_the_local_critic_sees_the_hole_where_it_is() -> None:
    """The network was told of a square up to a px beside the one that the critic learned from."""
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    places = torch.stack([x, y, x])[None]  # px as colours
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 31:77, 23:101] = 1
    exact = around_hole(places, mask, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert float((around_hole(places, mask, 64) - exact).abs().max()) < 1e-3
