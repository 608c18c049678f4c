from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models.contract import MASK, RECEPTIVE_FRAMES, REFERENCE_RGB, evi_hrnet_contract
from models.engine.onnx import OnnxEngine
from models.export import export, export_network
from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from models.shipped import SHIPPED_NETWORK, load_network, manifest_path
from models.weights_error import WeightsError

SMALL = {"width": 8, "size_px": 32}


def busy_network(**settings: object) -> EviHrnet:
    """A network whose every weight matters: zero-initialised heads would hide differences."""
    torch.manual_seed(1)
    network = EviHrnet(NetworkSettings(**{**SMALL, **settings})).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "shift" in name:
                parameter.copy_(torch.tensor([0.8, 0.3]))
            else:
                parameter.add_(0.03 * torch.randn_like(parameter))
    return network


def frames(count: int, size: int = 32) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.rand(1, count, 8, size, size)


@pytest.mark.parametrize("head", ["correction", "rgb"])
@pytest.mark.parametrize("attention", ["32", "both", "none"])
def test_a_clip_and_its_single_steps_agree(head: str, attention: str) -> None:
    network = busy_network(head=head, attention=attention)
    clip = frames(44)
    with torch.no_grad():
        whole, after_clip = network(clip)
        states, outputs = network.initial_states(1), []
        for index in range(clip.shape[1]):
            fill, states = network.step(clip[:, index], states)
            outputs.append(fill)
    assert torch.allclose(whole[0], torch.cat(outputs), atol=1e-5)
    for left, right in zip(after_clip, states, strict=True):
        assert torch.allclose(left, right, atol=1e-5)


def test_the_past_matters_and_only_the_receptive_field_of_it() -> None:
    network, clip = busy_network().double(), frames(RECEPTIVE_FRAMES + 3).double()
    changed = clip.clone()
    changed[:, 0] += 0.5
    with torch.no_grad():
        difference = (network(clip)[0] - network(changed)[0]).abs().amax((0, 2, 3, 4))
    assert difference[1] > 1e-6
    assert float(difference[RECEPTIVE_FRAMES:].max()) < 1e-13


def test_the_future_does_not_matter() -> None:
    network, clip = busy_network(), frames(6)
    changed = clip.clone()
    changed[:, 5] += 0.5
    with torch.no_grad():
        assert torch.equal(network(clip)[0][:, :5], network(changed)[0][:, :5])


def test_an_untrained_network_returns_its_start() -> None:
    network = EviHrnet(NetworkSettings(**SMALL))
    inputs = frames(1)[:, 0]
    inputs[:, MASK] = (inputs[:, MASK] > 0.5).float()
    inputs[:, :3] *= 1 - inputs[:, MASK]
    with torch.no_grad():
        fill, _ = network.step(inputs, network.initial_states(1))
    hidden = inputs[:, MASK].expand(-1, 3, -1, -1) > 0
    assert torch.allclose(fill[hidden], inputs[:, REFERENCE_RGB][hidden], atol=1e-5)


@pytest.mark.parametrize(("width", "size"), [(32, 128), (64, 256)])
def test_the_contract_fits_the_network(width: int, size: int) -> None:
    with torch.device("meta"):  # shapes alone, without the numbers
        network = EviHrnet(NetworkSettings(width=width, size_px=size))
        fill, states = network.step(torch.zeros(1, 8, size, size), network.initial_states(1))
    contract = evi_hrnet_contract(width, size)
    assert tuple(fill.shape) == contract.outputs[0].shape
    assert [tuple(state.shape) for state in states] == [s.shape for s in contract.states]


def test_onnxruntime_equals_torch_and_reset_forgets(tmp_path: Path) -> None:
    network, clip = busy_network(), frames(40)[0]
    export_network(network, tmp_path / "small.onnx", {})
    engine = OnnxEngine(load_network(tmp_path / "small.onnx"), threads=1)

    def run_engine() -> np.ndarray:
        return np.stack([engine.step(frame[None].numpy())[0].copy() for frame in clip])

    with torch.no_grad():
        expected = network(clip[None])[0][0].numpy()
    first = run_engine()
    assert np.abs(first - expected).max() < 1e-4
    continued = run_engine()
    assert np.abs(continued[0] - first[0]).max() > 1e-4
    engine.reset()
    assert np.array_equal(run_engine(), first)


def test_training_can_start_from_the_weights_that_were_shipped() -> None:
    kept = torch.load(SHIPPED_NETWORK.with_suffix(".pt"), weights_only=True)
    network = EviHrnet(NetworkSettings(**kept["settings"])).eval()
    network.load_state_dict(kept["average"])
    engine = OnnxEngine(load_network(SHIPPED_NETWORK))
    clip, states = frames(3, 128)[0], network.initial_states(1)
    for inputs in clip:
        with torch.no_grad():
            expected, states = network.step(inputs[None], states)
        assert np.abs(engine.step(inputs[None].numpy()) - expected.numpy()).max() < 1e-4


def test_exporting_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_text("# a text")
    with pytest.raises(typer.BadParameter, match=r"give the best\.pt of a run"):
        export(tmp_path / "best.pt", tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()


def test_a_damaged_missing_or_foreign_network_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    with pytest.raises(WeightsError, match="missing"):
        load_network(path)
    export_network(busy_network(), path, {})
    assert load_network(path).width == SMALL["width"]
    with open(path, "ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError, match="sha256"):
        load_network(path)
    manifest_path(path).write_text("{}")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_network(path)


@pytest.mark.parametrize("settings", [{"head": "other"}, {"attention": "64"}])
def test_unknown_settings_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="unknown head or attention"):
        NetworkSettings(**settings)
