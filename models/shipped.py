"""Network files and their manifests: what ships in `models/weights/`, and what a user trained.

A network is NAME.onnx with NAME.json beside it. The manifest says what the file is and where it
comes from; a file that is missing or differs from its manifest is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.contract import TensorContract, evi_hrnet_contract

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
SHIPPED_NETWORK = WEIGHTS_FOLDER / "unvisor.onnx"
MANIFEST_SCHEMA = 1


class WeightsError(Exception):
    """A network file is missing, damaged or not of this product; the message says what to do."""


@dataclass(frozen=True)
class Network:
    """A verified network file."""

    path: Path
    width: int
    size_px: int
    manifest: dict[str, Any]

    @property
    def contract(self) -> TensorContract:
        """Its tensors."""
        return evi_hrnet_contract(self.width, self.size_px)


def manifest_path(network: Path) -> Path:
    """The manifest beside a network file."""
    return network.with_suffix(".json")


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_network(path: Path) -> Network:
    """Read and verify a network file; raises WeightsError with the next step if unusable."""
    remedy = "restore it with `git checkout -- models/weights`, or export your own network again"
    if not path.is_file():
        raise WeightsError(f"The network file {path} is missing: {remedy}.")
    try:
        manifest = json.loads(manifest_path(path).read_text())
        network = Network(
            path, int(manifest["settings"]["width"]), int(manifest["settings"]["size_px"]), manifest
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{manifest_path(path)} cannot be read ({error}): {remedy}.") from error
    if manifest.get("schema") != MANIFEST_SCHEMA:
        raise WeightsError(
            f"{manifest_path(path)} has schema {manifest.get('schema')}, expected "
            f"{MANIFEST_SCHEMA}: {remedy}."
        )
    if sha256(path) != manifest.get("sha256"):
        raise WeightsError(f"{path} differs from its manifest (wrong sha256): {remedy}.")
    return network
