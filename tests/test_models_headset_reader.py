from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.headset.contract import HEAD_CHANNELS, MAP_PX, MASK_PX, SIZE_PX, headset_net_contract
from models.headset.reader import SHIPPED_HEADSET_NET, HeadsetReader, _peaks
from models.shipped import check_manifest, load_network
from models.weights_error import WeightsError


@pytest.fixture(scope="module")
def reader() -> HeadsetReader:
    return HeadsetReader()


def awkward() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
    grey = np.repeat(noise[..., :1], 3, axis=2)
    return {
        "black": np.zeros_like(noise),
        "white": np.full_like(noise, 255),
        "noise": noise,
        "grey": grey,
    }


@pytest.mark.parametrize("name", awkward())
def test_pictures_of_nothing_are_read_and_show_no_face(reader: HeadsetReader, name: str) -> None:
    reading = reader.read(awkward()[name])
    assert reading.mask.shape == (MASK_PX, MASK_PX)
    assert reading.mesh.shape == (478, 3)
    assert np.isfinite(reading.mesh).all()
    assert (reading.spread > 0).all()
    assert reading.face < 0.25
    assert not any(head.face > 0.6 for head in reading.heads)


@pytest.mark.parametrize("crop", [np.zeros((10, 10, 3), np.uint8), np.zeros((192, 192, 3))])
def test_a_crop_of_another_size_or_type_is_refused(reader: HeadsetReader, crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match="192"):
        reader.read(crop)


def test_heads_are_the_peaks_of_the_map() -> None:
    maps = np.zeros((HEAD_CHANNELS, MAP_PX, MAP_PX), np.float32)
    maps[:5, 6, 4] = 0.9, 0.8, 0.25, -0.25, np.log(0.3)
    maps[:5, 6, 5] = 0.5, 0.8, 0.0, 0.0, np.log(0.3)  # its neighbour: the same head
    maps[:5, 18, 20] = 0.6, 0.1, 0.0, 0.0, np.log(0.1)
    maps[0, 1, 1] = 0.2  # too unlikely
    first, second = _peaks(maps)
    assert np.allclose(first.centre * MAP_PX, (4.75, 6.25))
    assert (first.face, first.headset, first.side) == pytest.approx((0.9, 0.8, 0.3))
    assert np.allclose(second.centre * MAP_PX, (20.5, 18.5))


def test_the_shipped_network_keeps_to_the_contract_and_the_promised_size() -> None:
    manifest = check_manifest(SHIPPED_HEADSET_NET, "headset-net")
    assert manifest["kind"] == "headset-net"
    assert SHIPPED_HEADSET_NET.stat().st_size < 2_000_000 * 4 * 1.05  # two million parameters
    assert len(headset_net_contract().outputs) == 5


def test_a_network_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="headset-net"):
        load_network(SHIPPED_HEADSET_NET)
    changed = tmp_path / "headset_net.onnx"
    changed.write_bytes(SHIPPED_HEADSET_NET.read_bytes()[:-1])
    manifest = json.loads(SHIPPED_HEADSET_NET.with_suffix(".json").read_text())
    changed.with_suffix(".json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="sha256"):
        HeadsetReader(changed)
