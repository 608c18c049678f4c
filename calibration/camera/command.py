"""`unvisor calibrate-camera`: prints the board, watches it, and keeps the lens."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console
from rich.status import Status

from calibration.camera.board import EYE_SQUARE_MM, SQUARE_MM, USUAL_SQUARE_MM, board_sheet
from calibration.camera.coverage import Coverage
from calibration.camera.measure import collect, measured_lens
from calibration.camera.pictures import (
    pictures_of_eye,
    pictures_of_film,
    pictures_of_folder,
    pictures_of_webcam,
)
from calibration.profiles.transfer import write_private
from edge.lens.lens import CalibratedLens
from edge.lens.store import lens_path
from edge.marker.sheet import as_pdf, as_png
from edge.profile import load_profile, profile_path, update_profile
from edge.profile.unlock import passphrase_for
from edge.settings import load_toml
from streaming.errors import UserError
from streaming.records import ImageU8, Side

WEBCAM = "webcam:"


def calibrate_camera(
    board: Annotated[
        Path | None, typer.Option(help="Write the board to print here (.pdf or .png), and end.")
    ] = None,
    square_mm: Annotated[
        float | None, typer.Option(help="Side of the board's squares; 28, for an eye camera 6.")
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(help="Whose lens: an id from `unvisor devices`; with --eye such as uvc:0."),
    ] = None,
    eye: Annotated[
        Side | None, typer.Option(help="A camera in the headset: left or right.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Config file that names the eye cameras.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="A film of the board by that camera.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Or a folder of pictures of it.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the lens in this file, not in the user's folder.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Keep it in this profile, too.")] = None,
    seconds: Annotated[float, typer.Option(min=5, help="How long to look at most.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lens.")] = False,
) -> None:
    """Measure a camera's lens with a printed board: print it, then show it from many sides."""
    logging.basicConfig(level=logging.WARNING)
    cv2.setNumThreads(1)
    if board is not None:
        _print_board(board, square_mm or (EYE_SQUARE_MM if eye else USUAL_SQUARE_MM))
        return
    source = _source(camera, eye, config)
    if source is None and out is None:
        raise UserError(
            "No camera was named.", "Add --camera ID (see `unvisor devices`), or --out FILE."
        )
    if eye is not None and profile is not None:
        raise UserError("A profile keeps the outside camera's lens only.", "Leave out --profile.")
    known = _opened(profile)  # what is wrong with it is told before anybody shows the board
    is_live = video is None and pictures is None
    images = _images(source, eye, video, pictures, seconds)
    coverage = _watched(images, is_moving=pictures is None, is_live=is_live)
    lens = measured_lens(coverage, _key(source, eye))
    _keep(lens, out or lens_path(lens.camera), known)
    if as_json:
        typer.echo(json.dumps(lens.to_json()))
        return
    _tell(lens, out or lens_path(lens.camera))


def _print_board(path: Path, square_mm: float) -> None:
    low, high = SQUARE_MM
    if not low <= square_mm <= high:
        raise UserError(
            f"Squares of {square_mm:g} mm cannot be printed.", f"Give {low:g} to {high:g}."
        )
    writers = {".pdf": as_pdf, ".png": as_png}
    if path.suffix.lower() not in writers:
        raise UserError(f"{path} is neither a .pdf nor a .png file.", "Use --board board.pdf.")
    try:
        path.write_bytes(writers[path.suffix.lower()](board_sheet(square_mm)))
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from error
    _say(
        f"{path}: print it at 100 % and glue it onto something flat and stiff."
        " Then: `unvisor calibrate-camera --camera ID`."
    )


def _source(camera: str | None, eye: Side | None, config: Path | None) -> str | None:
    """What is opened and what the lens is kept under."""
    if camera is None and config is not None:
        settings = load_toml(config)
        if eye is None:
            return settings.edge.camera.source
        hmd = settings.hmd_capture
        return (hmd.left if eye is Side.LEFT else hmd.right).source or None
    if camera is None or eye is not None or camera.startswith(WEBCAM):
        return camera
    return WEBCAM + camera


def _key(source: str | None, eye: Side | None) -> str:
    return f"eye:{eye.value}:{source or ''}" if eye is not None else source or ""


def _images(
    source: str | None,
    eye: Side | None,
    video: Path | None,
    pictures: Path | None,
    seconds: float,
) -> Iterator[ImageU8]:
    if pictures is not None:
        return pictures_of_folder(pictures)
    if video is not None:
        return pictures_of_film(video)
    if source is None:
        raise UserError("No camera was named.", "Add --camera ID, --video FILE or --pictures DIR.")
    if eye is not None:
        return pictures_of_eye(eye, source, seconds)
    if not source.startswith(WEBCAM):
        raise UserError(f"{source} is no webcam.", "Name its recording with --video.")
    return pictures_of_webcam(source.removeprefix(WEBCAM), seconds)


def _watched(images: Iterator[ImageU8], *, is_moving: bool, is_live: bool) -> Coverage:
    console = Console(stderr=True, highlight=False)
    with Status("looking for the board", console=console) as status:

        def tell(coverage: Coverage, is_seen: bool) -> None:
            wanted = (coverage.missing() or ["Enough."])[0]
            if not is_seen:
                wanted = f"The board is not seen. {wanted}"
            reached = f"{100 * coverage.share:.0f} % of the picture"
            status.update(f"{len(coverage.views)} views, {reached}. {wanted}")

        return collect(images, tell, is_moving=is_moving, until_complete=is_live)


def _opened(profile: str | None) -> tuple[Path, str | None] | None:
    """Folder and passphrase of a profile that can be changed; None where none was named.

    Raises:
        UserError: there is none of that name, or it does not open.
    """
    if profile is None:
        return None
    folder = profile_path(profile)
    passphrase = passphrase_for(folder)
    load_profile(folder, passphrase)
    return folder, passphrase


def _keep(lens: CalibratedLens, path: Path, known: tuple[Path, str | None] | None) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.", "Name another place.") from error
    write_private(path, json.dumps(lens.to_json(), indent=1).encode(), replace=True)
    if known is not None:
        folder, passphrase = known
        update_profile(folder, lambda kept: dataclasses.replace(kept, camera=lens), passphrase)


def _tell(lens: CalibratedLens, path: Path) -> None:
    width, height = lens.size_px
    _say(
        f"Focal length {lens.focal_px:.1f} px at {width}×{height},"
        f" from {lens.views} views, corners within {lens.rms_px:.2f} px."
    )
    _say(f"The lens of {lens.camera or 'this camera'} is at {path}.")


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text)
