"""The engine on onnxruntime: a file and its manifest must say the same, states reset by name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.contract import TensorContract
from models.covers.reader import SHIPPED_COVER_NET, CoverReader
from models.engine.onnx import OnnxEngine
from models.engine.plans.trial import made_up_frames
from models.eyes.reader import SHIPPED_EYE_NET, EyeReader
from models.face_masks.reader import SHIPPED_FACE_MASK_NET, FaceMaskReader
from models.headset.reader import SHIPPED_HEADSET_NET, HeadsetReader
from models.identity.reader import SHIPPED_FACE_PRINT, FacePrintReader
from models.outlines.reader import SHIPPED_OUTLINE_NET, OutlineReader
from models.shipped import (
    SHIPPED_INT8,
    SHIPPED_NETWORK,
    Network,
    load_network,
    manifest_path,
    sha256,
)
from models.weights_error import WeightsError


def described_as(network: Network, contract: TensorContract) -> Network:
    """`network` with another contract in its manifest, in planes of numbers as exports write it."""
    tree = dataclasses.asdict(contract)
    return dataclasses.replace(network, manifest={**network.manifest, "contract": tree})


def plain_contract() -> TensorContract:
    return load_network(SHIPPED_NETWORK).contract


def without_a_state(contract: TensorContract) -> TensorContract:
    return dataclasses.replace(contract, states=contract.states[1:])


def with_a_smaller_fill(contract: TensorContract) -> TensorContract:
    (fill,) = contract.outputs
    return dataclasses.replace(contract, outputs=(dataclasses.replace(fill, shape=(1, 3, 64, 64)),))


def with_a_wider_state(contract: TensorContract) -> TensorContract:
    first, *others = contract.states
    wider = dataclasses.replace(first, shape=(1, 2 * first.shape[1], *first.shape[2:]))
    return dataclasses.replace(contract, states=(wider, *others))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without_a_state, "state_conv2"),
        (with_a_smaller_fill, "fill"),
        (with_a_wider_state, "state_conv2"),
    ],
)
def test_a_manifest_of_another_network_is_refused_by_the_tensor_that_differs(
    change: Callable[[TensorContract], TensorContract], named: str
) -> None:
    network = described_as(load_network(SHIPPED_NETWORK), change(plain_contract()))
    with pytest.raises(WeightsError, match=f"does not describe the network: {named} is"):
        OnnxEngine(network, 1)


def test_states_of_another_type_are_refused() -> None:
    network = load_network(SHIPPED_INT8)
    manifest = {k: v for k, v in network.manifest.items() if k != "state_dtype"}
    with pytest.raises(WeightsError, match="uint8"):
        OnnxEngine(dataclasses.replace(network, manifest=manifest), 1)


def test_a_reset_gives_each_state_its_own_zero_in_whatever_order_they_are_told() -> None:
    network = load_network(SHIPPED_INT8)
    contract = plain_contract()
    turned = dataclasses.replace(contract, states=contract.states[::-1])
    engines = [OnnxEngine(each, 1) for each in (network, described_as(network, turned))]
    frame = made_up_frames(network.contract, 1)[0]
    fills = []
    for engine in engines:
        fills.append(engine.step(frame).copy())
        engine.step(frame[..., ::-1])
        engine.reset()
        fills.append(engine.step(frame).copy())
    for fill in fills[1:]:
        np.testing.assert_array_equal(fill, fills[0])


@pytest.mark.parametrize(
    ("shipped", "load"),
    [
        (SHIPPED_NETWORK, lambda path: OnnxEngine(load_network(path), 1)),
        (SHIPPED_HEADSET_NET, HeadsetReader),
        (SHIPPED_EYE_NET, EyeReader),
        (SHIPPED_FACE_MASK_NET, FaceMaskReader),
        (SHIPPED_OUTLINE_NET, OutlineReader),
        (SHIPPED_COVER_NET, CoverReader),
        (SHIPPED_FACE_PRINT, FacePrintReader),
    ],
)
def test_a_file_that_onnxruntime_cannot_run_is_told_in_a_sentence(
    shipped: Path, load: Callable[[Path], object], tmp_path: Path
) -> None:
    """As when an older onnxruntime lacks an operator: it ended in a traceback."""
    path = tmp_path / "network.onnx"
    path.write_bytes(b"of a later version")
    manifest = json.loads(manifest_path(shipped).read_text())
    manifest_path(path).write_text(json.dumps({**manifest, "sha256": sha256(path)}))
    with pytest.raises(WeightsError, match=r"cannot run network\.onnx .* pyproject\.toml"):
        load(path)
