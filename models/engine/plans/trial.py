"""A new engine's trial: the same frames through it and onnxruntime, and how long a step takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from models.contract import CONTOURS, KNOWN_RGB, MASK, REFERENCE_RGB, TensorContract
from models.engine.interface import Engine, EngineError, Float32Array
from models.engine.plans.library import Precision

FRAMES = 60  # three times what the network looks back, so that the states are warm
TIMED_FRAMES = 200
# Below these, something other than rounding is wrong. FP16 rounds to 11 bits, INT8 to 8.
LEAST_PARITY_DB: dict[Precision, float] = {"fp32": 50.0, "fp16": 40.0, "int8": 25.0}


@dataclass(frozen=True)
class Trial:
    """What was measured."""

    parity_db: float  # PSNR of the fill against onnxruntime's with the original network
    latency_ms: float  # median of a step, upload and download included


def try_engine(
    engine: Engine, reference: Engine, contract: TensorContract, precision: Precision
) -> Trial:
    """Measure a new engine; both engines are reset before and after.

    Raises:
        EngineError: its fills differ by more than its precision explains.
    """
    frames = made_up_frames(contract, FRAMES)
    engine.reset()
    reference.reset()
    squares = [
        float(np.mean((engine.step(frame) - reference.step(frame)) ** 2)) for frame in frames
    ]
    # A NaN anywhere makes the mean NaN, which no comparison lets pass.
    parity_db = float(10 * np.log10(1 / max(float(np.mean(squares)), 1e-12)))
    if not parity_db >= LEAST_PARITY_DB[precision]:
        raise EngineError(
            f"The engine's fills differ from onnxruntime's ({parity_db:.1f} dB, at least "
            f"{LEAST_PARITY_DB[precision]:.0f} expected at {precision})."
        )
    trial = Trial(round(parity_db, 2), _latency_ms(engine, frames))
    engine.reset()
    reference.reset()
    return trial


def made_up_frames(contract: TensorContract, count: int) -> list[Float32Array]:
    """Inputs like those of a session: a soft picture that drifts, a hole, a reference near it."""
    (spec,) = contract.inputs
    rng = np.random.default_rng(0)
    size = spec.shape[-1]
    coarse = rng.random((3, size // 8 + 2, size // 8 + 2)).astype(np.float32)
    picture = np.kron(coarse, np.ones((8, 8), np.float32))
    frames = []
    for index in range(count):
        shift = index % 8
        frame = np.zeros(spec.shape, np.float32)
        planes = frame[0]
        planes[MASK, size // 4 : size // 2, size // 8 : -size // 8] = 1
        planes[KNOWN_RGB] = picture[:, shift : shift + size, :size] * (1 - planes[MASK])
        planes[CONTOURS, size // 3, ::3] = 1
        planes[REFERENCE_RGB] = picture[:, :size, shift : shift + size]
        frames.append(frame)
    return frames


def _latency_ms(engine: Engine, frames: list[Float32Array]) -> float:
    spent = []
    for index in range(TIMED_FRAMES):
        start = time.perf_counter()
        engine.step(frames[index % len(frames)])
        spent.append(time.perf_counter() - start)
    return round(float(np.median(spent)) * 1e3, 3)
