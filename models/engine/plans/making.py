"""From a network file to an engine file: which precision, which graph, which tensors."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from pathlib import Path

from models.contract import TensorContract
from models.engine.cuda.driver import Gpu
from models.engine.interface import EngineError
from models.engine.plans.calls import build_plan
from models.engine.plans.library import Precision, TensorRt
from models.engine.plans.manifest import EngineManifest, identity_of
from models.engine.plans.progress import OnProgress
from models.engine.plans.store import EngineStore, StoredPlan, Unusable
from models.identity.contract import face_print_contract
from models.identity.face_chip import BARE
from models.shipped import Network

log = logging.getLogger(__name__)


def choose_precision(network: Network, asked: str = "auto") -> Precision:
    """What an engine of this file should be; `auto` is INT8 for quantised files, else FP16.

    Raises:
        EngineError: the file cannot become what was asked for.
    """
    can: dict[str, tuple[Precision, ...]] = {
        "fp32": ("fp16", "fp32"),
        "fp16": ("fp16",),
        "int8": ("int8",),
    }
    if network.content is not None:
        # An engine is made of the file, and known by the file's hash: it would draw as the file.
        raise EngineError(f"a wearer's own form of {network.path.name} is run by onnxruntime only.")
    if network.manifest.get("target") in ("cpu", "pairs"):
        raise EngineError(
            f"{network.path.name} is quantised for processors; use the network it was made of, or "
            "make one with `unvisor quantize --target tensorrt`."
        )
    choices = can.get(network.precision, ())
    if not choices:
        raise EngineError(f"{network.path.name} is of an unknown precision, {network.precision}.")
    if asked == "auto":
        return choices[0]
    for choice in choices:
        if choice == asked:
            return choice
    hint = "; make a quantised one with `unvisor quantize`" if asked == "int8" else ""
    raise EngineError(f"{network.path.name} is {network.precision}, not {asked}{hint}.")


def engine_contract(network: Network, precision: Precision) -> TensorContract:
    """Tensors of the engine: an FP16 one keeps its states in half precision."""
    contract = network.contract
    if not _is_converted(network, precision):
        return contract
    halved = tuple(dataclasses.replace(state, dtype="float16") for state in contract.states)
    return dataclasses.replace(contract, states=halved)


def engine_graph(path: Path, is_converted: bool) -> bytes:
    """The ONNX bytes that TensorRT is to read.

    Filters that are kept as bytes are multiplied out, and pictures of any size get that of
    their contract (a bare face for FacePrintNet): engines have one shape.
    """
    # Imported where it is used: sessions open engines and never convert.
    import onnx

    from models.quantisation.filter_storage import with_plain_filters
    from models.quantisation.half import half_precision

    model = with_plain_filters(onnx.load(path))
    shapes = {spec.name: spec.shape for spec in face_print_contract(BARE).inputs}
    for value in model.graph.input:
        for side, length in zip(
            value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False
        ):
            side.dim_value = length
    return bytes((half_precision(model) if is_converted else model).SerializeToString())


def make_engine(
    network: Network,
    precision: Precision,
    library: TensorRt,
    gpu: Gpu | None,
    store: EngineStore,
    *,
    targets: tuple[str, ...] = (),
    rebuild: bool = False,
    on_progress: OnProgress = lambda fraction, phase: None,
) -> StoredPlan:
    """The engine from the store if it fits, else a new one, stored if the disk allows it.

    Raises:
        EngineError: it cannot be built.
    """
    wanted = identity_of(network, precision, library, gpu, "+".join(targets))
    try:
        if rebuild:
            raise Unusable("it was asked for anew")
        return store.load(wanted)
    except Unusable as reason:
        log.info("building the engine of %s: %s", network.path.name, reason)
    start_s = time.monotonic()
    built = build_plan(
        library,
        engine_graph(network.path, _is_converted(network, precision)),
        precision,
        targets=targets,
        timing_cache=store.read_timing_cache(wanted),
        on_progress=on_progress,
    )
    if built.timing_cache:
        store.save_timing_cache(wanted, built.timing_cache)
    manifest = EngineManifest(
        identity=wanted,
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        build_s=round(time.monotonic() - start_s, 1),
        driver_cuda=gpu.cuda if gpu else "",
    )
    return StoredPlan(_kept(store, built.plan, manifest), built.plan, manifest)


def _kept(store: EngineStore, plan: bytes, manifest: EngineManifest) -> Path:
    """Store it; a full disk costs the next start a build, not this one its engine."""
    try:
        return store.save(plan, manifest)
    except OSError as error:
        log.warning(
            "the engine cannot be kept in %s (%s): make room there, or it is built again next time",
            store.folder,
            error.strerror or error,
        )
        return store.path(manifest.identity)


def _is_converted(network: Network, precision: Precision) -> bool:
    return precision == "fp16" and network.precision == "fp32"
