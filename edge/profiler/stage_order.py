"""The stages in a frame's order, by thread, with the colour that each has in every picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edge.profiler.result import stage_means_ms
from edge.profiler.trace import thread_label
from streaming.spans import ProcessSpans

CAMERA = ("decode", "oracle", "simulate", "feed")
AHEAD = ("track", "fuse", "prepare", "identity")  # of the network, on threads of their own
PIPELINE = ("fill", "network", "composite", "publish", "show", "light")
EYES = ("read eye", "publish eye")
ORDER = (*CAMERA, *AHEAD, *PIPELINE, *EYES)
PARTS_OF = {"network": "fill"}  # stages that run inside another one
WITHOUT_PART = {"fill": "fill (rest)"}  # how the outer one is called without them
COLOURS = {
    "decode": "#a6c8e4",
    "oracle": "#dddddd",
    "simulate": "#bdbdbd",
    "feed": "#969696",
    "track": "#ef8636",
    "fuse": "#f6c29b",
    "prepare": "#8cc084",
    "identity": "#4f9d69",
    "fill": "#b8d46e",
    "fill (rest)": "#b8d46e",
    "network": "#3b76af",
    "composite": "#8d69b8",
    "publish": "#c5b0d5",
    "show": "#e377c2",
    "light": "#f4c2d7",
    "read eye": "#d4a017",
    "publish eye": "#f0dca0",
}
OTHER_COLOUR = "#7f7f7f"


def colour_of(stage: str) -> str:
    """A stage's colour."""
    return COLOURS.get(stage, OTHER_COLOUR)


def sorted_stages(stages: Iterable[str]) -> list[str]:
    """In the order in which a frame meets them; unknown ones last, by name."""
    return sorted(stages, key=lambda name: (_place(name), name))


def by_thread(spans: Mapping[str, ProcessSpans]) -> list[tuple[str, dict[str, float]]]:
    """Mean ms of every stage by thread ("camera", "pipeline", "hmd_capture", …).

    A stage that runs inside another one stands beside what is left of that, so that a thread's
    stages add up to its time.
    """
    rows: dict[str, dict[str, float]] = {}
    for process in spans.values():
        means = stage_means_ms(process)
        thread_of = {span.name: span.thread_id for span in process.spans}
        for stage in sorted_stages(means):
            label = thread_label(process.threads.get(thread_of[stage], "other"))
            name = label if process.process == "edge" else process.process
            rows.setdefault(name, {})[stage] = means[stage]
    return [(name, _side_by_side(means)) for name, means in rows.items()]


def _side_by_side(means: Mapping[str, float]) -> dict[str, float]:
    inside = {outer: part for part, outer in PARTS_OF.items() if part in means and outer in means}
    found: dict[str, float] = {}
    for stage, mean in means.items():
        if stage in inside:
            found[WITHOUT_PART[stage]] = max(0.0, mean - means[inside[stage]])
        else:
            found[stage] = mean
    return found


def _place(stage: str) -> int:
    return ORDER.index(stage) if stage in ORDER else len(ORDER)
