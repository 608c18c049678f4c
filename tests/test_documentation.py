"""README.md and docs/: links, commands, options, files and rooms that they name exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from edge.__main__ import COMMANDS, command_of
from edge.settings import SessionSettings, load_toml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLIENTS = sorted(ROOT.glob("streaming/clients/*/README.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
# Where a command can begin: at a line or span of code, after && or an assignment, in a folder.
COMMAND = re.compile(r"(?:^\s*|`|/|&& |=\d+ )unvisor ([a-z][a-z0-9-]+)", re.MULTILINE)
# A command with what follows it on its line, in a block or a span of code.
CALL = re.compile(r"(?:unvisor ([a-z][a-z0-9-]+)|(calibrate-reference)|make demo)([^`&#\n]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
OURS = r"(?:streaming|models|hmd_capture|edge|calibration|training|tests)"
FILE = re.compile(rf"`({OURS}/[\w./-]*)`")
WITH_TORCH = ("training.", "models.")  # whose commands take seconds to import
PLACEHOLDER = re.compile(r"[A-Z]{3,}")  # such as NAME in `training/recipes/NAME.toml`
# Words that follow the program's name there, but are no command of it.
NOT_COMMANDS = {"sealed"}


@pytest.mark.parametrize(
    "page", [*PAGES, *CLIENTS], ids=lambda page: f"{page.parent.name}/{page.name}"
)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            name, _, heading = target.partition("#")
            leads_to = page.parent / name if name else page
            assert leads_to.exists(), target
            assert not heading or heading in _anchors(leads_to), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    code = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
    assert set(COMMAND.findall(code)) - NOT_COMMANDS <= set(COMMANDS)


def test_the_table_of_commands_names_each_one_once() -> None:
    table = (ROOT / "docs/INTERFACES.md").read_text(encoding="utf-8").partition("Exit codes")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in COMMAND.findall(row)]
    assert sorted(named) == sorted(COMMANDS)


def test_the_config_file_is_told_with_every_key_and_its_default(tmp_path: Path) -> None:
    page = (ROOT / "docs/INTERFACES.md").read_text(encoding="utf-8")
    section = page.partition("## Config file")[2].partition("\n## ")[0]
    config = tmp_path / "told.toml"
    config.write_text(section.partition("```toml")[2].partition("```")[0], encoding="utf-8")
    assert load_toml(config) == SessionSettings()
    told = set(re.findall(r"^(\w+) =|^\[([\w.]+)\]", config.read_text(), re.MULTILINE))
    keys = {name for pair in told for name in pair if name}
    left = "hmd_capture.left"  # told with the other eye's
    assert keys == _keys(dataclasses.asdict(SessionSettings())) - {left}


def test_every_option_that_a_page_gives_to_a_command_exists() -> None:
    given = _given_options()
    quick = [name for name in given if not COMMANDS[name][0].startswith(WITH_TORCH)]
    assert len(quick) > 10
    _assert_known(given, quick)


@pytest.mark.slow  # imports torch
def test_every_option_that_a_page_gives_to_a_training_exists() -> None:
    given = _given_options()
    _assert_known(given, [name for name in given if COMMANDS[name][0].startswith(WITH_TORCH)])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_ours_that_a_page_names_exists(page: Path) -> None:
    named = FILE.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not PLACEHOLDER.search(name)] == [
        name for name in named if (ROOT / name).exists()
    ]


def test_every_recipe_is_told() -> None:
    text = (ROOT / "docs/TRAINING.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    told = {name for line in table for name in re.findall(r"`([\w-]+)`", line.split("|")[1])}
    assert told == {path.stem for path in ROOT.glob("training/recipes/*.toml")}


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = [
        path.parent
        for package in OURS[3:-1].split("|")
        for path in ROOT.glob(f"{package}/*/__init__.py")
    ]
    assert len(rooms) > 50
    for room in rooms:
        path = room.relative_to(ROOT).as_posix()
        # The table of packages names the rooms of calibration without it.
        assert f"`{path}/`" in text or f"`{path.removeprefix('calibration/')}/`" in text, path


def _keys(tree: dict[str, Any], section: str = "") -> set[str]:
    """Names of all sections that hold keys, and of all keys."""
    parts = {f"{section}{name}": part for name, part in tree.items() if isinstance(part, dict)}
    below = set().union(*(_keys(part, f"{name}.") for name, part in parts.items()))
    return set(tree) - {name.rpartition(".")[2] for name in parts} | set(parts) | below


def _given_options() -> dict[str, set[str]]:
    """Options by command, of all that the pages and the clients' own pages give it."""
    given: dict[str, set[str]] = {}
    for page in [*PAGES, *CLIENTS]:
        code = "\n".join(CODE.findall(page.read_text(encoding="utf-8"))).replace("\\\n", " ")
        for name, alias, rest in CALL.findall(code):
            command = name or alias or "demo"
            if command in COMMANDS and (options := OPTION.findall(rest)):
                given.setdefault(command, set()).update(options)
    return given


def _assert_known(given: dict[str, set[str]], names: list[str]) -> None:
    for name in names:
        assert given[name] <= _options(command_of(name)), name


def _options(command: Any) -> set[str]:
    own = {"--help"}.union(*(each.opts + each.secondary_opts for each in command.params))
    return own.union(*(_options(part) for part in getattr(command, "commands", {}).values()))


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
