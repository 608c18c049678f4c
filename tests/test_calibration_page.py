"""The capture page in headless Chromium: led, shown, saved by the keyboard alone."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser_window import BrowserWindow
from numpy.typing import NDArray
from test_calibration_gates import ToldReader
from test_calibration_guide import a_performance

from calibration.capture.draft import Draft, views_in_words
from calibration.capture.take import Take
from calibration.capture.trial import Trial
from calibration.page.content import CapturePage
from calibration.page.session import Cancelled, PageSession
from edge.profile import SessionProfile, load_profile, save_profile
from models.filling import Reference
from streaming.errors import UserError
from streaming.records import ImageU8

MeshMaker = Callable[..., NDArray[np.float32]]
SIZES = {"desktop": (1280, 800, False), "phone": (390, 844, True)}
PHASE = "document.body.dataset.phase"


@dataclass
class Acted:
    """Frames of somebody who does what is asked, over and over, 25 a second."""

    image: ImageU8
    meshes: list[NDArray[np.float32] | None]
    is_live: bool = True
    is_lost: bool = False
    has_ended: bool = False
    pause_at: int = 10**9  # frames after which the person waits
    _count: int = field(default=0)
    _now: NDArray[np.float32] | None = None

    def take(self, timeout_s: float = 0.1) -> tuple[float, ImageU8] | None:
        time.sleep(0.01)
        if self.is_lost or self._count >= self.pause_at:
            return None
        self._now = self.meshes[self._count % len(self.meshes)]
        self._count += 1
        return self._count / 10, self.image

    def restart(self) -> None:
        self._count = 0

    def faces(self, image: ImageU8) -> list[NDArray[np.float32]]:
        return [] if self._now is None else [self._now]


@pytest.fixture
def acted(posed_mesh: MeshMaker) -> Acted:
    noise = np.random.default_rng(2).normal(0, 9, (480, 640, 3))
    image = np.clip(np.array([150.0, 160.0, 170.0]) + noise, 0, 240)
    cv2.ellipse(image, (320, 250), (115, 160), 0, 0, 360, (120, 150, 200), -1)
    image = np.clip(image + noise, 0, 240).astype(np.uint8)
    meshes = a_performance(posed_mesh)
    moved = [(mesh * 1.5 + np.float32([128, 60, 0])).astype(np.float32) for mesh in meshes]
    return Acted(image, list(moved))


def a_draft(take: Take, posed_mesh: MeshMaker) -> Draft:
    take.check()
    rng = np.random.default_rng(1)
    meshes = [posed_mesh(), posed_mesh(yaw_deg=20), posed_mesh(closed=1.0)]
    references = tuple(
        Reference(rng.integers(60, 200, (256, 256, 3), np.uint8), mesh) for mesh in meshes
    )
    picture = np.full((320, 960, 3), 120, np.uint8)
    trial = Trial(20, 30.1, 22.4, 0.951, picture)
    profile = SessionProfile(references, quality={"sharpness": 30.0})
    return Draft(profile, trial, take, views_in_words(references))


@dataclass
class Sitting:
    """A session in a thread of its own, and how it ended."""

    page: CapturePage
    acted: Acted
    folder: Path
    thread: threading.Thread
    ended: list[Any]

    def result(self) -> Any:
        self.thread.join(20)
        assert self.ended
        return self.ended[0]


@pytest.fixture
def sitting(acted: Acted, tmp_path: Path, posed_mesh: MeshMaker) -> Iterator[Sitting]:
    folder = tmp_path / "anna"
    page = CapturePage(0)
    ended: list[Any] = []

    def make(take: Take) -> Draft:
        return a_draft(take, posed_mesh)

    def save(profile: SessionProfile) -> list[str]:
        save_profile(profile, folder)
        return ["The eye calibration is kept."]

    def run() -> None:
        session = PageSession(page, acted, acted.faces, ToldReader(), save, make=make)
        try:
            ended.append(session.run())
        except UserError as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield Sitting(page, acted, folder, thread, ended)
    page.wishes.put("cancel")
    thread.join(20)
    page.close()


def press(browser: BrowserWindow, key: str, code: str = "") -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key)


def text(browser: BrowserWindow, name: str) -> str:
    return str(browser.value(f"document.getElementById('{name}').textContent"))


def visible(browser: BrowserWindow) -> list[str]:
    found = (
        "[...document.querySelectorAll('button')].filter((b) => b.offsetParent).map((b) => b.id)"
    )
    return list(browser.value(found))


@pytest.mark.parametrize("name", SIZES)
def test_the_keyboard_alone_leads_from_start_to_a_saved_profile(
    name: str, sitting: Sitting, window: BrowserWindow, tmp_path: Path
) -> None:
    sitting.acted.pause_at = 40
    with window.showing(sitting.page.url, *SIZES[name]) as browser:
        browser.wait_for(f"{PHASE} === 'ready' && +document.getElementById('camera').dataset.drawn")
        assert visible(browser) == ["first", "cancel"]
        press(browser, " ", "Space")
        browser.wait_for(f"{PHASE} === 'guiding'")
        browser.wait_for("document.querySelectorAll('#steps [data-state=seen]').length >= 2")
        assert text(browser, "instruction").endswith(".")
        assert browser.value("document.querySelectorAll('#steps li').length") == 8
        fits(browser, *SIZES[name])
        shot(browser, f"guiding-{name}", tmp_path)
        sitting.acted.pause_at = 10**9
        browser.wait_for(f"{PHASE} === 'result'")
        assert text(browser, "instruction") == "Others will see you nearly as you are."
        assert "22.4 dB" in text(browser, "scores")
        assert visible(browser) == ["first", "again", "cancel"]
        browser.wait_for("+document.getElementById('view2').dataset.drawn")
        captions = "[...document.querySelectorAll('figcaption')].map((c) => c.textContent)"
        assert browser.value(captions) == ["straight", "turned left", "straight, eyes closed"]
        assert not sitting.folder.exists()  # nothing is saved unasked
        fits(browser, *SIZES[name])
        shot(browser, f"result-{name}", tmp_path)
        press(browser, "Enter")
        browser.wait_for(f"{PHASE} === 'saved'")
        assert text(browser, "instruction").startswith("Saved.")
        assert text(browser, "message") == "The eye calibration is kept."
        assert visible(browser) == []
    assert len(load_profile(sitting.folder).references) == 3
    assert isinstance(sitting.result(), Draft)


def shot(browser: BrowserWindow, name: str, folder: Path) -> None:
    """Leave a screenshot for whoever wants to look, and see that it is not empty."""
    path = Path(os.environ.get("UNVISOR_SCREENSHOTS", folder)) / f"capture-{name}.png"
    path.write_bytes(browser.screenshot())
    assert cv2.imread(str(path)).std() > 5


def fits(browser: BrowserWindow, width: int, height: int, is_phone: bool) -> None:
    """Nothing sticks out at the side, and the buttons are in reach without scrolling."""
    assert browser.value("document.documentElement.scrollWidth") <= width
    boxes = browser.value(
        "[...document.querySelectorAll('button')].filter((b) => b.offsetParent)"
        ".map((b) => b.getBoundingClientRect().toJSON())"
    )
    assert all(box["bottom"] <= height and box["height"] >= 44 for box in boxes)
    assert all(box["left"] >= 0 and box["right"] <= width for box in boxes)


def test_a_result_that_does_not_please_is_taken_again(
    sitting: Sitting, window: BrowserWindow
) -> None:
    with window.showing(sitting.page.url, *SIZES["desktop"]) as browser:
        browser.wait_for(f"{PHASE} === 'ready'")
        press(browser, "Enter")
        browser.wait_for(f"{PHASE} === 'result'")
        press(browser, "r", "KeyR")
        browser.wait_for(f"{PHASE} === 'ready'")
        press(browser, "Escape")
        browser.wait_for(f"{PHASE} === 'cancelled'")
    assert isinstance(sitting.result(), Cancelled)
    assert not sitting.folder.exists()


def test_advice_is_said_aloud_and_a_step_can_be_skipped(
    sitting: Sitting, window: BrowserWindow
) -> None:
    meshes = sitting.acted.meshes
    sitting.acted.meshes = [None]
    with window.showing(sitting.page.url, *SIZES["desktop"]) as browser:
        browser.wait_for("document.getElementById('advice').textContent.startsWith('Sit before')")
        assert browser.value("document.getElementById('advice').getAttribute('aria-live')")
        sitting.acted.meshes = meshes[:1]
        browser.wait_for("!document.getElementById('advice').textContent")
        press(browser, "Enter")
        browser.wait_for("!document.getElementById('skip').hidden")
        asked = text(browser, "instruction")
        press(browser, "s", "KeyS")
        browser.wait_for(f"document.getElementById('instruction').textContent !== '{asked}'")
        assert browser.value("document.querySelector('#steps [data-state=skipped]').textContent")


def test_a_lost_camera_and_a_refused_capture_are_said(
    sitting: Sitting, window: BrowserWindow
) -> None:
    with window.showing(sitting.page.url, *SIZES["phone"]) as browser:
        browser.wait_for(f"{PHASE} === 'ready'")
        sitting.acted.is_lost = True
        browser.wait_for(f"{PHASE} === 'lost'")
        sitting.acted.is_lost = False
        browser.wait_for(f"{PHASE} === 'ready'")
        sitting.acted.image = sitting.acted.image // 9
        press(browser, "Enter")
        browser.wait_for(f"{PHASE} === 'refused'")
        assert "Turn on a light" in text(browser, "message")
        assert visible(browser) == ["first", "cancel"]


def test_a_full_disk_is_said_and_saving_can_be_tried_again(
    sitting: Sitting, window: BrowserWindow
) -> None:
    sitting.folder.mkdir()
    (sitting.folder / "holiday.jpg").write_text("not a profile")  # so it cannot be written
    with window.showing(sitting.page.url, *SIZES["desktop"]) as browser:
        browser.wait_for(f"{PHASE} === 'ready'")
        press(browser, "Enter")
        browser.wait_for(f"{PHASE} === 'result'")
        for name in ("message", "advice"):  # there before they speak: else they are not heard
            region = f"document.getElementById('{name}')"
            assert browser.value(f"{region}.role") == "status"
            assert browser.value(f"getComputedStyle({region}).display") != "none"
        press(browser, "Enter")
        browser.wait_for("document.getElementById('message').textContent.includes('no profile')")
        (sitting.folder / "holiday.jpg").unlink()
        press(browser, "Enter")
        browser.wait_for(f"{PHASE} === 'saved'")
    assert load_profile(sitting.folder).references


def asked(page: CapturePage, method: str, path: str, body: str = "", **headers: str) -> int:
    address = page.url.removeprefix("http://").split("/")[0]
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_port_in_use_names_the_option_of_the_capture() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port}.*--page-port"):
            CapturePage(port)


def test_only_the_address_with_its_token_shows_the_face_or_takes_a_wish() -> None:
    with CapturePage(0) as page:
        origin, _, query = page.url.rpartition("/")
        wish = json.dumps({"wish": "save"})
        assert asked(page, "GET", "/") == 403
        assert asked(page, "GET", "/view?after=0&token=guess") == 403
        assert asked(page, "POST", "/wish", wish, Origin=origin) == 403
        assert asked(page, "POST", f"/wish{query}", wish, Origin="http://evil.example") == 403
        assert page.wishes.empty()
        assert asked(page, "GET", f"/{query}") == 200
        assert asked(page, "POST", f"/wish{query}", '{"wish": "format"}', Origin=origin) == 400
        assert asked(page, "POST", f"/wish{query}", "[]", Origin=origin) == 400
        assert asked(page, "POST", f"/wish{query}", wish, Origin=origin) == 200
        assert page.wishes.get_nowait() == "save"
