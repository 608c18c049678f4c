"""Single key presses on the terminal, without Enter."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_S = 0.1


@contextmanager
def read_keys(on_key: Callable[[str], None] | None) -> Iterator[None]:
    """Call `on_key` (on a thread of its own) for every key; does nothing without a terminal.

    Nor in the background of one, as after `unvisor run … &`: the system stops whoever touches the
    terminal from there. Ctrl-Z is a key like others meanwhile: it would stop this program alone,
    while those that it has started went on sending pictures.
    """
    if on_key is None or not sys.stdin.isatty() or not _is_in_foreground(sys.stdin.fileno()):
        yield
        return
    import termios  # not on Windows, where isatty() is rarely reached in this product
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    stop = threading.Event()
    reader = threading.Thread(target=_read, args=(descriptor, on_key, stop), daemon=True)
    tty.setcbreak(descriptor)  # keeps Ctrl-C a signal
    changed = termios.tcgetattr(descriptor)
    changed[6][termios.VSUSP] = os.fpathconf(descriptor, "PC_VDISABLE").to_bytes(1, "little")
    termios.tcsetattr(descriptor, termios.TCSANOW, changed)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_in_foreground(descriptor: int) -> bool:
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # a terminal, but not the one that this program belongs to
        return False


def _read(descriptor: int, on_key: Callable[[str], None], stop: threading.Event) -> None:
    while not stop.is_set():
        if select.select([descriptor], [], [], POLL_S)[0]:
            key = os.read(descriptor, 1)
            if not key:
                return
            on_key(key.decode(errors="replace"))
