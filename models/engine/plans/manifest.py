"""What an engine file says of itself: for what it was built, and how it did.

A plan is only good for the very network, TensorRT and GPU it was built with. TensorRT itself
refuses some mismatches, crashes on others, and silently runs an engine of another network.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass
from typing import Any

from models.engine.cuda.driver import Gpu
from models.engine.plans.library import Precision, TensorRt
from models.shipped import Network

SCHEMA = 1
REVISION = 1  # of what this project does to a graph and asks of the builder; raise it with those
KEY_DIGITS = 16
FIELD_WORDS = {
    "network": "network",
    "onnx_sha256": "network file with SHA-256",
    "precision": "precision",
    "flavour": "library",
    "tensorrt": "TensorRT",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "machine": "processor",
    "revision": "builder revision",
}


class BadManifest(ValueError):
    """The text is no manifest of this version."""


@dataclass(frozen=True)
class EngineIdentity:
    """Everything that decides whether an engine may be used."""

    network: str  # the file's name without suffix
    onnx_sha256: str
    precision: Precision
    flavour: str
    tensorrt: str
    gpu: str  # its name; "any" for engines that were built for other machines
    compute_capability: str  # "8.7", or several joined by "+"
    machine: str = platform.machine()
    revision: int = REVISION

    @property
    def key(self) -> str:
        """Short digest of all fields."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]

    def differences(self, wanted: EngineIdentity) -> list[str]:
        """In what this differs from `wanted`, in words."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(wanted)
        return [
            f"{words} {_short(mine[name])} instead of {_short(theirs[name])}"
            for name, words in FIELD_WORDS.items()
            if mine[name] != theirs[name]
        ]


@dataclass(frozen=True)
class EngineManifest:
    """Lies beside the plan as JSON."""

    identity: EngineIdentity
    plan_sha256: str
    plan_bytes: int
    build_s: float
    driver_cuda: str = ""  # newest CUDA of the driver at build time; told, not compared
    # Measured against onnxruntime on this device; None = not run yet (built for another machine).
    parity_db: float | None = None
    latency_ms: float | None = None

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> EngineManifest:
        """Inverse of `to_json`; raises BadManifest."""
        try:
            tree: dict[str, Any] = json.loads(text)
            schema = tree.pop("schema")
            if schema != SCHEMA:
                raise BadManifest(f"schema {schema}, expected {SCHEMA}")
            identity = EngineIdentity(**tree.pop("identity"))
            return EngineManifest(identity=identity, **tree)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadManifest(f"it cannot be read ({error})") from error


def identity_of(
    network: Network, precision: Precision, library: TensorRt, gpu: Gpu | None, targets: str = ""
) -> EngineIdentity:
    """Identity of the engine of a network here (`gpu`), or for other machines' `targets`."""
    if gpu is None and not targets:
        raise ValueError("an engine is for a GPU or for named targets")
    return EngineIdentity(
        network=network.path.stem,
        onnx_sha256=str(network.manifest["sha256"]),
        precision=precision,
        flavour=library.flavour,
        tensorrt=library.version,
        gpu="any" if gpu is None or targets else gpu.name,
        compute_capability=targets or (gpu.compute_capability if gpu else ""),
    )


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
