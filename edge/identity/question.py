"""Before a session: whose profile it is, its picture, and "is this you?" at a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import typer
from rich.console import Console

from edge.profile import SessionProfile
from streaming.errors import UserError
from streaming.page.live import LivePage, Shot, pane_jpeg

log = logging.getLogger(__name__)

PICTURE_PX = 192
ASKING = "Is this you? Answer at the terminal"
PROFILE_PANE = "profile"  # its place on the page

Ask = Callable[[str], bool]


def confirm_person(
    profile: SessionProfile,
    name: str,
    console: Console,
    page_port: int | None,
    *,
    is_sure: bool = False,
    ask: Ask | None = None,
) -> None:
    """Tell whose profile is about to be used and, at a terminal, ask whether that is the user.

    While the question stands the picture is on the preview page at `page_port` (of this machine
    only; None: on no page). Without a terminal, or when `is_sure`, nothing is asked, so that
    nothing ever waits. `ask` replaces the terminal.

    Raises:
        UserError: the user said no.
    """
    made = f", made {profile.made[:10]}" if profile.made else ""
    console.print(f"Profile {name}{made}.", highlight=False)
    if is_sure or (ask is None and not sys.stdin.isatty()):
        return
    with ExitStack() as stack:
        page = None if page_port is None else _page(page_port)
        if page is not None:
            stack.enter_context(page)
            page.put(_shot(profile))
            console.print(f"Its picture: {page.url}", highlight=False)
        is_owner = (ask or _ask)("Is this you?")
    if not is_owner:
        raise UserError(
            f"Not started: the profile {name} is of somebody else.",
            "Name yours with --profile, or make one with `calibrate-reference --profile NAME`.",
        )


def profile_jpeg(profile: SessionProfile) -> bytes:
    """The best view as a small JPEG."""
    return pane_jpeg(np.asarray(profile.reference(PICTURE_PX).image, np.uint8))


def _shot(profile: SessionProfile) -> Shot:
    jpeg = profile_jpeg(profile)
    return Shot(0, None, (ASKING,), "none", "none", False, lambda: {PROFILE_PANE: jpeg})


def _page(port: int) -> LivePage | None:
    """The preview page, elsewhere if its port is taken; None if there is none to be had."""
    for candidate in (port, 0):
        try:
            return LivePage(candidate)
        except UserError as error:
            log.info("%s", error)
    return None


def _ask(question: str) -> bool:
    return bool(typer.confirm(question, default=True, err=True))
