"""`unvisor doctor`: checks this machine and names the exact fix for what is missing.

Imports nothing that could itself be what is broken; every check is a small function.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from edge.check import Check

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("edge", "hmd_capture", "streaming", "models", "training", "calibration")
PORTS = {50020: "control", 50021: "publisher", 50022: "eyes", 50023: "eye feed", 8750: "preview"}
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
MARKS = {"ok": "[green]ok[/]     ", "missing": "[red]missing[/]", "optional": "[yellow]note[/]   "}

Versions = Callable[[str], str | None]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine; exits with 1 when something is missing."""
    checks: list[Check] = []
    console = Console()
    for check in all_checks():
        checks.append(check)
        if not as_json:
            console.print(f"{MARKS[check.state]} {escape(check.name)}: {escape(check.detail)}")
            if check.fix:
                console.print(f"        fix: {escape(check.fix)}", style="bold", soft_wrap=True)
    missing = sum(check.state == "missing" for check in checks)
    if as_json:
        tree = {"is_ready": not missing, "checks": [asdict(check) for check in checks]}
        Console(soft_wrap=True).print_json(json.dumps(tree))
    else:
        console.print(f"{missing} missing" if missing else "Everything that is needed is here.")
    if missing:
        raise typer.Exit(1)


def all_checks() -> Iterator[Check]:
    """Every check of this machine, one after the other."""
    yield check_python()
    yield check_checkout()
    yield from check_packages(requirements())
    yield check_single_opencv()
    yield check_opencv_loads()
    yield check_weights()
    yield check_eye_network()
    yield check_all_networks()
    yield from check_ports()
    yield check_cameras()
    yield check_npm()
    # Imported late: with it comes the TensorRT that may be what is broken.
    from edge.accelerator import check_accelerator

    yield from check_accelerator()


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Check:
    """Python 3.10 to 3.12: mediapipe 0.10.18 has wheels for no other."""
    text = f"{version[0]}.{version[1]} on {platform.machine()}"
    if (3, 10) <= version <= (3, 12):
        return Check("Python", "ok", text)
    fix = "install Python 3.11 and make the environment anew: `python3.11 -m venv .venv`"
    return Check("Python", "missing", f"{text}, needed 3.10 to 3.12", fix)


def check_checkout(names: Sequence[str] = PACKAGES, checkout: Path = CHECKOUT) -> Check:
    """Our top-level names are common words: another package must not stand in for one of them."""
    for name in names:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent != checkout / name:
            where = "nowhere" if origin is None else str(origin)
            fix = (
                f"use an environment of its own without the package that brings `{name}`, "
                f"and run from {checkout}"
            )
            return Check("own packages", "missing", f"`{name}` was found at {where}", fix)
    return Check("own packages", "ok", f"all {len(names)} in {checkout}")


def requirements(checkout: Path = CHECKOUT) -> list[str]:
    """The runtime requirements, from the project file or else from the installed metadata."""
    project = checkout / "pyproject.toml"
    if not project.is_file():
        return [r for r in importlib.metadata.requires("unvisor") or [] if "extra ==" not in r]
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return list(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"])


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_packages(
    wanted: Iterable[str], versions: Versions = installed_version
) -> Iterator[Check]:
    """Each requirement that applies here is installed at a version that was tested together."""
    from packaging.requirements import Requirement

    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        installed = versions(requirement.name)
        pinned = f"{requirement.name}{requirement.specifier}"
        if installed is not None and requirement.specifier.contains(installed, prereleases=True):
            yield Check(requirement.name, "ok", installed)
            continue
        detail = f"{installed or 'not installed'}, needed {requirement.specifier}"
        fix = f'{sys.executable} -m pip install "{pinned}"'
        yield Check(requirement.name, "missing", detail, fix)


def check_single_opencv(versions: Versions = installed_version) -> Check:
    """Two OpenCV wheels write into the same folder cv2/ and break each other."""
    found = [name for name in OPENCV_WHEELS if versions(name) is not None]
    if len(found) <= 1:
        return Check("one OpenCV", "ok", ", ".join(found) or "none")
    others = " ".join(name for name in found if name != "opencv-contrib-python")
    pip = f"{sys.executable} -m pip"
    fix = (
        f"{pip} uninstall -y {others} && "
        f'{pip} install --force-reinstall --no-deps "opencv-contrib-python==4.11.*"'
    )
    return Check("one OpenCV", "missing", f"{' and '.join(found)} overwrite each other", fix)


def check_opencv_loads(load: Callable[[str], object] = importlib.import_module) -> Check:
    """OpenCV's wheel needs the system's libGL and GLib."""
    try:
        cv2 = load("cv2")
    except ImportError as error:
        fix = "sudo apt-get install -y libgl1 libglib2.0-0"
        return Check("OpenCV loads", "missing", str(error), fix)
    return Check("OpenCV loads", "ok", str(getattr(cv2, "__version__", "")))


def check_weights(network: Path | None = None) -> Check:
    """The shipped network is there and is the file that its manifest describes."""
    from models.shipped import SHIPPED_NETWORK, load_network
    from models.weights_error import WeightsError

    try:
        loaded = load_network(SHIPPED_NETWORK if network is None else network)
    except WeightsError as error:
        return Check("weights", "missing", str(error), "git checkout -- models/weights")
    return Check("weights", "ok", f"{loaded.path.name}, width {loaded.width}, {loaded.size_px} px")


def check_eye_network(network: Path | None = None) -> Check:
    """The network that reads the eye cameras is there and is what its manifest describes."""
    from models.eyes.contract import EYE_NET
    from models.eyes.reader import SHIPPED_EYE_NET
    from models.shipped import check_manifest
    from models.weights_error import WeightsError

    path = SHIPPED_EYE_NET if network is None else network
    try:
        check_manifest(path, EYE_NET)
    except WeightsError as error:
        return Check("eye network", "missing", str(error), "git checkout -- models/weights")
    return Check("eye network", "ok", path.name)


def check_all_networks(folder: Path | None = None) -> Check:
    """Every network file is what its manifest says, INT8 forms are of the networks beside them."""
    from models.shipped import WEIGHTS_FOLDER, check_manifest, int8_path, why_unfit
    from models.weights_error import WeightsError

    folder = WEIGHTS_FOLDER if folder is None else folder
    names = {path.stem for kind in ("*.onnx", "*.json") for path in folder.glob(kind)}
    wrong = []
    for path in sorted(folder / f"{name}.onnx" for name in names):
        try:
            check_manifest(path, kind=None)
        except WeightsError as error:
            wrong.append(str(error))
            continue
        if int8_path(path).is_file() and (reason := why_unfit(int8_path(path), path)):
            wrong.append(f"{reason}.")
    if wrong:
        return Check("networks", "missing", " ".join(wrong), "git checkout -- models/weights")
    return Check("networks", "ok", f"{len(names)} files are as shipped")


def check_ports(ports: dict[int, str] = PORTS) -> Iterator[Check]:
    """The ports that a run binds on loopback are free."""
    for port, use in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                fix = f"end the program that listens there; `ss -ltnp 'sport = :{port}'` names it"
                yield Check(f"port {port}", "missing", f"{use}: {error.strerror}", fix)
                continue
        yield Check(f"port {port}", "ok", f"{use}: free")


def check_cameras(root: Path = Path("/")) -> Check:
    """Cameras are there and may be opened; the demo needs none."""
    if platform.system() != "Linux":
        return Check("cameras", "ok", "see `unvisor devices`")
    from edge.devices import list_cameras, permission_fix

    cameras = list_cameras(root)
    closed = [camera.node for camera in cameras if not camera.is_readable]
    if closed:
        return Check(
            "cameras", "missing", f"no permission for {', '.join(closed)}", permission_fix()
        )
    if not cameras:
        return Check("cameras", "optional", "none", "plug one in to restore yourself, not a clip")
    return Check("cameras", "ok", ", ".join(camera.name for camera in cameras))


def check_npm(which: Callable[[str], str | None] = shutil.which) -> Check:
    """npm fetches the demo's clip."""
    path = which("npm")
    if path:
        return Check("npm", "ok", path)
    fix = "sudo apt-get install -y npm; without it the demo plays a smaller clip"
    return Check("npm", "optional", "not installed", fix)
