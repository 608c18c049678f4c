"""A page in headless Chromium, asked through its debugging socket."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=30))
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 40.0) -> Any:
        """Ask until the answer is truthy."""
        end_s = time.monotonic() + timeout_s
        while not (value := self.ask(expression)):
            text = self.ask("document.body ? document.body.innerText : ''")
            assert time.monotonic() < end_s, f"never {expression}; the page says: {text}"
            time.sleep(0.05)
        return value

    def open(self, url: str) -> None:
        self.command("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def resize(self, width: int, height: int) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def screenshot(self, path: Path) -> None:
        shot = self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def a_page(folder: Path, width: int = 1000, height: int = 800) -> Iterator[Page]:
    """A blank page; the browser ends with the block."""
    assert CHROMIUM is not None
    own = ("--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank")
    browser = subprocess.Popen([CHROMIUM, *QUIET, *own], stderr=subprocess.PIPE, text=True)
    with browser:
        try:
            assert browser.stderr is not None
            for line in browser.stderr:
                found = re.search(r"DevTools listening on ws://([\d.:]+)/", line)
                if found:
                    break
            else:
                raise AssertionError("Chromium did not start")
            with urllib.request.urlopen(f"http://{found[1]}/json", timeout=20) as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            address = tabs[0]["webSocketDebuggerUrl"]
            with connect(address, max_size=2**26, proxy=None) as socket:
                page = Page(socket)
                page.resize(width, height)
                yield page
        finally:
            browser.kill()
