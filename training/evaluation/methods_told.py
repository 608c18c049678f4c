"""What the benchmarks page tells of each method: its network, its size, and how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation.tables import MISSING, shown, value_of

HEADINGS = [
    "method", "network", "recipe", "width", "px", "M params", "GMAC", "ms", "steps", "hours",
    "last fifth, dB", "device",
]  # fmt: skip
MILLION = 1e6


def method_line(name: str, scores: Mapping[str, Any]) -> list[str]:
    """One method's cells under `HEADINGS`; a method without a network has the first two."""
    told = scores.get("weights")
    if told is None:
        return [name, "none", *[MISSING] * (len(HEADINGS) - 2)]
    parameters = value_of(scores, ("size", "parameters"))
    return [
        name,
        f"{told['architecture']} ({told['file']})",
        told.get("recipe") or MISSING,
        _whole(told.get("width")),
        _whole(told.get("size_px")),
        shown(None if parameters is None else parameters / MILLION, 2),
        shown(value_of(scores, ("size", "giga_macs")), 3),
        shown(value_of(scores, ("size", "cpu_ms")), 1),
        _steps(told),
        shown(told.get("hours"), 2),
        _gain(told.get("last_fifth_db")),
        told["device"],
    ]


def scale_notes(methods: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a reader must know of rows that were trained by smaller means, if there are any."""
    scales = {str((s.get("weights") or {}).get("scale") or "") for s in methods.values()} - {""}
    notes = [
        "GMAC and ms are of the network alone, for each frame on one core: the fastest of several "
        "runs, in onnxruntime, of networks that look ahead in torch. *Last fifth* is what the PSNR "
        "on val still gained over the last fifth of the steps.\n"
    ]
    notes += [
        f"Trained at the scale `{scale}` (training/recipes/scales/{scale}.toml): all rows by the "
        "same small and short means, so that they tell an order under equal means, and nothing "
        "about the figures that others have published.\n"
        for scale in sorted(scales)
    ]
    told = (s.get("weights") or {} for s in methods.values())
    lengths = sorted({int(weights["run_steps"]) for weights in told if weights.get("run_steps")})
    if scales and len(lengths) > 1:
        most = ", ".join(map(str, lengths[:-1]))
        notes.append(
            f"Runs of {most} and {lengths[-1]} steps stand side by side: only rows of "
            "the same length can be compared, or those that stand still (*last fifth* near 0).\n"
        )
    if any((s.get("weights") or {}).get("steps") == 0 for s in methods.values()):
        notes.append(
            "Weights of step 0 were the best of their run: training added nothing yet, and what "
            "is scored is what the network starts from.\n"
        )
    return notes if any("size" in scores for scores in methods.values()) else notes[1:]


def _steps(told: Mapping[str, Any]) -> str:
    """Of the weights, and of the run where they are not its last ones."""
    steps, whole = told.get("steps"), told.get("run_steps")
    if steps is None or whole is None or steps == whole:
        return _whole(steps)
    return f"{steps} of {whole}"


def _gain(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.2f}"


def _whole(value: Any) -> str:
    return MISSING if value is None else str(value)
