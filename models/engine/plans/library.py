"""Which TensorRT is here, and everything in which its flavours and versions differ.

`tensorrt` 10.3 (JetPack 6) to 11 and `tensorrt_rtx` share one API. They differ in this:

* Up to 10.11 builder flags choose the precision (weak typing), and quantised graphs need the INT8
  flag. From 10.12, and in TensorRT-RTX, the graph's own types hold (strong typing); 11 removed the
  flags.
* TensorRT-RTX builds for any listed RTX generation, without a GPU, and has no timing cache.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.engine.interface import EngineError

Flavour = Literal["tensorrt", "tensorrt-rtx"]
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
MODULES: dict[Flavour, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
OLDEST = (10, 3)
STRONG_TYPING_SINCE = (10, 12)


@dataclass(frozen=True)
class TensorRt:
    """A TensorRT that could be imported."""

    module: Any
    flavour: Flavour
    version: str

    @property
    def is_strongly_typed(self) -> bool:
        """Whether the graph's types hold, so that FP16 and INT8 must stand in the ONNX file."""
        return self.flavour == "tensorrt-rtx" or self.release >= STRONG_TYPING_SINCE

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    @property
    def has_timing_cache(self) -> bool:
        """Whether measured kernel times may be kept for the next build."""
        return self.flavour == "tensorrt"

    @property
    def network_flags(self) -> int:
        """Flags for `Builder.create_network`."""
        flags = self.module.NetworkDefinitionCreationFlag
        return 1 << int(flags.STRONGLY_TYPED) if self.is_strongly_typed else 0

    def precision_flags(self, precision: Precision) -> tuple[str, ...]:
        """Names of the builder flags that a precision needs here."""
        if self.is_strongly_typed:
            return ()
        # With INT8 alone, what is not quantised would run in FP32.
        return {"fp32": (), "fp16": ("FP16",), "int8": ("INT8", "FP16")}[precision]

    def target_names(self) -> tuple[str, ...]:
        """GPU generations that can be built for without having one: `SM86`, …; else empty."""
        if self.flavour != "tensorrt-rtx":
            return ()
        members = self.module.ComputeCapability.__members__
        return tuple(name for name in members if name.startswith("SM"))

    def chosen_targets(self, targets: Sequence[str]) -> tuple[str, ...]:
        """What to tell the builder: TensorRT-RTX builds for every generation unless told."""
        return tuple(targets) or (("CURRENT",) if self.flavour == "tensorrt-rtx" else ())


def find_tensorrt(
    flavours: Sequence[Flavour] = ("tensorrt", "tensorrt-rtx"),
    load: Callable[[str], Any] = importlib.import_module,
) -> TensorRt:
    """The first of `flavours` that can be imported and is new enough.

    Raises:
        EngineError: none is; says for each why not.
    """
    reasons = []
    for flavour in flavours:
        try:
            return _checked(load(MODULES[flavour]), flavour)
        except (ImportError, OSError, EngineError) as error:
            reasons.append(f"{MODULES[flavour]}: {error}")
    raise EngineError(
        f"TensorRT cannot be used ({'; '.join(reasons)}); `unvisor doctor` names the package."
    )


def _checked(module: Any, flavour: Flavour) -> TensorRt:
    if not hasattr(module, "Builder"):  # a folder of that name, such as that of type stubs
        raise EngineError("is no TensorRT")
    found = TensorRt(module, flavour, str(module.__version__))
    if flavour == "tensorrt" and found.release < OLDEST:
        raise EngineError(f"version {found.version} is too old, 10.3 (JetPack 6.1) is needed")
    return found
