"""`unvisor evaluate`: options, progress and what is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from edge.settings import Outline
from models.filling import DEFAULT_FILLER
from streaming.errors import UserError
from training.bank_protocol import BANK
from training.clips.faces import FaceClips, ImageU8
from training.clips.licences import licensed
from training.detail.report import DETAIL, detail_document, tell_detail
from training.detail.report import METHODS as DETAIL_METHODS
from training.evaluation import options, tables
from training.evaluation.evaluate import METHODS, makers_of
from training.evaluation.networks import TrainedNetwork
from training.evaluation.options import OUTPUT, WHAT, progress_bar
from training.evaluation.plan import PROTOCOLS
from training.evaluation.run import Advance, Measures, Request, asked, networks_of, score
from training.eyes.evaluation import EYES, eyes_document
from training.eyes.report import tell_eyes
from training.helper_weights import DEFAULT_FOLDER, lpips_alex
from training.protocol import ScoredClip
from training.reports import scores as score_report
from training.reports.bank import bank_document
from training.reports.live import LIVE, live_document

# Protocols with methods of their own, where none are named; the others score METHODS.
OWN_DEFAULTS = {DETAIL: DETAIL_METHODS, LIVE: (DEFAULT_FILLER,), BANK: (DEFAULT_FILLER,)}


def evaluate(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of face clips; of portraits for detail, of near-eye images for eyes "
            "(docs/DATA.md).",
            rich_help_panel=WHAT,
        ),
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(PROTOCOLS)}, bank, detail, live or eyes.", rich_help_panel=WHAT
        ),
    ] = "hmd",
    split: options.Split = "test",
    method: options.Method = None,
    measures: Annotated[
        Measures,
        typer.Option(
            help="images: PSNR, SSIM, MSE, LPIPS. faces: also L1, MS-SSIM, motion, identity, "
            "expression, blinks. all: also the video-FID.",
            rich_help_panel=WHAT,
        ),
    ] = Measures.IMAGES,
    filler_size: options.FillerSize = 128,
    limit_clips: options.LimitClips = None,
    licence_class: options.LicenceClass = None,
    headsets: Annotated[
        Path | None,
        typer.Option(
            help="live: folder of headset pictures with a manifest.", rich_help_panel=WHAT
        ),
    ] = None,
    outline: Annotated[
        Outline, typer.Option(help="live: who draws the headset's outline, as `[edge] outline`.")
    ] = "fine",
    faces: Annotated[
        Path | None,
        typer.Option(
            help="eyes: folder of face clips, to score simulated eyes too.", rich_help_panel=WHAT
        ),
    ] = None,
    weights: options.Weights = None,
    threads: options.Threads = 1,
    helper_weights: options.HelperWeights = DEFAULT_FOLDER,
    lpips: Annotated[
        bool, typer.Option(help="Score LPIPS too (needs --helper-weights).", rich_help_panel=WHAT)
    ] = True,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every score here.", rich_help_panel=OUTPUT)
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table here.", rich_help_panel=OUTPUT)
    ] = None,
    strips: Annotated[
        Path | None,
        typer.Option(
            help="Folder for pictures: per clip all methods, the worst five of each apart; per "
            "source the eyes read.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Score fillers and networks on face clips under a simulated headset.

    hmd and hmd-far give the true outline and landmarks; perturbed gives landmarks that err; relit
    changes the light; the boxes and free-form hide other places; eye-state and turned take a
    reference that is far off.
    bank scores several views, detail a fill enlarged to portraits of 512 px. live gives nothing:
    the product finds all. eyes scores the network that reads eye cameras, on near-eye images.
    """
    if licence_class and protocol in (EYES, DETAIL):
        raise UserError(
            f"--licence-class chooses face clips, of which {protocol} scores none.", "Leave it out."
        )
    networks, alone = networks_of(weights or [], threads)
    request = Request(
        data=data,
        protocol=protocol,
        split=split,
        methods=_methods(protocol, method, networks),
        networks=networks,
        unvisor=alone,
        size_px=filler_size,
        threads=threads,
        measures=measures,
        helper_weights=helper_weights,
        lpips=lpips,
        limit_clips=limit_clips,
        licence_classes=tuple(licence_class or ()),
        strips=strips,
    )
    with progress_bar(f"{protocol}, {split}") as advance:
        if protocol == EYES:
            document = eyes_document(data, split, alone, faces, strips, advance)
        elif protocol in OWN_DEFAULTS:
            document = _own_document(request, headsets, outline, advance)
        else:
            document = score(request, advance)
    tell = {EYES: tell_eyes, DETAIL: tell_detail}.get(protocol, _tell)
    tell(document, json_file, markdown)


def _methods(
    protocol: str, method: list[str] | None, networks: Mapping[str, TrainedNetwork]
) -> tuple[str, ...]:
    if protocol in OWN_DEFAULTS:
        return tuple(method or [*OWN_DEFAULTS[protocol], *networks])
    return tuple(dict.fromkeys([*(method or METHODS), *networks]))


def _own_document(
    request: Request, headsets: Path | None, outline: Outline, advance: Advance
) -> dict[str, Any]:
    """What the protocols report that score in a way of their own."""
    networks = request.networks or {}
    makers = makers_of(request.methods, request.threads, request.unvisor, networks)
    distance = lpips_alex(request.helper_weights) if request.lpips else None
    common = (request.size_px, distance, request.limit_clips)
    split, strips = request.split, request.strips
    if request.protocol == DETAIL:
        return detail_document(request.data, split, makers, *common, strips, advance)
    clips = FaceClips(request.data)
    rows = licensed(clips.rows(split), request.licence_classes)
    if request.protocol == LIVE:
        found = live_document(
            clips, split, rows, makers, headsets, outline, *common, strips, advance
        )
    else:
        found = bank_document(clips, split, rows, makers, *common, _watcher(strips, advance))
    return found | asked(request)


def _watcher(
    strips: Path | None, advance: Advance
) -> Callable[[int, int, ScoredClip, Mapping[str, ImageU8]], None]:
    def show(index: int, total: int, clip: ScoredClip, filled: Mapping[str, ImageU8]) -> None:
        advance(index + 1, total)
        if strips is not None:
            score_report.write_strip(strips, clip, filled)

    return show


def _tell(document: dict[str, Any], json_file: Path | None, markdown: Path | None) -> None:
    Console().print(score_report.rich_table(document))
    if "truth" in document:
        Console().print(tables.rich_table(document))
    if "tracker" in document:
        Console().print(score_report.tracker_table(document))
        Console().print(score_report.eyes_table(document))
    if json_file is not None:
        score_report.write_json(json_file, document)
    if markdown is not None:
        text = score_report.markdown_table(document)
        more = "\n" + tables.markdown_table(document) if "truth" in document else ""
        score_report.write_text(markdown, text + more)
