"""Runs a module as a child that never outlives its parent: `python -m edge.leash MODULE ARG…`.

The parent keeps the child's standard input open and never writes to it. When the parent ends, in
whatever way, the pipe closes and the child is asked to stop as by `kill`; it works the same on
every system and whatever the module does.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

GRACE_S = 5.0  # for the module to finish by itself


def main() -> None:
    """Watch standard input and run the module named on the command line as `__main__`."""
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    threading.Thread(target=_watch, name="leash", daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    if os.getpgrp() == os.getpid():  # ours alone: what the module started goes, too
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
