"""`unvisor benchmarks`: all protocols for all methods in one go, and the page that shows them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from models.checkout import commit
from streaming.errors import UserError
from training.evaluation import options
from training.evaluation.benchmarks_page import TITLES, page, protocols_in_order
from training.evaluation.benchmarks_reports import DIGITS, completed, read_report, with_methods
from training.evaluation.evaluate import METHODS
from training.evaluation.options import NETWORKS, OUTPUT, WHAT
from training.evaluation.plan import PROTOCOLS
from training.evaluation.run import Measures, Request, networks_of
from training.helper_weights import DEFAULT_FOLDER
from training.protocol import PUBLISHED_PX
from training.reports.scores import write_text

VIDEO_PROTOCOLS = ("hmd", "hmd-far")
# The others are told apart by their frames' scores.
FACE_PROTOCOLS = ("eye-state", "turned", "face-mask-unseen")
PAGE = Path("docs/BENCHMARKS.md")


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
            documents[name] = with_methods(read_report(path), method)
    if not documents:
        raise UserError(f"{results} holds no report of these protocols.", "Leave out --no-score.")
    listed = {"protocol": protocol or [], "method": method or [], "weights": weights or []}
    lines = _commands(listed, output, documents)
    write_text(output, page(documents, lines, _commits(documents)))
    Console().print(f"{output} written from {len(documents)} reports in {results}.")


def _measures(protocol: str, video_fid: bool, frames_only: bool) -> Measures:
    if frames_only or protocol not in (*VIDEO_PROTOCOLS, *FACE_PROTOCOLS):
        return Measures.IMAGES
    return Measures.ALL if video_fid and protocol in VIDEO_PROTOCOLS else Measures.FACES


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
