"""Runs a session: starts `hmd_capture` and the edge worker, watches them, measures, stops both.

The supervisor is also a client: it subscribes to the restored faces like any other and measures
how old frames are when they arrive.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from edge.child import Child, Event
from edge.engine_start import prepare_engine
from edge.hmd_process import HmdProcess
from edge.keys import read_keys
from edge.own_client import own_host, own_keys
from edge.pause_switch import PauseSwitch
from edge.profiler.probe import NoProbe, Probe
from edge.report import SessionReport, report_from_json, write_report
from edge.settings import SessionSettings, override, to_json
from edge.simulation import prepare_oracle
from edge.timing import PERCENTILES
from streaming.ages import AgeStatistics
from streaming.control_client import ControlClient, NoAnswer
from streaming.errors import UserError
from streaming.messages import FrameMessage
from streaming.subscriber import Subscriber
from streaming.topics import FRAME_FACE

log = logging.getLogger(__name__)

START_S = 60.0  # loading MediaPipe and a network on a busy two-core machine takes many seconds
POLL_S = 0.02
SILENT_S = 5.0  # without a word of the worker, which tells its status twice a second
END_S = 15.0  # for the worker to finish its files after it was asked to stop
SILENT = "nothing is heard of the pipeline: q stops it"
PAUSE_KEYS, STOP_KEYS = (" ", "p"), ("q", "\x03")


@dataclass(frozen=True)
class SessionStatus:
    """What a user may see of a running session."""

    phase: str  # "meshes", "engine" (before the start), "starting", "running", "stopping"
    done: int = 0  # meshes found, per cent of an engine built, or frames restored
    total: int = 0  # frames in all, while known; 0 = unknown
    fps: float = 0.0
    drops: int = 0
    age_ms: float | None = None  # median so far
    status: tuple[str, ...] = ()  # of the newest frame
    is_paused: bool = False
    detail: str = ""  # worth telling: camera lost, two faces, eye cameras restarting


OnStatus = Callable[[SessionStatus], None]


def run_session(
    settings: SessionSettings,
    on_status: OnStatus,
    *,
    watch_keys: bool = True,
    insecure_lan: bool = False,
    any_person: bool = False,
    passphrase: str | None = None,
    probe: Probe | None = None,
) -> SessionReport:
    """Run until the source ends, Ctrl-C, SIGTERM or the stop key; call from the main thread.

    `on_status` is called from this thread about twice a second, more often in phase "meshes".
    Space or p pauses sending at once and resumes it, q stops. `insecure_lan`: the user typed that
    other machines may connect without keys; `any_person`: that nobody checks who is in view.
    `passphrase` opens an encrypted profile, `probe` looks on and measures.

    Raises:
        UserError: a child could not start or failed, with its sentence.
    """
    session = Session(settings, on_status, insecure_lan, any_person, passphrase, probe)
    with _signals(session.stop), read_keys(session.press if watch_keys else None):
        return session.run()


class Session:
    """One run; `press`, `toggle_pause` and `stop` may be called from other threads."""

    def __init__(
        self,
        settings: SessionSettings,
        on_status: OnStatus,
        insecure_lan: bool = False,
        any_person: bool = False,
        passphrase: str | None = None,
        probe: Probe | None = None,
    ) -> None:
        """Prepare; nothing is started yet."""
        self._insecure_lan, self._any_person = insecure_lan, any_person
        self._passphrase = passphrase
        self._probe = probe or NoProbe()
        self._settings = settings
        self._on_status = on_status
        self._stop = threading.Event()
        self._pause: PauseSwitch | None = None  # once there is somebody to ask
        self._ages = AgeStatistics()
        self._status = SessionStatus("starting")

    def run(self) -> SessionReport:
        """See `run_session`."""
        prepare_oracle(self._settings, self._tell_meshes)
        prepare_engine(self._settings, self._tell_engine, self._stop)
        self._tell(phase="starting")
        with tempfile.TemporaryDirectory(prefix="unvisor-") as folder:
            report_path = Path(folder) / "report.json"
            settings = override(self._settings, {"edge.report": str(report_path)})
            settings_path = Path(folder) / "settings.json"
            settings_path.write_text(to_json(settings), encoding="utf-8")
            hmd_cpu_s = self._run_children(settings_path)
            report = report_from_json(report_path.read_text(encoding="utf-8"))
        report = self._complete(report, hmd_cpu_s)
        if self._settings.edge.report:
            write_report(report, Path(self._settings.edge.report))
        return report

    def stop(self) -> None:
        """End the run after the current frame."""
        self._stop.set()

    def press(self, key: str) -> None:
        """Act on a key of the terminal."""
        if key in PAUSE_KEYS:
            self.toggle_pause()
        elif key in STOP_KEYS:
            self.stop()

    def toggle_pause(self) -> None:
        """Stop sending at once, or go on sending."""
        if self._pause is None:
            return
        try:
            self._pause.toggle()
        except NoAnswer:
            log.warning("the edge process does not answer; stopping instead of pausing")
            self.stop()  # a pause that is not certain must not leave pictures going out

    def _run_children(self, settings_path: Path) -> float:
        """Run both children to the end; returns CPU seconds of `hmd_capture` while running."""
        hmd = HmdProcess(self._settings)
        try:
            hmd.start()
            options = ["--insecure-lan"] if self._insecure_lan else []
            options += ["--any-person"] if self._any_person else []
            worker = Child("edge", "edge.worker", [str(settings_path), *options], self._passphrase)
            try:
                ready = self._await(worker, hmd)
                if ready is None:
                    raise UserError("Stopped before the pipeline was ready.")
                self._probe.begin(lambda: {"edge": worker.pid, "hmd_capture": hmd.pid})
                return self._watch(worker, hmd, ready)
            finally:
                self._probe.end()
                worker.ask_to_stop()
                try:
                    self._tell(phase="stopping")
                finally:
                    worker.stop()
        finally:
            hmd.stop()

    def _await(self, worker: Child, hmd: HmdProcess) -> Event | None:
        """Wait until the worker is ready; None when stopped meanwhile."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and not self._stop.is_set():
            hmd.check()
            event = _next_event(worker, POLL_S)
            if event is not None and event["event"] == "ready":
                return event
        if self._stop.is_set():
            return None
        raise UserError(f"The edge process was not ready within {START_S:.0f} s.", "Try again.")

    def _watch(self, worker: Child, hmd: HmdProcess, ready: Event) -> float:
        host = own_host(self._settings)
        keys = own_keys(self._settings, self._insecure_lan)
        self._pause = PauseSwitch(ControlClient(f"{host}:{ready['control']}", keys=keys).notify)
        begin_cpu_s = hmd.cpu_seconds()
        heard_s, asked_s = time.monotonic(), math.inf
        with Subscriber(f"{host}:{ready['publisher']}", [FRAME_FACE], keys) as client:
            while True:
                self._measure(client)
                event, now_s = _next_event(worker), time.monotonic()
                if event is not None and event["event"] == "done":
                    return hmd.cpu_seconds() - begin_cpu_s
                if asked_s < math.inf:
                    pass  # it is stopping, and that was told
                elif event is not None:
                    heard_s = now_s
                    self._tell_running(event, hmd.check())
                elif now_s - heard_s > SILENT_S and self._status.detail != SILENT:
                    self._tell(phase="running", fps=0.0, status=(), detail=SILENT)
                if self._stop.is_set() and asked_s == math.inf:
                    asked_s = now_s
                    worker.ask_to_stop()
                    self._tell(phase="stopping", detail="")
                if now_s - asked_s > END_S:
                    raise UserError(
                        "The edge process does not stop; it was ended, without a report.",
                        "Run again with --verbose to see what it waits for.",
                    )

    def _measure(self, client: Subscriber) -> None:
        arrival = client.take(FRAME_FACE, POLL_S)
        if arrival is not None and isinstance(arrival.message, FrameMessage):
            message = arrival.message
            self._ages.add(message.index, message.capture_time_ns, arrival.arrival_time_ns)
            self._probe.arrived(message, arrival.arrival_time_ns)

    def _complete(self, report: SessionReport, hmd_cpu_s: float) -> SessionReport:
        ages = {name: self._ages.age_ms(percentile) for name, percentile in PERCENTILES.items()}
        known = {name: age for name, age in ages.items() if age is not None and report.paced}
        seconds = report.frames / report.fps if report.fps else 0.0
        hmd_cores = hmd_cpu_s / seconds if seconds else 0.0
        seen = self._ages.summary()
        del seen["drops"]  # while the camera's frame passes there is no face to send: no drop
        return dataclasses.replace(
            report,
            age_ms=known,
            cpu_cores=round(report.cpu_cores + hmd_cores, 3),
            client=seen,
        )

    def _tell_meshes(self, done: int, total: int) -> None:
        self._tell(phase="meshes", done=done, total=total)
        if self._stop.is_set():
            raise UserError("Stopped while the face meshes were being found.")

    def _tell_engine(self, done: int, total: int) -> None:
        self._tell(phase="engine", done=done, total=total)

    def _tell_running(self, event: Event, hmd_detail: str) -> None:
        if event["event"] != "status" or self._pause is None:
            return
        self._tell(
            phase="running",
            done=event["frames"],
            fps=event["fps"],
            drops=event["drops"],
            age_ms=self._ages.age_ms(50),
            status=tuple(event["status"]),
            is_paused=self._pause.hear(event["paused"], event["told_ns"]),
            detail=event["detail"] or hmd_detail,
        )

    def _tell(self, **changes: Any) -> None:
        self._status = dataclasses.replace(self._status, **changes)
        self._on_status(self._status)


def _next_event(worker: Child, timeout_s: float = 0.0) -> Event | None:
    """The worker's next event; raises what it reported, or that it died without a word."""
    event = worker.next_event(timeout_s)
    if event is None and worker.exit_code is not None:
        event = worker.next_event(0.5)  # said just before it ended
        if event is None:
            last = next(reversed(worker.last_lines), "it said nothing")
            raise UserError(
                f"The edge process ended with code {worker.exit_code}: {last}.",
                "Run again with --verbose to see its log.",
            )
    if event is not None and event["event"] == "error":
        raise UserError(event["message"], event["next_step"])
    return event


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the session cleanly instead of raising in the middle of it."""

    def act(number: int, frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, act) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
