"""What the process that fine-tunes (`training.finetuning`) is given, and what it answers.

Both are NPZ files in memory: pictures of a face never lie about in a file of their own.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHT = "weight:"


@dataclass(frozen=True)
class Order:
    """What is to be done: a clip of the bare face, at the network's size, and for how long."""

    images: NDArray[np.uint8]  # (T,S,S,3) BGR
    meshes: NDArray[np.float32]  # (T,478,3) px
    starts: NDArray[np.bool_]  # (T,) a frame before this one is missing
    network: str  # path of the ONNX file to start from
    seconds: float
    seed: int = 0

    def pack(self) -> bytes:
        """As bytes."""
        told = {"network": self.network, "seconds": self.seconds, "seed": self.seed}
        clip: dict[str, NDArray[Any]] = {
            "images": self.images,
            "meshes": self.meshes,
            "starts": self.starts,
        }
        return _packed(told, clip)

    @classmethod
    def unpack(cls, content: bytes) -> Order:
        """Inverse of `pack`; raises ValueError or KeyError when it is none."""
        told, arrays = _unpacked(content)
        clip = (arrays["images"], arrays["meshes"], arrays["starts"])
        return cls(*clip, str(told["network"]), float(told["seconds"]), int(told["seed"]))


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    is_kept: bool
    steps: int
    scores: Mapping[str, float]  # as `edge.profile.own_network.OwnNetwork` keeps them
    weights: Mapping[str, NDArray[np.float32]]  # of the layers that learned; empty if not kept

    def pack(self) -> bytes:
        """As bytes."""
        told = {"is_kept": self.is_kept, "steps": self.steps, "scores": dict(self.scores)}
        return _packed(told, {WEIGHT + name: value for name, value in self.weights.items()})

    @classmethod
    def unpack(cls, content: bytes) -> Answer:
        """Inverse of `pack`; raises ValueError or KeyError when it is none."""
        told, arrays = _unpacked(content)
        weights = {name.removeprefix(WEIGHT): value for name, value in arrays.items()}
        return cls(bool(told["is_kept"]), int(told["steps"]), dict(told["scores"]), weights)


def _packed(told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    words = np.frombuffer(json.dumps(told).encode(), np.uint8)
    np.savez(buffer, told=words, **arrays)
    return buffer.getvalue()


def _unpacked(content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as packed:
        arrays = {name: packed[name] for name in packed.files}
    told: dict[str, Any] = json.loads(arrays.pop("told").tobytes())
    return told, arrays
