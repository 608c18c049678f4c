"""How every command's help reads, and how Ctrl-C ends a command that is still loading."""

from __future__ import annotations

import inspect
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def show_short_paths(command: Any, checkout: Path) -> None:
    """Let help name default files as seen from the checkout, not by where that happens to lie."""
    for part in getattr(command, "commands", {}).values():
        show_short_paths(part, checkout)
    for parameter in command.params:
        default = getattr(parameter, "default", None)
        if isinstance(default, Path) and default.is_absolute():
            parameter.show_default = os.path.relpath(default, checkout)


def let_help_flow(command: Any) -> None:
    """Let paragraphs of help fill the terminal: their lines were broken for the source's width."""
    for part in getattr(command, "commands", {}).values():
        let_help_flow(part)
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.help or ""))


@contextmanager
def ended_at_once_by_ctrl_c() -> Iterator[None]:
    """While modules load there is nothing to save, and what interrupts an import is no sentence."""
    before = signal.getsignal(signal.SIGINT)
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
