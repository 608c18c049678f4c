"""`unvisor demo`: the whole product on a clip or webcam, with a simulated headset.

Two runs of the same code: one at the camera's rate with preview, recording and scores, which gives
age and drops; then one as fast as the pipeline goes, without them, which gives its capacity.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import typing
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.console import Console
from rich.table import Table

from edge.camera import WEBCAM
from edge.clips import demo_clip
from edge.demo_profile import profile_of_source
from edge.preview_address import preview_url, with_preview_port
from edge.profile import save_profile
from edge.profiler.measurement import measure, timing_tree
from edge.records import CoverKind
from edge.report import SessionReport
from edge.settings import CameraSettings, Playback, SessionSettings, override
from edge.status_line import StatusLine
from edge.supervisor import SessionStatus
from streaming.errors import UserError

PROFILE_S = 8.0  # of another recording of the same person
OWN_PROFILE_S = 3.0  # of the very clip that is then restored
NOT_KNOWN = "not known"  # the licence of the user's own pictures
VIDEO = "demo.mp4"  # in the folder of --out
OWN_PICTURE = f"your own picture, kept in {VIDEO} alone"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """What the demo restores, and where the wearer's profile comes from."""

    name: str
    licence: str
    credit: str
    camera: CameraSettings
    profile_source: CameraSettings


def demo(
    clip: Annotated[Path | None, typer.Option(help="Restore this video of a bare face.")] = None,
    webcam: Annotated[bool, typer.Option("--webcam", help="Restore yourself.")] = False,
    camera: Annotated[
        str | None, typer.Option(help="Which webcam, with --webcam (see `unvisor devices`).")
    ] = None,
    cover: Annotated[str, typer.Option(help="headset or face-mask.")] = "headset",
    out: Annotated[Path, typer.Option(help="Folder for demo.mp4 and demo.json.")] = Path("out"),
    seconds: Annotated[float, typer.Option(min=1.0, help="How many seconds to show.")] = 60.0,
    filler: Annotated[
        str | None, typer.Option(help="auto, unvisor, warp-register, warp-blend, warp or paste.")
    ] = None,
    landmarks: Annotated[
        str, typer.Option(help="tracker (finds headset and face), or oracle (is told).")
    ] = "tracker",
    eyes: Annotated[
        str, typer.Option(help="network (reads the eye cameras), or oracle (is told).")
    ] = "network",
    preview: Annotated[bool, typer.Option(help="Serve the live page.")] = True,
    preview_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where; 0 = any free port.")
    ] = 8750,
    cutouts: Annotated[
        Path | None, typer.Option(help="Folder of RGBA headset pictures to use.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print demo.json as well.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
) -> None:
    """Watch a face being restored live from under a simulated headset. Space pauses, q stops."""
    errors = Console(stderr=True, highlight=False)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    cv2.setNumThreads(1)
    check_choices(clip, webcam, camera, cover, cutouts)
    scene = choose_scene(clip, (camera or "0") if webcam else None, seconds)
    errors.print(introduced(scene))
    with tempfile.TemporaryDirectory(prefix="unvisor-demo-") as folder:
        profile = Path(folder) / "profile"
        save_profile(profile_of_source(scene.profile_source, errors), profile)
        changes = {
            "edge.profile": str(profile),
            "edge.cover": cover,
            "edge.simulation.cover": cover,
            "edge.landmarks": landmarks,
            "hmd_capture.eyes": eyes,
            "edge.simulation.headset": str(cutouts) if cutouts else None,
            "edge.preview.enabled": preview,
            "edge.preview.port": preview_port,
            "models.filler": filler,
        }
        settings = with_preview_port(override(demo_settings(scene, out), changes))
        paced, capacity = run_both(settings, errors)
    tree = demo_tree(scene, paced, capacity, cover)
    _write_json(out / "demo.json", tree)
    _print_result(errors, tree, out)
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(tree))


def check_choices(
    clip: Path | None, webcam: bool, camera: str | None, cover: str, cutouts: Path | None
) -> None:
    """Raise UserError for options that exclude each other or cannot work."""
    if clip is not None and webcam:
        raise UserError("--clip and --webcam exclude each other.", "Choose one of them.")
    if camera is not None and not webcam:
        raise UserError("--camera says which webcam, but --webcam is missing.", "Add --webcam.")
    if cover not in typing.get_args(CoverKind):
        raise UserError(
            f"The demo cannot cover a face with {cover!r}.",
            "Use `--cover headset` or `--cover face-mask`.",
        )
    if cover != "headset" and cutouts is not None:
        raise UserError("--cutouts are pictures of headsets.", "Leave it out with this --cover.")
    if cutouts is not None and not cutouts.is_dir():
        raise UserError(f"There is no folder {cutouts}.", "Leave out --cutouts or correct it.")


def choose_scene(clip: Path | None, webcam: str | None, seconds: float) -> Scene:
    """The user's clip or webcam, or else the default clip, which is fetched once."""
    if webcam is not None:
        webcam = webcam.removeprefix(WEBCAM)  # with which other commands want it
        camera = CameraSettings(source=f"{WEBCAM}{webcam}", seconds=seconds)
        own = CameraSettings(source=camera.source, seconds=OWN_PROFILE_S)
        return Scene(f"webcam {webcam}", NOT_KNOWN, OWN_PICTURE, camera, own)
    if clip is not None:
        return Scene(
            clip.name,
            NOT_KNOWN,
            "your own clip",
            CameraSettings(source=str(clip), seconds=seconds),
            CameraSettings(source=str(clip), seconds=OWN_PROFILE_S),
        )
    fetched = demo_clip()
    playback: Playback = "back-and-forth" if fetched.is_back_and_forth else "loop"
    is_own = fetched.path == fetched.profile_path
    return Scene(
        fetched.name,
        fetched.licence,
        fetched.credit,
        CameraSettings(source=str(fetched.path), playback=playback, seconds=seconds),
        CameraSettings(
            source=str(fetched.profile_path), seconds=OWN_PROFILE_S if is_own else PROFILE_S
        ),
    )


def demo_settings(scene: Scene, out: Path) -> SessionSettings:
    """Settings of the paced run: simulated headset, recording and scores."""
    camera = scene.camera
    return override(
        SessionSettings(),
        {
            "edge.camera.source": camera.source,
            "edge.camera.playback": camera.playback,
            "edge.camera.seconds": camera.seconds,
            "edge.simulation.enabled": True,
            "edge.recording.path": str(out / VIDEO),
            "edge.recording.overwrite": True,  # demo.json beside it tells of this run, too
            "edge.quality": True,
        },
    )


def run_both(
    settings: SessionSettings, errors: Console
) -> tuple[SessionReport, SessionReport | None]:
    """The paced run and the capacity run, which a live camera and an early end leave out."""
    if url := preview_url(settings):
        errors.print(f"preview: {url}")
    return measure(settings, errors, watcher=lambda line: _Watcher(settings, line))


class _Watcher:
    """Passes the status on and opens the browser once there is something to see."""

    def __init__(self, settings: SessionSettings, line: StatusLine) -> None:
        self._url = preview_url(settings)
        self._line = line
        self._is_opened = not (self._url and has_display())

    def __call__(self, status: SessionStatus) -> None:
        if status.phase == "running" and not self._is_opened:
            self._is_opened = True
            webbrowser.open(self._url)
        self._line(status)


def has_display() -> bool:
    """Whether a browser could show something to the person at this terminal."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def demo_tree(
    scene: Scene, paced: SessionReport, capacity: SessionReport | None, cover: str = "headset"
) -> dict[str, Any]:
    """The content of demo.json."""
    tree = timing_tree(paced, capacity)
    tree["clip"] = {"name": scene.name, "licence": scene.licence, "credit": scene.credit}
    tree["cover"] = cover
    return tree


def _write_json(path: Path, tree: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}.", "Choose another folder with `--out`."
        ) from error


def introduced(scene: Scene) -> str:
    """What is restored, with licence and credit where it is not the user's own."""
    licence = "" if scene.licence == NOT_KNOWN else f" ({scene.licence})"
    return f"{scene.name}{licence}: {scene.credit}"


def _print_result(console: Console, tree: dict[str, Any], out: Path) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in result_words(tree, out).items():
        table.add_row(f"[dim]{name}[/dim]", value)
    console.print(table)


def result_words(tree: dict[str, Any], out: Path) -> dict[str, str]:
    """What counts of demo.json, in words."""
    return {
        "frames": f"{tree['frames']} at {tree['fps']:.1f} fps, {tree['drops']} dropped",
        "age at the client": _ages(tree["age_ms"]),
        "capacity": _number(tree.get("capacity_fps"), "{:.1f} fps") + f" on {tree['device']}",
        "quality": f"{_number(tree.get('psnr_db'), '{:.2f} dB')}, under the cover "
        f"{_number(tree.get('psnr_masked_db'), '{:.2f} dB')}, "
        f"SSIM {_number(tree.get('ssim'), '{:.3f}')}",
        "memory": _memory(tree["rss_mib_10s"], tree["rss_mib"]),
        "made with": f"filler {tree['filler']}, landmarks {tree['landmarks']}",
        "files": ("" if tree.get("recorded_frames") == 0 else f"{out / VIDEO}, ")
        + f"{out / 'demo.json'}",
    }


def _ages(age_ms: dict[str, float]) -> str:
    if not age_ms:
        return "not measured"
    return f"median {age_ms['p50']:.0f} ms, p99 {age_ms['p99']:.0f} ms"


def _memory(after_10s: float | None, at_the_end: float) -> str:
    settled = "" if after_10s is None else f"{after_10s:.0f} MiB after 10 s, "
    return f"{settled}{at_the_end:.0f} MiB at the end"


def _number(value: float | None, form: str) -> str:
    return "not measured" if value is None else form.format(value)
