"""Log lines of long commands on the terminal, above their progress bar."""

from __future__ import annotations

import logging
import os
import sys


class TerminalLog(logging.Handler):
    """Writes each line to what standard error is now: a progress bar puts itself there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # a full disk behind a pipe must not end a training
            self.handleError(record)


def show_log(package: str) -> None:
    """Show what a package's modules log from INFO on; of several processes the first one's."""
    logger = logging.getLogger(package)
    if os.environ.get("RANK", "0") != "0":  # torchrun's
        return
    if not any(isinstance(handler, TerminalLog) for handler in logger.handlers):
        logger.addHandler(TerminalLog(logging.INFO))
    logger.setLevel(logging.INFO)
