"""Which network files are compared: as shipped, and as Q/DQ pairs where only those are portable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.engine.plans.trial import made_up_frames
from models.eyes.contract import EYE, eye_net_contract
from models.eyes.reader import SHIPPED_EYE_NET
from models.headset.contract import CROP, headset_net_contract
from models.headset.reader import SHIPPED_HEADSET_NET
from models.quantisation.feed_forward import quantise_feed_forward
from models.quantisation.online import Feed, OnlineNetwork, range_feeds
from models.quantisation.quantise import quantise
from models.shipped import SHIPPED_INT8, SHIPPED_NETWORK, int8_path, load_network

RANGE_FRAMES = 4


@dataclass(frozen=True)
class Subject:
    """One file in one runtime."""

    network: str
    precision: str
    runtime: str
    path: Path


def subjects(folder: Path, runtimes: tuple[str, ...]) -> list[Subject]:
    """Everything to compare. Files written to `folder` have ranges of made-up pictures.

    Such ranges are good for timing only. OpenVINO cannot read onnxruntime's integer operators, so
    it gets the inpainting network as Q/DQ pairs.
    """
    pairs, eyes = folder / "unvisor_pairs.onnx", folder / "eye_net_int8.onnx"
    frames = made_up_frames(load_network(SHIPPED_NETWORK).contract, RANGE_FRAMES)
    feeds = range_feeds(OnlineNetwork(SHIPPED_NETWORK), [frames], frozenset(range(RANGE_FRAMES)))
    quantise(SHIPPED_NETWORK, pairs, feeds, "pairs")
    quantise_feed_forward(SHIPPED_EYE_NET, eyes, _noise(EYE, eye_net_contract().inputs[0].shape))
    headset = int8_path(SHIPPED_HEADSET_NET)
    if not headset.is_file():
        headset = folder / headset.name
        crops = _noise(CROP, headset_net_contract().inputs[0].shape)
        quantise_feed_forward(SHIPPED_HEADSET_NET, headset, crops)
    files = {
        ("unvisor", "fp32"): {"": SHIPPED_NETWORK},
        ("unvisor", "int8"): {"onnxruntime": SHIPPED_INT8, "openvino": pairs},
        ("headset_net", "fp32"): {"": SHIPPED_HEADSET_NET},
        ("headset_net", "int8"): {"": headset},
        ("eye_net", "fp32"): {"": SHIPPED_EYE_NET},
        ("eye_net", "int8"): {"": eyes},
    }
    return [
        Subject(network, precision, runtime, paths.get(runtime) or paths[""])
        for (network, precision), paths in files.items()
        for runtime in runtimes
    ]


def _noise(name: str, shape: tuple[int, ...]) -> list[Feed]:
    random = np.random.default_rng(0)
    return [{name: random.random(shape, np.float32)} for _ in range(RANGE_FRAMES)]
