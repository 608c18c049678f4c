"""The boards' other way: the same images over a USB serial line."""

from __future__ import annotations

import importlib
import platform
import re
from collections import Counter
from typing import Any

from hmd_capture.sources.device import DeviceLost, Shot
from hmd_capture.sources.pictures import decode_jpeg
from hmd_capture.sources.serial_scanner import SerialScanner
from streaming.clock import monotonic_ns
from streaming.errors import UserError

BAUD = 115_200 if platform.system() == "Darwin" else 3_000_000
# More than this waiting is the past: some four images of a board's usual size.
STALE_BYTES = 32 * 1024


class SerialLine:
    """One board on a serial port."""

    def __init__(self, target: str) -> None:
        """`target` is PORT or PORT@BAUD. Raises `UserError` for others, or without pyserial."""
        self.counts: Counter[str] = Counter()
        match = re.fullmatch(r"([^@\s]+)(?:@(\d{3,8}))?", target)
        if match is None:
            raise UserError(
                f"{target!r} is no serial port.", "Write it as serial:/dev/ttyACM0, or PORT@BAUD."
            )
        self._port, self._baud = match[1], int(match[2] or BAUD)
        try:
            self._serial: Any = importlib.import_module("serial")
        except ModuleNotFoundError as error:
            raise UserError(
                "Eye cameras on a serial line need pyserial, which is not installed.",
                'Install it with `pip install -e ".[serial]"`.',
            ) from error
        self._line: Any = None
        self._scanner = SerialScanner(self.counts)

    def open(self) -> None:
        """Open the port; raises `DeviceLost`."""
        self._scanner = SerialScanner(self.counts)
        try:
            self._line = self._serial.Serial(self._port, self._baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise DeviceLost(_why(error)) from error

    def read(self, timeout_s: float) -> Shot | None:
        """Return the newest image that has come; raises `DeviceLost` or `BadPicture`."""
        try:
            self._line.timeout = timeout_s
            first = self._line.read(1)
            arrival_ns = monotonic_ns()
            received = first + self._line.read(self._line.in_waiting)
        except OSError as error:
            raise DeviceLost(_why(error)) from error
        if len(received) > STALE_BYTES:
            self.counts["garbage"] += len(received) - STALE_BYTES
            received = received[-STALE_BYTES:]
        images = self._scanner.feed(received, arrival_ns)
        self.counts["skipped"] += max(0, len(images) - 1)
        if not images:
            return None
        began_ns, jpeg = images[-1]
        return Shot(began_ns, decode_jpeg(jpeg))

    def close(self) -> None:
        """Close the port."""
        if self._line is not None:
            try:
                self._line.close()
            except OSError:
                self.counts["close"] += 1  # it was pulled out
            self._line = None


def _why(error: OSError | ValueError) -> str:
    text = str(error)
    if "No such file" in text:
        return "it is not plugged in"
    if "Permission" in text:
        return "this user may not open it (add them to the group dialout)"
    if "exclusively lock" in text or "busy" in text:
        return "another program uses it"
    return "its line broke"
