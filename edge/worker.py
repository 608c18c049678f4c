"""The edge process: `python -m edge.worker SETTINGS.json [--insecure-lan] [--any-person]`.

Tells its supervisor by JSON lines on standard output: `ready`, `status` (twice a second), `error`
(one sentence and the next step) and `done`. Its log goes to standard error. SIGTERM and SIGINT end
the run after the current frame, with the report written.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2

from edge.camera import CameraThread, Source, is_live, open_source
from edge.engine_names import engine_names
from edge.eyes.fusion import EyeFusion
from edge.eyes.lids import LidMover
from edge.eyes.opening import open_eyes
from edge.filler_opening import open_filler
from edge.identity.badge import Badging
from edge.identity.news import WrongPersonNews
from edge.identity.person_check import PersonCheck, make_check
from edge.light.watch import LightWatch, watch_for
from edge.pipeline import Pipeline, Prepared
from edge.plate.backdrop import Backdrop
from edge.preview import introduce
from edge.profile import SessionProfile, load_profile
from edge.profile.passphrase import given
from edge.records import Capture, PipelineView
from edge.remote import open_control, open_publisher, open_recorder
from edge.report import SessionReport, write_report
from edge.settings import SessionSettings, from_json, keys_path
from edge.simulation import open_simulation
from edge.sinks import ViewSink, close_sinks, open_sinks, trouble_of
from edge.status_ticker import StatusTicker
from edge.timing import ProcessUsage, StageTimes, device_name, rss_mib
from edge.tracker import Tracker
from edge.tracker_opening import make_tracker
from edge.webcam import Webcam
from edge.working_ahead import Frames, Gate, WorkingAhead
from models.filling import Filler
from streaming.errors import UserError
from streaming.publisher import Publisher
from streaming.security.door import open_guard
from streaming.spans import SpanRecorder

log = logging.getLogger(__name__)

STATUS_S = 0.5
LOG_S = 5.0
INSECURE_LAN = "--insecure-lan"
ANY_PERSON = "--any-person"
# On two cores three, one in each part, gave 31 fps instead of 33, and older frames.
FRAMES_ON_THEIR_WAY = 2
SETTLED_S = 10.0  # memory is compared with what it was then
Emit = Callable[[dict[str, object]], None]


class Worker:
    """Opens all parts from the settings, runs the pipeline and reports."""

    def __init__(
        self,
        settings: SessionSettings,
        emit: Emit,
        stop: threading.Event,
        insecure_lan: bool = False,
        any_person: bool = False,
    ) -> None:
        """`emit` sends an event to the supervisor; setting `stop` ends the run.

        `insecure_lan` and `any_person` are what the user typed: no settings file may say so.
        """
        self._any_person = any_person
        self._insecure_lan = insecure_lan
        self._settings = settings
        self._emit = emit
        self._stop = stop
        self._spans = SpanRecorder()
        is_kept = bool(settings.edge.spans)
        self._times = StageTimes(spans=self._spans if is_kept else None)
        self._usage = ProcessUsage()
        self._ticker = StatusTicker()
        self._statuses: Counter[str] = Counter()
        self._landmarks: Counter[str] = Counter()  # frames by who found them
        self._last_status: tuple[str, ...] = ()
        self._frames = self._last_id = 0
        self._begin_s = self._end_s = 0.0
        self._settled_mib = self._final_mib = self._cpu_cores = 0.0
        self._network = ""  # file of the filler's network
        self._lasting_note = ""

    def run(self) -> SessionReport:
        """Run until the source ends or `stop` is set.

        Raises:
            UserError: a part cannot be opened, or the camera's file fails meanwhile.
        """
        settings, edge = self._settings, self._settings.edge
        results: dict[str, float] = {}
        with ExitStack() as stack:
            passphrase = given()  # can be read once
            profile = load_profile(Path(edge.profile), passphrase)
            with self._spans.naming_new_threads("network pool"):
                filler, self._network = open_filler(
                    settings.models, profile, self._times, self._note
                )
            publisher, control_port = self._listen(stack)
            check = make_check(profile, self._any_person, edge, self._note)
            person = WrongPersonNews(check, publisher)
            eyes, renewal, arrivals = open_eyes(
                stack, settings, profile, passphrase, lambda: person.is_wrong
            )
            with self._spans.naming_new_threads("tracker pool"):
                tracker = make_tracker(settings, profile)
            stack.callback(tracker.close)
            sinks = open_sinks(settings)
            introduce(sinks, profile, lambda: publisher.paused)
            stack.callback(lambda: results.update(close_sinks(sinks)))
            source = open_source(edge.camera)
            dress = stack.enter_context(open_simulation(settings, source, self._times))
            light = watch_for(profile)
            pipeline = self._pipeline(
                profile, tracker, eyes, filler, publisher, sinks, light, person
            )
            self._emit({"event": "ready", "control": control_port, "publisher": publisher.port})
            camera = CameraThread(source, edge.camera, self._times, dress)
            gate = Gate(camera, FRAMES_ON_THEIR_WAY)
            tracking = WorkingAhead(gate, pipeline.track, "tracking")
            preparing = WorkingAhead(tracking, pipeline.prepare, "preparing")
            with camera, tracking, preparing:
                while (prepared := self._next(preparing, source, publisher)) is not None:
                    self._count(prepared.tracked.capture, pipeline.restore(prepared))
                    gate.leave()
                    urgent = (renewal.note, pipeline.note, arrivals.note)
                    notes = (*urgent, trouble_of(sinks), light.note, self._lasting_note)
                    self._tell(publisher, next(filter(None, notes), ""))
                # With everything still open: closing is not what is measured.
                self._final_mib, self._cpu_cores = rss_mib(), self._usage.cpu_cores()
                if edge.spans:
                    self._spans.save(Path(edge.spans) / "edge.npz", "edge")
        return self._report(filler, tracker, results)

    def _listen(self, stack: ExitStack) -> tuple[Publisher, int]:
        """Open what clients reach: the publisher, and the control socket, whose port is told."""
        settings, lan = self._settings, self._insecure_lan
        guard = stack.enter_context(open_guard(settings.streaming.host, keys_path(settings), lan))
        publisher = stack.enter_context(open_publisher(settings.streaming, guard))
        recorder = stack.enter_context(open_recorder(settings, publisher, lan))
        control = stack.enter_context(
            open_control(settings.streaming, publisher, self._stop.set, recorder, guard)
        )
        return publisher, control.port

    def _pipeline(
        self,
        profile: SessionProfile,
        tracker: Tracker,
        eyes: EyeFusion,
        filler: Filler,
        publisher: Publisher,
        sinks: list[ViewSink],
        light: LightWatch,
        person: PersonCheck,
    ) -> Pipeline:
        """The opened parts, one after the other as a frame meets them."""
        settings, edge = self._settings, self._settings.edge
        return Pipeline(
            tracker,
            eyes,
            filler,
            Badging(publisher) if settings.streaming.badge else publisher,
            sinks,
            self._times,
            lids=None if edge.landmarks == "oracle" else LidMover(profile.references[0].mesh),
            person=person,
            backdrop=Backdrop(profile.plate),
            light=light,
            size_px=settings.models.size_px,
            max_gap_ns=round(edge.max_gap_ms * 1e6),
        )

    def _next(
        self, ahead: Frames[Prepared], source: Source, publisher: Publisher
    ) -> Prepared | None:
        """The next prepared frame; None when the source is over or the run was stopped."""
        while not self._stop.is_set():
            has_ended = ahead.has_ended  # asked first: what came before the end is still taken
            prepared = ahead.take(0.1)
            if prepared is not None or has_ended:
                return prepared
            publisher.say_again_if_paused()  # as it does with every frame that comes
            if isinstance(source, Webcam) and source.trouble:
                self._last_status = ()
                self._tell(publisher, source.trouble)
        return None

    def _count(self, capture: Capture, view: PipelineView) -> None:
        now_s = time.monotonic()
        if not self._frames:
            self._begin_s = now_s
            self._usage.restart()
        self._frames += 1
        self._last_id, self._end_s = capture.frame.frame_id, now_s
        self._last_status = tuple(status.value for status in view.restored.status)
        self._statuses.update(self._last_status)
        self._landmarks[view.restored.landmark_source] += 1
        if not self._settled_mib and now_s - self._begin_s >= SETTLED_S:
            self._settled_mib = rss_mib()

    def _tell(self, publisher: Publisher, detail: str) -> None:
        if not self._ticker.is_due(STATUS_S):
            return
        event: dict[str, object] = {
            "event": "status",
            "frames": self._frames,
            "fps": round(self._ticker.rate(self._frames), 1),
            "drops": self._drops(),
            "status": self._last_status,
            "told_ns": time.monotonic_ns(),  # read first: what follows was so then or later
            "paused": publisher.paused,
            "detail": detail,
        }
        self._emit(event)
        if self._ticker.is_log_due(LOG_S):
            log.info("%s", json.dumps(event))

    def _drops(self) -> int:
        return self._last_id + 1 - self._frames if self._frames else 0

    def _note(self, sentence: str) -> None:
        """Show a sentence for as long as nothing more urgent is to be said."""
        log.warning("%s", sentence)
        self._lasting_note = sentence

    def _report(self, filler: Filler, tracker: Tracker, results: dict[str, float]) -> SessionReport:
        settings = self._settings
        wall_s = self._end_s - self._begin_s
        fps = (self._frames - 1) / wall_s if self._frames > 1 and wall_s > 0 else 0.0
        is_paced = settings.edge.camera.paced or is_live(settings.edge.camera.source)
        return SessionReport(
            frames=self._frames,
            fps=round(fps, 2),
            capacity_fps=None if is_paced else round(fps, 2),
            age_ms={},
            drops=self._drops(),
            stages_ms=self._times.summary(),
            cpu_cores=round(self._cpu_cores, 3),
            rss_mib=round(self._final_mib, 1),
            rss_mib_10s=round(self._settled_mib, 1) or None,
            device=device_name(),
            landmarks=", ".join(name for name, _ in self._landmarks.most_common()) or tracker.name,
            filler=filler.name,
            size_px=settings.models.size_px,
            paced=is_paced,
            network=self._network,
            results=results,
            statuses=dict(self._statuses),
            engines=engine_names(filler, tracker, settings),
            eyes=settings.hmd_capture.eyes,
        )


def main(arguments: list[str] | None = None) -> int:
    """Run from a settings file; returns the exit code."""
    settings_path, *options = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    cv2.setNumThreads(1)  # the budget is in core-ms; small images gain nothing from threads
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = from_json(Path(settings_path).read_text(encoding="utf-8"))
        report = Worker(settings, _emit, stop, INSECURE_LAN in options, ANY_PERSON in options).run()
        if settings.edge.report:
            write_report(report, Path(settings.edge.report))
    except UserError as error:
        _emit({"event": "error", "message": error.message, "next_step": error.next_step})
        return 1
    _emit({"event": "done"})
    return 0


def _emit(event: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
