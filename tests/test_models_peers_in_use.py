"""Peers in the runtime: they are shown what they were trained on, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from test_models_peers import ONLINE, busy
from test_models_preparation import crop_mesh, smooth_image

from models.export import export_network
from models.filling import DetailedFiller, Reference, make_filler
from models.shipped import load_network
from models.weights_error import WeightsError
from training.masks.coverings import headset_mask


def test_a_peer_in_the_runtime_is_shown_what_it_was_trained_on(
    canonical_mesh: np.ndarray, tmp_path: Path
) -> None:
    """A network trained without a reference must not get one: its owner's face would show."""
    network = busy(("lgtsm", {"width": 16, "seen": 8, "size_px": 128}))
    mesh, image = crop_mesh(canonical_mesh), smooth_image(0)
    hidden = headset_mask(mesh, 128)

    def exported(name: str, more: dict[str, Any]) -> Path:
        export_network(network, tmp_path / name, more)
        return tmp_path / name

    def filled(path: Path, owner: int) -> tuple[np.ndarray, object]:
        filler = make_filler("unvisor", Reference(smooth_image(owner), mesh), weights=path)
        assert isinstance(filler, DetailedFiller)
        return filler.fill(image, hidden, mesh), filler.detail

    blind = exported("blind.onnx", {"inputs": {"reference": "none", "landmarks": False}})
    seeing = exported("seeing.onnx", {})
    (first, detail), (other, _) = filled(blind, 1), filled(blind, 2)
    assert np.array_equal(first, other)
    assert detail is None
    (first, detail), (other, _) = filled(seeing, 1), filled(seeing, 2)
    assert not np.array_equal(first, other)
    assert detail is not None


def test_inputs_that_are_unknown_are_refused(tmp_path: Path) -> None:
    export_network(busy(ONLINE["per frame"]), tmp_path / "peer.onnx", {"inputs": {"hue": 1}})
    with pytest.raises(WeightsError, match="cannot be read"):
        load_network(tmp_path / "peer.onnx")
