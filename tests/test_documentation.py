"""README.md and docs/: links lead somewhere, and the commands they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
# Where a command can begin: at a line or span of code, after && or an assignment, in a folder.
COMMAND = re.compile(r"(?:^\s*|`|/|&& |=\d+ )unvisor ([a-z][a-z0-9-]+)", re.MULTILINE)
# Words that follow the program's name there, but are no command of it.
NOT_COMMANDS = {"sealed"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
