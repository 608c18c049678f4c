"""From a stored engine file to an engine that runs on this GPU, and its first trial."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.engine.cuda.device import Device
from models.engine.cuda.driver import Gpu
from models.engine.cuda.pycuda_device import PycudaDevice
from models.engine.interface import Engine, EngineError
from models.engine.plans.calls import OpenedPlan
from models.engine.plans.library import Precision, TensorRt, find_tensorrt
from models.engine.plans.making import choose_precision, engine_contract
from models.engine.plans.manifest import identity_of
from models.engine.plans.store import OPENING, EngineStore, StoredPlan, Unusable
from models.engine.plans.trial import try_engine
from models.engine.tensorrt import TensorRtEngine
from models.shipped import Network

log = logging.getLogger(__name__)

BUILD_COMMAND = "unvisor build-engine"


def open_tensorrt(network: Network, gpu: Gpu, store: EngineStore) -> TensorRtEngine:
    """The stored engine of a network for this GPU, opened and warmed up.

    Raises:
        EngineError: there is none that fits, or it cannot be opened.
    """
    library, precision = find_tensorrt(), choose_precision(network)
    wanted = identity_of(network, precision, library, gpu)
    try:
        stored = store.load(wanted)
    except Unusable as reason:
        raise EngineError(
            f"no TensorRT engine of {network.path.name} fits ({reason}); run `{BUILD_COMMAND}`."
        ) from reason
    with _marked(stored.path):
        return start_plan(network, precision, library, stored.plan)


def try_stored(
    network: Network,
    library: TensorRt,
    stored: StoredPlan,
    store: EngineStore,
    reference: Engine,
    device: Device | None = None,
) -> StoredPlan:
    """Run a stored engine against `reference` and keep in its manifest how it did.

    Raises:
        EngineError: it cannot be opened, or its fills differ; it is forgotten then.
    """
    precision = stored.manifest.identity.precision
    try:
        with _marked(stored.path):
            engine = start_plan(network, precision, library, stored.plan, device)
            try:
                trial = try_engine(engine, reference, network.contract, precision)
            finally:
                engine.close()
    except EngineError:
        store.forget(stored.manifest.identity)
        raise
    manifest = dataclasses.replace(stored.manifest, **dataclasses.asdict(trial))
    try:
        store.save(stored.plan, manifest)
    except OSError as error:
        log.warning("the trial cannot be noted in %s: %s", store.folder, error)
    return dataclasses.replace(stored, manifest=manifest)


def start_plan(
    network: Network,
    precision: Precision,
    library: TensorRt,
    plan: bytes,
    device: Device | None = None,
) -> TensorRtEngine:
    """Open a plan on the GPU; raises EngineError, whatever the libraries underneath raise."""
    device = PycudaDevice() if device is None else device
    try:
        contract = engine_contract(network, precision)
        opened = OpenedPlan(library, plan)
        return TensorRtEngine(contract, opened, device, _name(library, precision))
    except Exception as error:  # pycuda's and TensorRT's errors have no common class
        device.close()
        if isinstance(error, EngineError):
            raise
        raise EngineError(f"The engine cannot be started: {error}.") from error


def _name(library: TensorRt, precision: Precision) -> str:
    flavour = "TensorRT-RTX" if library.flavour == "tensorrt-rtx" else "TensorRT"
    return f"{flavour} {library.version} {precision.upper()}"


@contextmanager
def _marked(plan: Path) -> Iterator[None]:
    """Leave a mark while a plan is being opened: native code may end the process at once.

    Raises:
        EngineError: the process that opened it last ended while doing so.
    """
    mark = plan.with_suffix(OPENING)
    if _is_left_behind(mark):
        raise EngineError(
            f"opening {plan.name} ended the program the last time; "
            f"run `{BUILD_COMMAND} --rebuild` to try again."
        )
    try:
        mark.write_text(str(os.getpid()))
    except OSError as error:  # a read-only cache: opened without a mark
        log.debug("no mark for %s: %s", mark.name, error)
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _is_left_behind(mark: Path) -> bool:
    try:
        owner = int(mark.read_text())
    except (OSError, ValueError):
        return False
    return not Path(f"/proc/{owner}").exists()
