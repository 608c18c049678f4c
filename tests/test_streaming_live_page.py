"""The live page in a real browser: it moves, it comes back by itself, it fits on a phone."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from browser_window import BrowserWindow
from typer.testing import CliRunner

from streaming import heard_pause
from streaming.clock import monotonic_ns
from streaming.frame_message import FrameMessage, encode_pixels
from streaming.messages import Notification
from streaming.page.live import LivePage, Shot, pane_jpeg
from streaming.page.watch import WatchPage
from streaming.publisher import Publisher
from streaming.records import ImageU8, RestoredFace, Status
from streaming.subscriber import Arrival
from streaming.topics import FRAME_WORLD
from streaming.watch import watch
from streaming.watch_outputs import OutputChoice, open_outputs

ROOT = Path(__file__).resolve().parent.parent
APP = typer.Typer()
APP.command()(watch)
WAIT_S = 20.0
SIZES = {"desktop": (1280, 800, False), "phone": (390, 844, True)}
ALL = ("camera", "restored", "eyes", "truth")


def picture(number: int) -> ImageU8:
    """A bar that walks over grey."""
    image = np.full((120, 160, 3), 110, np.uint8)
    image[:, (number * 5) % 150 :][:, :10] = (60, 200, 240)
    return image


def a_shot(number: int, names: tuple[str, ...] = ALL, **changes: Any) -> Shot:
    shot = Shot(
        frame_id=number,
        age_ns=31_000_000,
        status=("LIVE",),
        filler="unvisor",
        landmarks="oracle",
        synthesised=True,
        panes=lambda: {name: pane_jpeg(picture(number)) for name in names},
    )
    return replace(shot, **changes)


class Feeder:
    """Puts 25 shots a second on a page until stopped."""

    def __init__(self, page: LivePage, names: tuple[str, ...] = ALL, first: int = 1) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(page, names, first), daemon=True)
        self._thread.start()

    def _run(self, page: LivePage, names: tuple[str, ...], number: int) -> None:
        while not self._ended.wait(0.04):
            page.put(a_shot(number, names))
            number += 1

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(0) as opened:
        yield opened


def port_of(page: LivePage) -> int:
    return int(page.url.rsplit(":", 1)[1].strip("/"))


def facts_of(page: LivePage, query: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{page.url}view?{query}", timeout=10) as answer:
        body = answer.read()
    (length,) = struct.unpack_from(">I", body)
    facts: dict[str, Any] = json.loads(body[4 : 4 + length])
    return facts


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_a_foreign_page_cannot_hide_a_wish_in_the_body_of_a_refused_one() -> None:
    """A browser sends such a body unasked; its `Origin` is the browser's, what is inside is not."""
    wishes: list[bool] = []
    with LivePage(0, on_pause=wishes.append) as opened:
        here = f"127.0.0.1:{port_of(opened)}"
        wish = '{"paused": false}'
        hidden = (
            f"POST /pause HTTP/1.1\r\nHost: {here}\r\nOrigin: http://{here}\r\n"
            f"Content-Length: {len(wish)}\r\n\r\n{wish}{' ' * 1000}"
        )
        with socket.create_connection(("127.0.0.1", port_of(opened)), timeout=WAIT_S) as browser:
            browser.sendall(
                f"POST /pause HTTP/1.1\r\nHost: {here}\r\nOrigin: http://evil.example\r\n"
                f"Content-Length: {len(hidden)}\r\n\r\n{hidden}".encode()
            )
            answers = _all_that_comes(browser)
    assert wishes == []
    assert answers.count(b"HTTP/1.1 ") <= 1


def _all_that_comes(connection: socket.socket) -> bytes:
    """Until the server hangs up, which with a body unread may take its answer along."""
    came = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            came += piece
    return came


FRAME_ID = "+document.querySelector('[data-pane=restored]').dataset.frameId"
STATUS = "document.getElementById('status').textContent"
IS_OLD = "document.getElementById('panes').classList.contains('is-old')"
PIXELS = """(() => { const pane = document.querySelector('[data-pane=restored]');
  const bytes = pane.getContext('2d').getImageData(0, 60, pane.width, 1).data;
  return bytes.reduce((sum, value, index) => (sum * 31 + value * (index + 1)) % 1000003, 7); })()"""


@pytest.mark.parametrize("name", SIZES)
def test_pictures_move_and_come_back_by_themselves_after_a_restart(
    name: str, window: BrowserWindow
) -> None:
    """The second server counts from one again, far below what the page has seen of the first."""
    first = LivePage(0)
    port = port_of(first)
    feeder = Feeder(first, first=5000)
    with window.showing(first.url, *SIZES[name]) as browser:
        browser.wait_for(f"{FRAME_ID} >= 5000")
        assert browser.wait_for(f"{STATUS} === 'Live'")
        seen = {browser.value(PIXELS)}
        while len(seen) < 4:
            browser.wait_for(f"![{','.join(map(str, seen))}].includes({PIXELS})")
            seen.add(browser.value(PIXELS))

        feeder.stop()
        first.close()
        browser.wait_for(f"{STATUS}.startsWith('Not running')")
        browser.wait_for("document.getElementById('panes').classList.contains('is-old')")
        second = LivePage(port)
        feeder = Feeder(second)
        browser.wait_for(f"{FRAME_ID} < 5000 && {STATUS} === 'Live'")
        before = browser.value(FRAME_ID)
        browser.wait_for(f"{FRAME_ID} > {before} + 3")
        assert not browser.value("document.getElementById('panes').classList.contains('is-old')")
    feeder.stop()
    second.close()


def test_a_restart_leaves_the_old_picture_dimmed_until_a_new_one_comes(
    window: BrowserWindow,
) -> None:
    first = LivePage(0)
    port = port_of(first)
    first.put(a_shot(1, status=("LIVE", "PAUSED")))
    with window.showing(first.url, *SIZES["desktop"]) as browser:
        browser.wait_for(f"{STATUS}.startsWith('Paused') && {IS_OLD}")
        first.close()
        browser.wait_for(f"{STATUS}.startsWith('Not running')")
        with LivePage(port) as second:
            browser.wait_for(f"{STATUS} === 'Waiting for the first frame'")
            assert browser.value(IS_OLD)
            second.put(a_shot(1))
            browser.wait_for(f"{STATUS} === 'Live'")
            assert not browser.value(IS_OLD)


def test_the_space_bar_pauses_but_not_while_the_page_asks(window: BrowserWindow) -> None:
    """The button is not to be seen while it asks; the bar paused a session unseen."""
    wishes: list[bool] = []
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {code: 'Space'})); 1"
    with (
        LivePage(0, on_pause=wishes.append) as page,
        window.showing(page.url, *SIZES["desktop"]) as browser,
    ):
        page.put(a_shot(1, ("profile",)))
        browser.wait_for("document.getElementById('profile').classList.contains('asks')")
        browser.value(press)
        page.put(a_shot(2))
        browser.wait_for("!document.getElementById('profile').classList.contains('asks')")
        page.put(a_shot(3, status=("LIVE", "PAUSED")))
        browser.wait_for(f"{STATUS}.startsWith('Paused')")
        browser.value(press)
        wait_until(lambda: False in wishes)
    assert wishes == [False]


SERVER = """
import sys, time
sys.path.append("tests")
from test_streaming_live_page import LivePage, a_shot
page = LivePage(0)
for number in range(500):
    page.put(a_shot(number))
print(page.url, flush=True)
time.sleep(100)
"""


@contextmanager
def served_elsewhere() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of 500 shots in a process of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_restart_that_the_page_slept_through_is_noticed_too(window: BrowserWindow) -> None:
    """A page in the background asks nothing; then it asks a server that counts from one again."""
    with (
        served_elsewhere() as (process, url),
        window.showing(url, *SIZES["desktop"]) as browser,
    ):
        browser.wait_for(f"{FRAME_ID} === 499")
        browser.value(
            "window.awake = new Promise((wake) => { window.wake = wake; });"
            "const ask = window.fetch; window.asleep = 0;"
            "window.fetch = async (...what) => {"
            "  window.asleep += 1; await window.awake; return ask(...what); }; 1"
        )
        browser.wait_for("window.asleep")
        process.kill()
        process.wait()
        with LivePage(int(url.rsplit(":", 1)[1].strip("/"))) as second:
            second.put(a_shot(3))
            browser.value("window.wake(); 1")
            browser.wait_for(f"{FRAME_ID} === 3")


@pytest.mark.parametrize("names", [ALL, ALL[:3], ALL[:2], ("restored",)])
@pytest.mark.parametrize("name", SIZES)
def test_the_page_fits_whatever_panes_there_are(
    name: str, names: tuple[str, ...], page: LivePage, window: BrowserWindow
) -> None:
    width, height, is_phone = SIZES[name]
    page.on_pause = lambda paused: None
    page.put(a_shot(1, names))
    with window.showing(page.url, width, height, is_phone) as browser:
        browser.wait_for(f"{FRAME_ID} === 1")
        boxes = browser.value(
            "[...document.querySelectorAll('figure')].filter((each) => each.offsetParent)"
            ".map((each) => ({id: each.id, ...each.getBoundingClientRect().toJSON()}))"
        )
        assert {box["id"] for box in boxes} == set(names)
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert all(box["left"] >= 0 and box["right"] <= width for box in boxes)
        button = browser.value("document.getElementById('pause').getBoundingClientRect().toJSON()")
        assert button["bottom"] <= height  # in reach without scrolling
        restored = next(box for box in boxes if box["id"] == "restored")
        assert restored["bottom"] <= height
        if is_phone:
            assert restored["width"] > 0.9 * width
            assert restored["top"] == min(box["top"] for box in boxes)
            assert button["height"] >= 44
        else:
            assert browser.value("document.documentElement.scrollHeight") <= height


def test_a_picture_that_stands_is_said_to_stand(page: LivePage, window: BrowserWindow) -> None:
    page.put(a_shot(1))
    with window.showing(page.url, *SIZES["phone"]) as browser:
        browser.wait_for(f"{STATUS}.startsWith('No new picture for')")
        assert browser.value("document.getElementById('rate').textContent") == "–"
        page.put(a_shot(2))
        browser.wait_for(f"{STATUS} === 'Live'")


def test_a_screen_reader_hears_once_that_a_picture_stands(
    page: LivePage, window: BrowserWindow
) -> None:
    """Each second was written as a new item of the list that is read out."""
    page.put(a_shot(1))
    with window.showing(page.url, *SIZES["phone"]) as browser:
        browser.wait_for(f"{STATUS}.startsWith('No new picture for')")
        first = browser.value(STATUS)
        browser.value("window.item = document.getElementById('status').firstElementChild, 0")
        browser.wait_for(f"{STATUS} !== '{first}' && {STATUS}.startsWith('No new picture for')")
        assert browser.value("document.getElementById('status').firstElementChild === item")
        read_out = "[...item.childNodes].filter((one) => one.ariaHidden !== 'true')"
        assert browser.value(f"{read_out}.map((one) => one.textContent).join()") == "No new picture"


def test_several_browsers_see_the_same_stream(
    page: LivePage, window: BrowserWindow, tmp_path: Path
) -> None:
    feeder = Feeder(page)
    with (
        BrowserWindow(tmp_path) as second,
        window.showing(page.url, *SIZES["desktop"]) as one,
        second.showing(page.url, *SIZES["phone"]) as other,
    ):
        for browser in (one, other):
            browser.wait_for(f"{FRAME_ID} > 0")
        for browser in (one, other):
            before = browser.value(FRAME_ID)
            browser.wait_for(f"{FRAME_ID} > {before} + 5")
    feeder.stop()


def test_a_broken_picture_does_not_stop_the_others(page: LivePage, window: BrowserWindow) -> None:
    page.put(a_shot(1, panes=lambda: {"restored": b"\xff\xd8 no picture"}))
    with window.showing(page.url, *SIZES["desktop"]) as browser:
        browser.wait_for(f"{STATUS} === 'Live'")
        page.put(a_shot(2))
        browser.wait_for(f"{FRAME_ID} === 2")


def test_a_question_that_counts_by_another_server_is_answered_anew(page: LivePage) -> None:
    page.put(a_shot(1))
    first = facts_of(page, "after=0&run=")
    assert (first["sequence"], len(first["panes"])) == (1, 4)
    assert facts_of(page, f"after=1&run={first['run']}")["panes"] == []
    assert facts_of(page, "after=7000&run=another")["sequence"] == 1


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=" + "9" * 5000, "run=%00", ""])
def test_odd_questions_are_answered(page: LivePage, query: str) -> None:
    page.put(a_shot(1))
    assert facts_of(page, query)["sequence"] == 1


def test_watchers_share_one_encoding_and_learn_how_long_the_picture_stands(page: LivePage) -> None:
    encoded: list[int] = []

    def panes() -> dict[str, bytes]:
        encoded.append(1)
        return {"restored": pane_jpeg(picture(0))}

    page.put(a_shot(1, panes=panes))
    stood = [facts_of(page, "after=0")["still_s"] for _ in range(5)]
    assert stood == sorted(stood)
    assert encoded == [1]


def a_frame(index: int, image_format: str = "jpeg", **changes: Any) -> Arrival:
    image = picture(index)
    now_ns = monotonic_ns()
    message = FrameMessage(
        topic=FRAME_WORLD,
        width=160,
        height=120,
        index=index,
        timestamp=0.0,
        format=image_format,
        capture_time_ns=now_ns - 20_000_000,
        publish_time_ns=now_ns,
        status=(Status.LIVE, Status.ONE_EYE),
        filler="unvisor",
        landmark_source="tracker",
        synthesised=True,
        pixels=encode_pixels(image, image_format, 90),
    )
    return Arrival(replace(message, **changes), now_ns)


@pytest.mark.parametrize("image_format", ["jpeg", "bgr", "gray"])
def test_a_subscription_fills_the_page(image_format: str) -> None:
    with WatchPage(0) as page:
        page.take(a_frame(3, image_format))
        message = page.next_message(0)
        (length,) = struct.unpack_from(">I", message)
        facts = json.loads(message[4 : 4 + length])
        jpeg = np.frombuffer(message, np.uint8, offset=4 + length)
        shown = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert (facts["frame_id"], facts["status"]) == (3, ["LIVE", "ONE_EYE"])
    assert (facts["filler"], facts["landmarks"]) == ("unvisor", "tracker")
    assert facts["synthesised"] is True
    assert facts["age_ms"] == pytest.approx(20)
    assert not facts["can_pause"]
    wanted = picture(3)
    if image_format == "gray":
        wanted = cv2.cvtColor(cv2.cvtColor(wanted, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert cv2.PSNR(shown, wanted) > 30


def test_an_age_by_another_machines_clock_is_not_told() -> None:
    with WatchPage(0) as page:
        page.take(a_frame(1, capture_time_ns=monotonic_ns() + 10**12))
        assert facts_of(page, "after=0")["age_ms"] is None


def test_a_pause_is_shown_until_frames_come_again() -> None:
    with WatchPage(0) as page:
        page.take(a_frame(1))
        page.take(Arrival(Notification("unvisor.paused"), monotonic_ns()))
        assert facts_of(page, "after=0")["status"] == ["PAUSED"]
        page.take(Arrival(Notification("unvisor.resumed"), monotonic_ns()))
        page.take(a_frame(2))
        assert facts_of(page, "after=0")["status"] == ["LIVE", "ONE_EYE"]


def test_a_pause_is_over_when_nobody_says_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher that ended while paused was called paused for ever."""
    monkeypatch.setattr(heard_pause, "BELIEVED_S", 0.3)
    with WatchPage(0) as page:
        page.take(a_frame(1))
        page.take(Arrival(Notification("unvisor.paused"), monotonic_ns()))
        assert facts_of(page, "after=0")["status"] == ["PAUSED"]
        # A second passes before a question without news is answered.
        assert facts_of(page, "after=1")["status"] == ["LIVE", "ONE_EYE"]


def a_face(frame_id: int) -> RestoredFace:
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=monotonic_ns(),
        publish_time_ns=monotonic_ns(),
        image=picture(frame_id),
        crop=picture(frame_id),
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.zeros((0, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="none",
        landmark_source="oracle",
    )


def test_watch_serves_the_page_while_it_watches() -> None:
    with LivePage(0) as other:
        port = port_of(other)
    publisher = Publisher(port=0)
    ended = threading.Event()
    bodies: list[bytes] = []

    def publish() -> None:
        frame_id = 0
        while not ended.wait(0.02):
            publisher.publish_restored(a_face(frame_id))
            frame_id += 1

    def look() -> None:
        while not ended.wait(0.05):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/view", timeout=5) as answer:
                    bodies.append(answer.read())
            except OSError:
                continue

    threads = [threading.Thread(target=work) for work in (publish, look)]
    for thread in threads:
        thread.start()
    arguments = [publisher.endpoint, "--preview-port", str(port), "--seconds", "1"]
    outcome = CliRunner().invoke(APP, arguments, catch_exceptions=False)
    ended.set()
    for thread in threads:
        thread.join()
    publisher.close()
    assert outcome.exit_code == 0
    assert re.search(rf"preview: http://127\.0\.0\.1:{port}/", outcome.output)
    assert any(b'"name": "restored"' in body for body in bodies)


def test_watch_serves_its_page_on_any_free_port_for_0_and_none_unasked() -> None:
    with open_outputs(OutputChoice(preview_port=0)) as outputs:
        (told,) = outputs
        found = re.fullmatch(r"preview: (http://127\.0\.0\.1:\d+/)", told)
        assert found
        with urllib.request.urlopen(found[1], timeout=5) as answer:
            assert answer.status == 200
    with open_outputs(OutputChoice()) as outputs:
        assert not outputs
