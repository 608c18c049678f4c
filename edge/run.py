"""`unvisor run`: the product on a camera, or on a simulated headset."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.console import Console

from edge.camera import WEBCAM
from edge.identity.question import confirm_person
from edge.marker.detector import read_marker
from edge.person_choice import check_person
from edge.preview_address import preview_url, with_preview_port
from edge.profile import SessionProfile, load_profile, profile_path
from edge.profile.unlock import passphrase_for
from edge.report import SessionReport, check_report_path
from edge.settings import (
    SessionSettings,
    keys_path,
    load_toml,
    names_camera,
    override,
    to_json,
)
from edge.setup.camera_choice import profiles_camera
from edge.status_line import StatusLine
from edge.supervisor import run_session
from streaming.errors import UserError
from streaming.security.door import open_guard

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Typed:
    """What only the command line says."""

    as_json: bool
    insecure_lan: bool
    any_person: bool
    is_sure: bool  # --yes
    is_page_refused: bool  # --no-preview
    is_camera_named: bool  # there or in the config file


def run(
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Name or folder of the wearer's profile.")
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="webcam:ID (see `unvisor devices`), gst:PIPELINE or a video file; "
            "without: the profile's camera if it is connected."
        ),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Render a headset over a bare face.")
    ] = False,
    cover: Annotated[
        str | None, typer.Option(help="What hides the face: headset, face-mask or auto.")
    ] = None,
    landmarks: Annotated[
        str | None, typer.Option(help="tracker, mediapipe, or oracle (simulated only).")
    ] = None,
    eyes: Annotated[
        str | None, typer.Option(help="network reads the eye cameras; oracle (simulated only).")
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="Whom to follow: nearest, left, right, or a number.")
    ] = None,
    marker: Annotated[
        str | None, typer.Option(help="Sticker on the headset: aruco:ID or apriltag:ID.")
    ] = None,
    filler: Annotated[
        str | None, typer.Option(help="auto, unvisor, warp-register, warp-blend, warp or paste.")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Listen here: 127.0.0.1, or 0.0.0.0 for all networks (`unvisor keys`)."),
    ] = None,
    insecure_lan: Annotated[
        bool,
        typer.Option("--insecure-lan", help="Let --host do without keys: anyone there can watch."),
    ] = False,
    any_person: Annotated[
        bool,
        typer.Option("--any-person", help="For tests: restore whoever is in view, unchecked."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="The profile is mine: do not ask.")
    ] = False,
    badge: Annotated[
        bool, typer.Option("--badge", help="Mark restored pictures visibly in a corner.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after so many seconds.")
    ] = None,
    preview: Annotated[
        bool | None, typer.Option("--preview/--no-preview", help="Serve the browser preview.")
    ] = None,
    preview_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve it here, not on 8750; 0 = any free port."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the timing JSON here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the timing JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
) -> None:
    """Restore the wearer's face live and publish it. Space pauses sending, q or Ctrl-C stops."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    changes: dict[str, Any] = {
        "edge.camera.source": camera,
        "edge.camera.seconds": seconds,
        "edge.cover": cover,
        "edge.simulation.cover": cover if cover != "auto" else None,
        "edge.landmarks": landmarks,
        "hmd_capture.eyes": eyes,
        "edge.person": check_person(person) if person else None,
        "edge.marker": marker if read_marker(marker or "") else None,
        "edge.simulation.enabled": True if simulate else None,
        **_preview_changes(preview, preview_port),
        "edge.report": str(report) if report else None,
        "models.filler": filler,
        "streaming.host": host,
        "streaming.badge": True if badge else None,
    }
    settings = override(load_toml(config) if config else SessionSettings(), changes)
    _check_host(settings, insecure_lan)
    settings = _with_profile(settings, profile)
    is_camera_named = camera is not None or (config is not None and names_camera(config))
    _run(
        settings,
        _Typed(as_json, insecure_lan, any_person, yes, preview is False, is_camera_named),
    )


def _preview_changes(wanted: bool | None, port: int | None) -> dict[str, Any]:
    """Naming a port asks for the preview."""
    if wanted is None and port is not None:
        wanted = True
    return {"edge.preview.enabled": wanted, "edge.preview.port": port}


def _run(settings: SessionSettings, typed: _Typed) -> None:
    _check(settings)
    if settings.edge.report:
        check_report_path(Path(settings.edge.report))
    folder = Path(settings.edge.profile)
    passphrase = passphrase_for(folder)  # asked for before anything starts
    profile = load_profile(folder, passphrase)  # a wrong profile should be told before, too
    cv2.setNumThreads(1)
    errors = Console(stderr=True)
    if not typed.is_camera_named:
        settings = _with_its_camera(settings, profile, errors)
    settings = with_preview_port(settings)
    log.info("settings: %s", to_json(settings))
    page_port = None if typed.is_page_refused else settings.edge.preview.port
    confirm_person(profile, folder.name, errors, page_port, is_sure=typed.is_sure)
    if typed.any_person:
        errors.print(
            "[bold red]--any-person: nobody checks who is in view. Whoever wears the headset is "
            "shown with this profile's face. For tests only.[/bold red]"
        )
    if url := preview_url(settings):
        errors.print(f"preview: {url}")
    with StatusLine(errors) as line:
        measured = run_session(
            settings,
            line,
            insecure_lan=typed.insecure_lan,
            any_person=typed.any_person,
            passphrase=passphrase,
        )
    if typed.as_json:
        Console(soft_wrap=True).print_json(json.dumps(measured.to_tree()))
    else:
        _tell_result(measured, errors)


def _tell_result(measured: SessionReport, console: Console) -> None:
    age = measured.age_ms.get("p99")
    console.print(
        f"{measured.frames} frames at {measured.fps:.1f} fps, {measured.drops} dropped"
        + ("" if age is None else f", age p99 {age:.0f} ms")
        + f" · filler {measured.filler}, landmarks {measured.landmarks}"
    )


def _with_profile(settings: SessionSettings, name: str | None) -> SessionSettings:
    chosen = name or settings.edge.profile
    if not chosen:
        raise UserError(
            "No profile was named.",
            "Make one with `calibrate-reference --profile NAME`, then add --profile NAME.",
        )
    return override(settings, {"edge.profile": str(profile_path(chosen))})


def _with_its_camera(
    settings: SessionSettings, profile: SessionProfile, console: Console
) -> SessionSettings:
    """Nobody named a camera: the one with which the profile was taken, if it is connected."""
    source, told = profiles_camera(profile.setup, settings.edge.camera.source)
    if told:
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    return override(settings, {"edge.camera.source": source})


def _check_host(settings: SessionSettings, insecure_lan: bool) -> None:
    """Tell at once what the worker would tell after it has loaded everything."""
    with open_guard(settings.streaming.host, keys_path(settings), insecure_lan):
        pass


def _check(settings: SessionSettings) -> None:
    edge = settings.edge
    if read_marker(edge.marker) and edge.landmarks != "tracker":
        raise UserError(
            f"A marker does nothing with the landmarks of {edge.landmarks}.",
            "Leave out --marker, or use --landmarks tracker.",
        )
    if read_marker(edge.marker) and edge.cover == "face-mask":
        raise UserError(
            "A marker is a sticker on a headset: with a face mask it does nothing.",
            "Leave out --marker, or use --cover headset or auto.",
        )
    if edge.landmarks == "mediapipe" and edge.cover == "auto":
        raise UserError(
            "Landmarks of mediapipe cannot tell a headset from a face mask.",
            "Leave out --landmarks, or name the --cover.",
        )
    if edge.camera.source.startswith(WEBCAM) and edge.max_gap_ms * edge.camera.fps < 1000:
        raise UserError(
            f"With max_gap_ms = {edge.max_gap_ms:g} every frame of a camera with "
            f"{edge.camera.fps:g} frames a second comes after a gap: nothing would be remembered.",
            f"Set max_gap_ms in [edge] to {2000 / edge.camera.fps:.0f} or more.",
        )
    if edge.landmarks == "oracle" and not edge.simulation.enabled:
        raise UserError(
            "The oracle knows only simulated headsets.",
            "Leave out --landmarks with a real camera, or add --simulate.",
        )
    if settings.hmd_capture.eyes == "oracle" and not edge.simulation.enabled:
        raise UserError(
            "The oracle knows only the eyes of simulated headsets.",
            "Leave out --eyes with real cameras, or add --simulate.",
        )
