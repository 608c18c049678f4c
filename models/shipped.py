"""Network files and their manifests: what ships in `models/weights/`, and what a user trained.

A network is NAME.onnx with NAME.json beside it. The manifest says what the file is and where it
comes from; a file that is missing or differs from its manifest is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from models.contract import TensorContract, contract_from, evi_hrnet_contract, states_in_rows
from models.inpainting.inputs_choice import InputsChoice
from models.weights_error import REMEDY, WeightsError

log = logging.getLogger(__name__)

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
SHIPPED_NETWORK = WEIGHTS_FOLDER / "unvisor.onnx"
SHIPPED_INT8 = WEIGHTS_FOLDER / "unvisor_int8.onnx"
CPU_INFO = Path("/proc/cpuinfo")
Precision = Literal["auto", "fp32", "int8"]
MANIFEST_SCHEMA = 1
INPAINTING = "inpainting"  # the kind of manifests that name none


@dataclass(frozen=True)
class Network:
    """A verified network file."""

    path: Path
    width: int  # 0 for architectures that have none
    size_px: int
    manifest: dict[str, Any]
    # The graph in memory, where it is not the file's own: see `models.personal.network`.
    content: bytes | None = field(default=None, repr=False)

    @property
    def contract(self) -> TensorContract:
        """Its tensors."""
        state_dtype = str(self.manifest.get("state_dtype", "float32"))
        if "contract" in self.manifest:
            contract = contract_from(self.manifest["contract"])
            states = tuple(replace(state, dtype=state_dtype) for state in contract.states)
            contract = replace(contract, states=states)
        else:  # older, or made from another file
            contract = evi_hrnet_contract(self.width, self.size_px, state_dtype=state_dtype)
        is_in_rows = self.manifest.get("state_layout") == "rows"
        return states_in_rows(contract) if is_in_rows else contract

    @property
    def inputs(self) -> InputsChoice:
        """What of a prepared frame it is shown."""
        return InputsChoice(**self.manifest.get("inputs", {}))

    @property
    def precision(self) -> str:
        """`fp32`, `fp16` (casts in the graph) or `int8` (quantised nodes in the graph)."""
        return str(self.manifest.get("precision", "fp32"))


def manifest_path(network: Path) -> Path:
    """The manifest beside a network file."""
    return network.with_suffix(".json")


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_network(path: Path) -> Network:
    """Read and verify an inpainting network; raises WeightsError with the next step if unusable."""
    manifest = check_manifest(path, INPAINTING)
    try:
        settings = manifest["settings"]
        width = int(settings.get("width", 0))
        network = Network(path, width, int(settings["size_px"]), manifest)
        _ = network.contract, network.inputs  # says now what cannot be read
        return network
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{manifest_path(path)} cannot be read ({error}): {REMEDY}.") from error


def shipped_network(
    precision: Precision, cpu_info: Path = CPU_INFO, original: Path | None = None
) -> Path:
    """A shipped network's file: `auto` is INT8 where this processor multiplies bytes quickly.

    `original` is the network in full precision, the inpainting one unless given; its INT8 form
    lies beside it. An INT8 file that is missing, that was made from another network, or that is
    made for GPUs is never taken; the log says why if it was asked for.
    """
    full = SHIPPED_NETWORK if original is None else original
    quantised = SHIPPED_INT8 if original is None else int8_path(original)
    if precision == "fp32" or (precision == "auto" and not has_vnni(cpu_info)):
        return full
    reason = why_unfit(quantised, full)
    if not reason:
        if may_saturate(cpu_info):
            log.warning("sums of bytes may overflow on this processor: prefer --precision auto")
        return quantised
    level = logging.WARNING if precision == "int8" else logging.INFO
    command = "quantize" if original is None else "quantize-headset"
    words = "%s runs in full precision: %s; `unvisor %s` makes it anew"
    log.log(level, words, full.name, reason, command)
    return full


def int8_path(original: Path) -> Path:
    """Where the INT8 form of a network lies."""
    return original.with_name(f"{original.stem}_int8.onnx")


def has_vnni(cpu_info: Path = CPU_INFO) -> bool:
    """Whether this is an x86 processor with vector instructions for sums of products of bytes."""
    try:
        words = set(cpu_info.read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(words & {"avx512_vnni", "avx_vnni"})


def may_saturate(cpu_info: Path = CPU_INFO) -> bool:
    """Whether this is an x86 processor that adds products of bytes in 16 bits, two at a time.

    Those of unsigned by signed bytes do not fit there: onnxruntime says so of AVX2 and AVX512
    without VNNI in its notes on quantisation.
    """
    try:
        words = set(cpu_info.read_text(encoding="utf-8").split())
    except OSError:
        return False
    return "avx2" in words and not has_vnni(cpu_info)


def why_unfit(path: Path, original: Path) -> str:
    """Why an INT8 file cannot stand for `original` on a processor; empty = it can."""
    if not path.is_file():
        return f"{path.name} is missing"
    try:
        manifest = json.loads(manifest_path(path).read_text())
        source, target = manifest["from_sha256"], manifest.get("target", "cpu")
        # The file itself is asked, not its manifest, which may be that of the network before.
        is_of_it = source == sha256(original)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{manifest_path(path).name} cannot be read"
    if not is_of_it:
        return f"{path.name} was made from another network"
    return "" if target in ("cpu", "pairs") else f"{path.name} is made for {target}"


def check_manifest(path: Path, kind: str | None) -> dict[str, Any]:
    """The manifest of a network file of a kind (None = any), after the file was compared with it.

    Raises:
        WeightsError: missing, damaged, of another kind or another version.
    """
    if not path.is_file():
        raise WeightsError(f"The network file {path} is missing: {REMEDY}.")
    try:
        manifest: dict[str, Any] = json.loads(manifest_path(path).read_text())
        schema, digest = manifest["schema"], manifest["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{manifest_path(path)} cannot be read ({error}): {REMEDY}.") from error
    if schema != MANIFEST_SCHEMA:
        raise WeightsError(
            f"{manifest_path(path)} has schema {schema}, expected {MANIFEST_SCHEMA}: {REMEDY}."
        )
    if kind is not None and manifest.get("kind", INPAINTING) != kind:
        raise WeightsError(
            f"{path} is a network for {manifest.get('kind', INPAINTING)}, {kind} is wanted here."
        )
    if sha256(path) != digest:
        raise WeightsError(f"{path} differs from its manifest (wrong sha256): {REMEDY}.")
    return manifest
