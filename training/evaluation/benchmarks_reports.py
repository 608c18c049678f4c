"""Reports of `unvisor benchmarks`: read, checked against what is asked, and completed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from models.checkout import commit
from models.shipped import SHIPPED_NETWORK, load_network
from streaming.errors import UserError
from training.clips.faces import FaceClips
from training.evaluation import plan
from training.evaluation.benchmarks_page import OURS
from training.evaluation.evaluate import spread
from training.evaluation.options import progress_bar
from training.evaluation.run import Request, score
from training.evaluation.testimony import of_manifest
from training.reports.scores import write_json

DIGITS = 10  # of a commit, that tell it from others
SAME = ("split", "size_px", "limit_clips", "licence_classes", "measures")


def completed(request: Request, path: Path) -> dict[str, Any]:
    """The report of `request`: what of it `path` holds already, and what is scored now.

    Raises:
        UserError: the clips or networks cannot be used, or the report was made otherwise.
    """
    report = kept(request, path)
    missing = tuple(name for name in request.methods if not _holds(report, request, name))
    if missing:
        _check_same_clips(report, request, path)
        networks = {n: net for n, net in (request.networks or {}).items() if n in missing}
        with progress_bar(f"{request.protocol}, {request.split}") as advance:
            found = score(replace(request, methods=missing, networks=networks), advance)
        _tell_shipped(found, request)
        for scores in found["methods"].values():
            scores["commit"] = commit(DIGITS)
        report = _joined(report, found)
    for name, network in (request.networks or {}).items():
        report["methods"][name]["size"] = asdict(network.size)  # timed side by side, every time
    write_json(path, report)
    shown = {name: report["methods"][name] for name in request.methods}
    return report | {"methods": shown}


def kept(request: Request, path: Path) -> dict[str, Any]:
    """The report at `path`, or one without methods.

    Raises:
        UserError: it cannot be read, or was made otherwise than `request` asks.
    """
    if not path.is_file():
        return {"methods": {}}
    report = read_report(path)
    asked = {
        "split": request.split,
        "size_px": request.size_px,
        "limit_clips": request.limit_clips,
        "licence_classes": list(request.licence_classes),
        "measures": request.measures.value,
    }
    for name, value in asked.items():
        if report[name] != value:
            raise UserError(
                f"{path} was made with {name} {report[name]}, not {value}.",
                "Delete it, or name another folder with --results.",
            )
    if any(("lpips" in row) != request.lpips for row in report["methods"].values()):
        raise UserError(
            f"{path} was made {'without' if request.lpips else 'with'} LPIPS.",
            f"{'Add' if request.lpips else 'Leave out'} --no-lpips, or name another --results.",
        )
    return report


def _check_same_clips(report: Mapping[str, Any], request: Request, path: Path) -> None:
    """Raise UserError when new rows would be scored on other clips than those that there are."""
    rows: list[Mapping[str, Any]] = list(report["methods"].values())
    if not rows or "per_clip" not in rows[0]:
        return
    clips = FaceClips(request.data)
    taken, _ = plan.takes(clips, request.split, request.protocol, request.licence_classes)
    if {take.segment for take in spread(taken, request.limit_clips)} != set(rows[0]["per_clip"]):
        raise UserError(
            f"{path} was made of other clips than {request.data} has: its rows cannot be compared.",
            "Delete it, or name another folder with --results.",
        )


def read_report(path: Path) -> dict[str, Any]:
    """A report of this command; UserError when the file is none."""
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in (*SAME, "methods") if name not in report]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a report ({error}).", "Delete it.") from error
    if missing:
        raise UserError(f"{path} is not a report (no {missing[0]}).", "Delete it.")
    return report


def with_methods(report: dict[str, Any], methods: list[str] | None) -> dict[str, Any]:
    """A report with these of its methods, None = with all."""
    shown = {n: s for n, s in report["methods"].items() if methods is None or n in methods}
    return report | {"methods": shown}


def _holds(report: Mapping[str, Any], request: Request, name: str) -> bool:
    """Whether a report has a method, scored with the very weights that are asked for."""
    if name not in report["methods"]:
        return False
    network = (request.networks or {}).get(name)
    told = report["methods"][name].get("weights")
    if name == OURS:
        return bool(_shipped(request) == told)
    return network is None or network.testimony.as_json() == told


def _tell_shipped(document: dict[str, Any], request: Request) -> None:
    """Say of `unvisor`, too, how its weights came to be."""
    if OURS in document["methods"]:
        document["methods"][OURS]["weights"] = _shipped(request)


def _shipped(request: Request) -> dict[str, Any]:
    network = load_network(request.unvisor or SHIPPED_NETWORK)
    return of_manifest(network.path, network.manifest).as_json()


def _joined(report: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    worst = {**report.get("worst_clips", {}), **found["worst_clips"]}
    return {**found, "methods": {**report["methods"], **found["methods"]}, "worst_clips": worst}
