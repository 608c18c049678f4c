"""The peers: published sizes, one definition for clips and frames, and no look into the future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from torch.utils.flop_counter import FlopCounterMode

from models.contract import CONTOURS, KNOWN_RGB, MASK, REFERENCE_RGB
from models.engine.onnx import OnnxEngine
from models.export import export_network
from models.inpainting import architectures
from models.peers.comb_cn import CombCn, CombCnSettings
from models.peers.m_csam import CoverSegmenter, MultiScaleAttention
from models.peers.stn_gan import StnGan, StnGanSettings
from models.shipped import load_network

SMALL = {"width": 8, "size_px": 32}
SIZE = SMALL["size_px"]
ONLINE: dict[str, tuple[str, dict[str, Any]]] = {
    "lgtsm": ("lgtsm", {}),
    "lgtsm with a reference": ("lgtsm", {"seen": 8}),
    "per frame": ("per-frame", {}),
    "stills": ("stn-gan", {}),
    "one temporal block": ("stn-gan", {"temporal_layers": 1}),
    "two temporal blocks": ("stn-gan", {"temporal_layers": 2, "seen": 8}),
    "attention": ("m-csam", {}),
    "plain middle": ("m-csam", {"middle": "plain"}),
}
OFFLINE: dict[str, tuple[str, dict[str, Any]]] = {
    "lgtsm": ("lgtsm", {"shift": "offline"}),
    "structure, then detail": ("comb-cn", {}),
}
EXPORTED = ("lgtsm", "two temporal blocks", "attention")  # the others are made of their parts
online = pytest.mark.parametrize("row", ONLINE.values(), ids=ONLINE.keys())
every = pytest.mark.parametrize("row", [*ONLINE.values(), *OFFLINE.values()])


def busy(row: tuple[str, dict[str, Any]]) -> Any:
    """A network whose every weight matters: what starts at zero would hide differences."""
    torch.manual_seed(1)
    network = architectures.build(row[0], {**SMALL, **row[1]}).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "taps" in name:
                parameter.copy_(0.3 + 0.5 * torch.rand_like(parameter))
            else:
                parameter.add_(0.03 * torch.randn_like(parameter))
    return network


def frames(count: int, size: int = SIZE) -> torch.Tensor:
    """Clips as the contract wants them: a hole in the middle, black where it is."""
    torch.manual_seed(2)
    clip = torch.rand(1, count, 8, size, size)
    clip[:, :, MASK] = 0
    clip[:, :, MASK, size // 4 : size // 2, size // 8 : -size // 8] = 1
    clip[:, :, KNOWN_RGB] *= 1 - clip[:, :, MASK]
    clip[:, :, CONTOURS] = (clip[:, :, CONTOURS] > 0.9).float()
    return clip


@online
def test_a_clip_and_its_single_steps_agree(row: tuple[str, dict[str, Any]]) -> None:
    network, clip = busy(row), frames(6)
    with torch.no_grad():
        whole, after_clip = network(clip)
        states, outputs = network.initial_states(1), []
        for index in range(clip.shape[1]):
            fill, states = network.step(clip[:, index], states)
            outputs.append(fill)
        parts, between = [], None
        for part in clip.split([1, 3, 2], 1):
            fill, between = network(part, between)
            parts.append(fill)
    assert torch.allclose(whole[0], torch.cat(outputs), atol=1e-5)
    assert torch.allclose(whole, torch.cat(parts, 1), atol=1e-5)
    for left, right in zip(after_clip, states, strict=True):
        assert torch.allclose(left, right, atol=1e-5)


@every
def test_clips_side_by_side_do_not_see_each_other(row: tuple[str, dict[str, Any]]) -> None:
    network, first = busy(row), frames(3)
    second = first.flip(4)
    with torch.no_grad():
        (together, states), alone = network(torch.cat([first, second])), network(second)
    assert torch.allclose(together[1:], alone[0], atol=1e-5)
    for state, own in zip(states, alone[1], strict=True):
        assert torch.allclose(state[1:], own, atol=1e-5)


def changed_by(network: Any, clip: torch.Tensor, frame: int) -> torch.Tensor:
    """How far each frame's fill changes (T,) when what is known in one frame does."""
    other = clip.clone()
    other[:, frame, KNOWN_RGB] *= 0.5
    with torch.no_grad():
        difference: torch.Tensor = (network(clip)[0] - network(other)[0]).abs() * clip[:, :, MASK]
    return difference.amax((0, 2, 3, 4))


@online
def test_online_networks_do_not_see_the_future(row: tuple[str, dict[str, Any]]) -> None:
    change = changed_by(busy(row), frames(5), 3)
    assert not change[:3].any()
    assert change[3] > 1e-4


@pytest.mark.parametrize("row", OFFLINE.values(), ids=OFFLINE.keys())
def test_offline_networks_do_see_the_future_and_say_so(row: tuple[str, dict[str, Any]]) -> None:
    network = busy(row)
    assert changed_by(network, frames(5), 3)[2] > 1e-6
    assert not network.is_online
    with pytest.raises(TypeError, match="whole clips"):
        network.step(frames(1)[:, 0], [])


@pytest.mark.parametrize(
    ("name", "remembers"),
    [("lgtsm", True), ("two temporal blocks", True), ("per frame", False), ("attention", False)],
)
def test_the_past_matters_where_there_is_a_memory(name: str, remembers: bool) -> None:
    change = changed_by(busy(ONLINE[name]), frames(3), 0)
    assert (float(change[1]) > 1e-6) == remembers


def test_temporal_blocks_of_zero_weight_leave_the_still_network_as_it_was() -> None:
    stills = busy(ONLINE["stills"])
    video = StnGan(StnGanSettings(**SMALL, temporal_layers=2)).eval()
    video.start_from(stills.state_dict())
    clip = frames(4)
    with torch.no_grad():
        assert torch.equal(video(clip)[0], stills(clip)[0])
        states = video.initial_states(1)
        for frame in clip.unbind(1):
            fill, states = video.step(frame, states)
            assert torch.equal(fill, stills.step(frame, [])[0])
    assert float(changed_by(video, clip, 0)[1:].max()) == 0
    with torch.no_grad():
        video.links["0"].second.conv.weight.normal_()
    assert changed_by(video, clip, 0)[2] > 1e-5


def test_weights_of_another_still_network_are_refused() -> None:
    video = StnGan(StnGanSettings(**SMALL, temporal_layers=2))
    wider = StnGan(StnGanSettings(width=16, size_px=32)).state_dict()
    for weights in (wider, {}):
        with pytest.raises(ValueError, match="of another network"):
            video.start_from(weights)


@pytest.mark.parametrize("name", ["stills", "two temporal blocks"])
def test_the_known_background_is_copied_bit_by_bit(name: str) -> None:
    clip = frames(3)
    with torch.no_grad():
        fill = busy(ONLINE[name])(clip)[0]
    known = (clip[:, :, MASK] == 0).expand_as(fill)
    assert torch.equal(fill[known], clip[:, :, KNOWN_RGB][known])
    assert float((fill - clip[:, :, KNOWN_RGB])[~known].abs().min()) > 0


@pytest.mark.parametrize(("seen", "sees"), [(5, False), (8, True)])
def test_a_network_sees_the_reference_only_when_it_is_told_to(seen: int, sees: bool) -> None:
    network, clip = busy(("lgtsm", {"seen": seen})), frames(2)
    other = clip.clone()
    other[:, :, REFERENCE_RGB] = 0
    with torch.no_grad():
        assert torch.equal(network(clip)[0], network(other)[0]) != sees


@every
def test_a_gradient_reaches_every_weight(row: tuple[str, dict[str, Any]]) -> None:
    network, clip = busy(row).train(), frames(3)
    fill = network(clip)[0]
    ((fill - 0.5) * clip[:, :, MASK]).square().sum().backward()
    # A norm after a convolution takes the mean away, so that a bias in between has no gradient.
    idle = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 1e-9
    ]
    assert [name for name in idle if not name.endswith("first.conv.bias")] == []


@pytest.mark.parametrize(
    ("name", "settings", "parameters", "giga_macs"),
    [
        ("lgtsm", {}, 12_135_558 + 17 * 2, 19.95),
        ("lgtsm", {"width": 32}, 3_039_814 + 17 * 2, 5.06),
        ("lgtsm", {"shift": "offline"}, 12_135_558 + 17 * 6, 19.95),  # three taps in two groups
        ("per-frame", {}, 12_135_558, 19.95),
        ("stn-gan", {"seen": 8}, 8_430_528, None),  # StarGAN's generator with five attributes
        ("stn-gan", {}, 8_421_120, 9.8),
        ("stn-gan", {"temporal_layers": 2}, 8_421_120 + 4_425_216, 9.8 + 7.2),
        ("comb-cn", {}, 15_501_622, 13.9),
    ],
)
def test_networks_have_the_published_size(
    name: str, settings: dict[str, Any], parameters: int, giga_macs: float | None
) -> None:
    with torch.device("meta"):
        network = architectures.build(name, settings).eval()
        clip = torch.zeros(1, 4, 8, 128, 128)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(clip)
    counted = counter.get_total_flops() / 2 / clip.shape[1] / 1e9
    assert giga_macs is None or counted == pytest.approx(giga_macs, rel=0.01)


@pytest.mark.parametrize(
    "name",
    [name if name in EXPORTED else pytest.param(name, marks=pytest.mark.slow) for name in ONLINE],
)
def test_the_exported_network_runs_as_torch_does(name: str, tmp_path: Path) -> None:
    network, clip = busy(ONLINE[name]), frames(5)
    export_network(network, tmp_path / "peer.onnx", {})
    exported = load_network(tmp_path / "peer.onnx")
    assert exported.contract == network.settings.contract
    engine = OnnxEngine(exported, threads=1)
    drawn = np.stack([engine.step(frame.numpy()).copy() for frame in clip.unbind(1)], 1)
    with torch.no_grad():
        expected = network(clip)[0].numpy()
    assert np.abs(drawn - expected).max() < 1e-4


def test_a_network_that_looks_ahead_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frames that follow"):
        export_network(busy(OFFLINE["structure, then detail"]), tmp_path / "peer.onnx", {})


def test_attention_weighs_every_channel_and_place_by_its_neighbours() -> None:
    module = MultiScaleAttention(8).eval()
    x = torch.rand(1, 8, 16, 16)
    with torch.no_grad():
        module.weight.zero_()
        plain = module(x)
        module.weight.fill_(1.0)
        module.attend.bias.fill_(50.0)  # every place fully attended: its share counts twice
        assert torch.allclose(module(x) - x, 2 * (plain - x), atol=1e-5)
        module.attend.bias.fill_(-50.0)
        assert torch.allclose(module(x), plain, atol=1e-5)


def test_the_cover_segmenter_gives_a_share_for_every_pixel() -> None:
    with torch.no_grad():
        found = CoverSegmenter(4).eval()(torch.rand(2, 3, 32, 32))
    assert found.shape == (2, 1, 32, 32)
    assert 0 < float(found.min()) < float(found.max()) < 1


def test_the_structure_keeps_known_pixels_and_hides_what_is_hidden_in_part() -> None:
    network = CombCn(CombCnSettings(**SMALL)).eval()
    inputs = frames(4)[0]
    inputs[:, MASK, 0, 0] = 1
    inputs[:, KNOWN_RGB, 0, 0] = 0
    with torch.no_grad():
        structure = network.half_size_fill(inputs, 4)
    small = torch.nn.functional.avg_pool2d(inputs, 2)
    known = (small[:, MASK] == 0).expand_as(structure)
    assert torch.equal(structure[known], small[:, KNOWN_RGB][known])
    assert (structure[:, :, 0, 0] != small[:, KNOWN_RGB, 0, 0]).all()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lgtsm", {"seen": 6}, "4, 5 or 8 channels"),
        ("lgtsm", {"shift": "sideways"}, "'online' or 'offline'"),
        ("lgtsm", {"size_px": 126, "shift": "offline"}, "size_px must divide by 4"),
        ("lgtsm", {"width": 12}, "width by 8"),
        ("evi-hrnet", {"size_px": 30}, "size_px must divide by 4"),
        ("stn-gan", {"temporal_layers": 3}, "temporal_layers"),
        ("stn-gan", {"size_px": 30}, "multiple of 4"),
        ("m-csam", {"size_px": 120}, "multiple of 16"),
        ("m-csam", {"middle": "none"}, "'attention' or 'plain'"),
        ("comb-cn", {"width": 6}, "divide by 4"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        architectures.build(name, settings)
