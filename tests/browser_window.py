"""Drives a page in headless Chromium over DevTools pipes: no driver, no port, real time."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Without these a page in a browser that has no window counts as hidden after a while.
    *("--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"),
)
TIMEOUT_S = 60.0
READ, WRITE = 3, 4  # the file numbers on which Chromium listens and answers


class BrowserWindow:
    """A browser with one page, open until the `with` block ends."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        to_child, self._write = os.pipe()
        self._read, from_child = os.pipe()
        # The shell puts the pipes where Chromium wants them, whatever numbers they have here.
        script = f'exec "$@" {READ}<&{to_child} {WRITE}>&{from_child}'
        command = [CHROMIUM, *QUIET, "--remote-debugging-pipe", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", *command, "about:blank"],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")

    @contextmanager
    def showing(
        self, url: str, width: int, height: int, phone: bool = False
    ) -> Iterator[BrowserWindow]:
        """Show a page at this size in px; it is loaded when the block begins, gone after it."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.call("Page.navigate", url=url)
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")
        yield self
        self.call("Page.navigate", url="about:blank")
        self.wait_for("location.href === 'about:blank'")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one DevTools command and return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._next(deadline)
            if answer.get("id") == number:
                result: dict[str, Any] = answer.get("result", {})
                assert "error" not in answer or self._is_navigating(answer), answer["error"]
                return result

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript, awaiting promises, and return the value."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result.get("result", {}).get("value")

    def wait_for(self, expression: str, timeout_s: float = TIMEOUT_S) -> Any:
        """Evaluate until the value is truthy, and return it."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.value(expression)):
            assert time.monotonic() < deadline, f"never became true: {expression}"
            time.sleep(0.05)
        return value

    def screenshot(self) -> bytes:
        """What the page shows, as a PNG file."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)  # it takes the end of its pipe as the end of its time
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def __enter__(self) -> BrowserWindow:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @staticmethod
    def _is_navigating(answer: dict[str, Any]) -> bool:
        """Whether the page that was asked gave way to the next one; ask again."""
        return "context" in str(answer["error"])

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left_s = deadline - time.monotonic()
            assert left_s > 0, "Chromium did not answer"
            if select.select([self._read], [], [], left_s)[0]:
                read = os.read(self._read, 1 << 20)
                assert read, "Chromium ended"
                self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer
