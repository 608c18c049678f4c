"""`unvisor benchmarks`: all protocols for all methods in one go, and the page that shows them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from models.checkout import commit
from models.shipped import SHIPPED_NETWORK, load_network
from streaming.errors import UserError
from training.clips.faces import FaceClips
from training.evaluation import options, plan
from training.evaluation.benchmarks_page import OURS, TITLES, page, protocols_in_order
from training.evaluation.evaluate import METHODS, spread
from training.evaluation.options import NETWORKS, OUTPUT, WHAT, progress_bar
from training.evaluation.plan import PROTOCOLS
from training.evaluation.run import Measures, Request, networks_of, score
from training.evaluation.testimony import of_manifest
from training.helper_weights import DEFAULT_FOLDER
from training.protocol import PUBLISHED_PX
from training.reports.scores import write_json, write_text

VIDEO_PROTOCOLS = ("hmd", "hmd-far")
# The others are told apart by their frames' scores.
FACE_PROTOCOLS = ("eye-state", "turned", "face-mask-unseen")
PAGE = Path("docs/BENCHMARKS.md")
DIGITS = 10  # of a commit, that tell it from others
SAME = ("split", "size_px", "limit_clips", "licence_classes", "measures")


def benchmarks(
    data: Annotated[
        Path, typer.Option(help="Folder of face clips (docs/DATA.md).", rich_help_panel=WHAT)
    ],
    split: options.Split = "test",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Repeat for several; default: {', '.join(TITLES)}.", rich_help_panel=WHAT
        ),
    ] = None,
    method: options.Method = None,
    filler_size: options.FillerSize = 128,
    limit_clips: options.LimitClips = None,
    licence_class: options.LicenceClass = None,
    weights: options.Weights = None,
    threads: options.Threads = 1,
    helper_weights: options.HelperWeights = DEFAULT_FOLDER,
    video_fid: Annotated[
        bool,
        typer.Option(
            help=f"Video-FID on {' and '.join(VIDEO_PROTOCOLS)}: 1.5 s a clip and method.",
            rich_help_panel=NETWORKS,
        ),
    ] = True,
    lpips: Annotated[
        bool, typer.Option(help="Score LPIPS (needs --helper-weights).", rich_help_panel=NETWORKS)
    ] = True,
    frames_only: Annotated[
        bool,
        typer.Option(
            help="Leave out all that needs other networks than LPIPS.", rich_help_panel=NETWORKS
        ),
    ] = False,
    measures: Annotated[
        Measures | None,
        typer.Option(
            help="The same measures for every protocol; default: what each is told apart by.",
            rich_help_panel=NETWORKS,
        ),
    ] = None,
    score_missing: Annotated[
        bool,
        typer.Option(
            "--score/--no-score",
            help="--no-score writes the page from the reports there are.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    results: Annotated[
        Path,
        typer.Option(
            help="Folder of the reports, one per protocol. Methods that they hold are not scored "
            "again, so that a stopped run goes on and new rows join.",
            rich_help_panel=OUTPUT,
        ),
    ] = Path("out/benchmarks"),
    output: Annotated[Path, typer.Option(help="The page.", rich_help_panel=OUTPUT)] = PAGE,
) -> None:
    """Score every method on every protocol and write docs/BENCHMARKS.md."""
    networks, alone = networks_of(weights or [], threads)
    chosen = protocols_in_order(protocol or list(TITLES))
    unknown = [name for name in chosen if name not in PROTOCOLS]
    if unknown:
        raise UserError(
            f"There is no protocol '{unknown[0]}'.", f"Use one of {', '.join(PROTOCOLS)}."
        )
    request = Request(
        data=data,
        protocol=chosen[0],
        split=split,
        methods=tuple(dict.fromkeys([*(method or METHODS), *networks])),
        networks=networks,
        unvisor=alone,
        size_px=filler_size,
        threads=threads,
        helper_weights=helper_weights,
        lpips=lpips,
        limit_clips=limit_clips,
        licence_classes=tuple(licence_class or ()),
    )
    documents = {}
    for name in chosen:
        level = measures or _measures(name, video_fid, frames_only)
        wanted = replace(request, protocol=name, measures=level, strips=results / name)
        path = results / f"{name}.json"
        if score_missing:
            documents[name] = completed(wanted, path)
        elif path.is_file():
            documents[name] = _of(_report(path), method)
    if not documents:
        raise UserError(f"{results} holds no report of these protocols.", "Leave out --no-score.")
    listed = {"protocol": protocol or [], "method": method or [], "weights": weights or []}
    lines = _commands(listed, output, documents)
    write_text(output, page(documents, lines, _commits(documents)))
    Console().print(f"{output} written from {len(documents)} reports in {results}.")


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
    report = _report(path)
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


def _report(path: Path) -> dict[str, Any]:
    """A report of this command; UserError when the file is none."""
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in (*SAME, "methods") if name not in report]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a report ({error}).", "Delete it.") from error
    if missing:
        raise UserError(f"{path} is not a report (no {missing[0]}).", "Delete it.")
    return report


def _of(report: dict[str, Any], methods: list[str] | None) -> dict[str, Any]:
    """A report with these of its methods, None = with all."""
    shown = {n: s for n, s in report["methods"].items() if methods is None or n in methods}
    return report | {"methods": shown}


def _measures(protocol: str, video_fid: bool, frames_only: bool) -> Measures:
    if frames_only or protocol not in (*VIDEO_PROTOCOLS, *FACE_PROTOCOLS):
        return Measures.IMAGES
    return Measures.ALL if video_fid and protocol in VIDEO_PROTOCOLS else Measures.FACES


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


def _commands(
    listed: Mapping[str, list[str]], output: Path, documents: Mapping[str, Mapping[str, Any]]
) -> str:
    """Command lines as another would give them: with their folders, these files.

    One for each way in which reports were made: protocols may have been scored apart, and reports
    that were not scored now tell best how they were.
    """
    alike: dict[tuple[tuple[str, object], ...], list[str]] = {}
    for name, document in documents.items():
        alike.setdefault(_made_with(name, document), []).append(name)
    several = len(alike) > 1
    return "\n".join(
        _command(made_with, names if several else listed["protocol"], listed, output)
        for made_with, names in alike.items()
    )


def _made_with(protocol: str, report: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    """The options that a report's own words ask for; the split comes first."""
    usual = _measures(protocol, video_fid=True, frames_only=False).value
    size_px, limit, measures = (report[name] for name in ("size_px", "limit_clips", "measures"))
    given: list[tuple[str, object]] = [("split", report["split"])]
    given += [("filler-size", size_px)] if size_px != PUBLISHED_PX else []
    given += [("limit-clips", limit)] if limit else []
    given += [("licence-class", shlex.quote(each)) for each in report["licence_classes"]]
    given += [("measures", measures)] if measures != usual else []
    return tuple(given)


def _command(
    made_with: Sequence[tuple[str, object]],
    protocols: Sequence[str],
    listed: Mapping[str, list[str]],
    output: Path,
) -> str:
    split, *others = made_with
    given = [split, *(("protocol", name) for name in protocols), *others]
    given += [("output", output)] if output.name != PAGE.name else []
    given += [("method", name) for name in listed["method"]]
    given += [
        ("weights", f"{each.partition('=')[0]}=…") for each in listed["weights"] if "=" in each
    ]
    return " ".join(["unvisor benchmarks --data FACES", *(f"--{n} {v}" for n, v in given)])


def _commits(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """The commits that rows were scored at, in their order; this checkout's where none is told."""
    rows = [row for document in documents.values() for row in document["methods"].values()]
    return ", ".join(dict.fromkeys(r["commit"] for r in rows if "commit" in r)) or commit(DIGITS)
