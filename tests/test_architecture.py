"""The house rules: who may import whom, whose packages these are, and what runs without torch."""

from __future__ import annotations

import ast
import functools
import graphlib
import os
import subprocess
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# docs/ARCHITECTURE.md: each package and the ones of ours that it may import.
MAY_IMPORT = {
    "streaming": set(),
    "models": set(),
    "hmd_capture": {"streaming", "models"},
    "edge": {"streaming", "models", "hmd_capture"},
    "calibration": {"streaming", "models", "hmd_capture", "edge"},
    "training": {"streaming", "models", "hmd_capture", "edge"},
}
EXEMPT = {"edge/__main__.py"}  # the command table, which imports lazily by name
TORCH_PACKAGES = {"torch", "torchvision", "torchmetrics", "safetensors"}
TORCH_FREE = ("streaming", "hmd_capture", "edge", "models", "calibration")
TORCH_FILES_OF_MODELS = {  # the networks and what turns them into ONNX
    "models/inpainting/architectures.py",
    "models/inpainting/evi_hrnet.py",
    "models/peers/comb_cn.py",
    "models/peers/lgtsm.py",
    "models/peers/m_csam.py",
    "models/peers/peer.py",
    "models/peers/per_frame.py",
    "models/peers/stn_gan.py",
    "models/inpainting/temporal_shift.py",
    "models/export.py",
    "models/headset/network.py",
    "models/eyes/network.py",
    "models/identity/network.py",
    "models/covers/network.py",
    "models/face_masks/network.py",
    "models/outlines/network.py",
    "models/mask_unet.py",
}
LONGEST_FILE = 400
BANNED_STEMS = {"utils", "util", "helpers", "common", "base", "manager", "processor", "misc"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@functools.cache
def imports_of(path: Path) -> tuple[tuple[int, str], ...]:
    """(line, top-level package) of every import in a file, inside functions too."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name.split(".")[0]) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            own = path.relative_to(ROOT).parts[0] if node.level else None
            yield node.lineno, own or (node.module or "").split(".")[0]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_follow_the_table(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    broken = [
        f"{relative(path)}:{line} imports {name}"
        for path in sources(package)
        if relative(path) not in EXEMPT
        for line, name in imports_of(path)
        if name in MAY_IMPORT and name not in allowed
    ]
    assert sources(package)
    assert not broken, "\n".join(broken)


def test_no_module_imports_itself_by_way_of_others() -> None:
    names = {module_name(path): path for package in MAY_IMPORT for path in sources(package)}
    graph = {name: set(own_modules(path, names)) - {name} for name, path in names.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # a CycleError names the circle


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def own_modules(path: Path, names: Container[str]) -> Iterator[str]:
    """Our modules among the imports of a file, those for annotations included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = [f"{node.module}.{name.name}" for name in node.names]
            found = [name if name in names else node.module for name in inside]
        else:
            continue
        yield from (name for name in found if name in names)


@pytest.mark.parametrize("package", TORCH_FREE)
def test_torch_is_imported_in_network_files_only(package: str) -> None:
    broken = [
        f"{relative(path)}:{line} imports {name}"
        for path in sources(package)
        if relative(path) not in TORCH_FILES_OF_MODELS
        for line, name in imports_of(path)
        if name in TORCH_PACKAGES
    ]
    assert not broken, "\n".join(broken)


def test_the_packages_are_those_of_this_checkout() -> None:
    """Another distribution's `models` or `streaming` on the path would shadow ours silently."""
    script = "\n".join(
        f"import {name}; print({name}.__name__, {name}.__file__)" for name in MAY_IMPORT
    )
    found = dict(line.split(" ", 1) for line in run_python(script).splitlines())
    for name in MAY_IMPORT:
        assert Path(found[name]).resolve() == ROOT / name / "__init__.py", (
            f"'{name}' comes from {found[name]}: uninstall the distribution that brought it"
        )


def test_the_runtime_imports_without_torch() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("streaming", "models", "hmd_capture", "edge")
        for path in sources(package)
        if path.name != "__init__.py" and relative(path) not in TORCH_FILES_OF_MODELS
    ]
    # None in sys.modules makes an import fail as it does where the package is not installed.
    script = "\n".join(
        [
            "import importlib, sys",
            *(f"sys.modules[{name!r}] = None" for name in sorted(TORCH_PACKAGES)),
            f"for name in {modules!r}: importlib.import_module(name)",
            "print('ok')",
        ]
    )
    assert len(modules) > 5
    assert run_python(script).split() == ["ok"]


def test_no_tracked_file_is_a_link() -> None:
    """One machine's link leads nowhere on another, and stands in the way of what belongs there."""
    asked = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True)
    if asked.returncode:
        pytest.skip("not a git checkout")
    assert asked.stdout
    assert [line for line in asked.stdout.splitlines() if line.startswith("120000")] == []


def test_no_module_is_a_drawer() -> None:
    stems = {relative(path): path.stem for package in MAY_IMPORT for path in sources(package)}
    drawers = sorted(path for path, stem in stems.items() if stem in BANNED_STEMS)
    assert not drawers


def test_files_stay_readable_in_one_sitting() -> None:
    lengths = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for package in MAY_IMPORT
        for path in sources(package)
    }
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE}


def run_python(script: str) -> str:
    """Run a script in a clean interpreter from the checkout; its standard output."""
    outcome = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout
