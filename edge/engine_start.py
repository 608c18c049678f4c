"""Before a session: builds the TensorRT engine anew where an update made the old one useless."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edge.child import Child
from edge.settings import SessionSettings
from models.engine.choice import wants_build
from models.engine.cuda.driver import find_gpu
from models.filling import DEFAULT_FILLER
from models.shipped import SHIPPED_NETWORK, load_network
from models.weights_error import WeightsError

log = logging.getLogger(__name__)

POLL_S = 0.1
NETWORK_FILLER = "unvisor"
TellProgress = Callable[[int, int], None]  # done, total


def prepare_engine(
    settings: SessionSettings, tell: TellProgress, stop: threading.Event | None = None
) -> None:
    """Build the engine that the session wants and lacks; whatever fails, the session starts.

    In a process of its own: a builder that crashes must not take the session along.
    """
    models = settings.models
    filler = DEFAULT_FILLER if models.filler == "auto" else models.filler
    if models.engine == "onnx" or filler != NETWORK_FILLER:
        return
    gpu = find_gpu()
    if gpu is None:
        return
    weights = Path(models.weights) if models.weights else SHIPPED_NETWORK
    try:
        reason = wants_build(load_network(weights), models.engine, gpu)
    except WeightsError:
        return  # the session says it
    if reason:
        log.info("building the engine first: %s", reason)
        _build(weights, tell, stop or threading.Event())


def _build(weights: Path, tell: TellProgress, stop: threading.Event) -> None:
    arguments = ["build-engine", "--events", "--weights", str(weights)]
    child = Child("engine builder", "edge", arguments)
    try:
        tell(0, 100)
        while child.exit_code is None and not stop.is_set():
            event = child.next_event(POLL_S)
            if event is not None and event["event"] == "progress":
                tell(round(100 * event["share"]), 100)
    finally:
        code = child.stop()
    if code and not stop.is_set():
        last = child.last_lines[-1] if child.last_lines else f"exit code {code}"
        log.warning("the engine was not built, onnxruntime runs the network: %s", last)
