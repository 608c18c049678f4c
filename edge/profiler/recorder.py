"""The probe of `unvisor profile`: every arrival at the client, and twice a second the machine."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

from edge.profiler.probe import Processes
from edge.profiler.processes import Usage, busy_seconds, usage_of
from edge.profiler.sensors import Readings, Sensors
from streaming.messages import FrameMessage

PERIOD_S = 0.5
WARM_UP_S = 1.0  # searches, first-time costs and the clients' connecting are not what is measured


@dataclass(frozen=True)
class Arrival:
    """One restored face at the client; all times on this machine's monotonic clock."""

    frame_id: int
    capture_ns: int
    publish_ns: int  # encoded and about to be sent
    arrival_ns: int


@dataclass(frozen=True)
class Sample:
    """The machine at one instant."""

    time_ns: int
    processes: dict[str, Usage]  # edge, hmd_capture, client (the measuring program itself)
    busy_s: float | None  # CPU seconds of the whole machine so far
    readings: Readings


@dataclass
class Recording:
    """What was seen."""

    arrivals: list[Arrival] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    process_ids: dict[str, int] = field(default_factory=dict)  # as of the last sample
    sensors: list[str] = field(default_factory=list)
    power_mode: str = ""

    @property
    def steady(self) -> list[Sample]:
        """Samples taken while frames arrived: without the end, when everything is closed."""
        if not self.arrivals:
            return []
        begin_ns, end_ns = self.arrivals[0].arrival_ns, self.arrivals[-1].arrival_ns
        return [sample for sample in self.samples if begin_ns <= sample.time_ns <= end_ns]


class SessionRecorder:
    """Looks on while one session runs; see `edge.profiler.probe.Probe`."""

    def __init__(self, sensors: Sensors, period_s: float = PERIOD_S) -> None:
        """`sensors` are open and stay so."""
        self.recording = Recording(sensors=sensors.names, power_mode=sensors.power_mode)
        self._sensors = sensors
        self._period_s = period_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, processes: Processes) -> None:
        """Start sampling."""
        self._thread = threading.Thread(
            target=self._run, args=(processes,), name="sampler", daemon=True
        )
        self._thread.start()

    def arrived(self, message: FrameMessage, arrival_time_ns: int) -> None:
        """Keep an arrival."""
        published_ns = message.publish_time_ns or message.capture_time_ns
        self.recording.arrivals.append(
            Arrival(message.index, message.capture_time_ns, published_ns, arrival_time_ns)
        )

    def end(self) -> None:
        """Stop sampling; may be called without a beginning."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None

    def _run(self, processes: Processes) -> None:
        if self._stop.wait(WARM_UP_S):
            return
        while True:
            self._sample(processes)
            if self._stop.wait(self._period_s):
                return

    def _sample(self, processes: Processes) -> None:
        running = {**processes(), "client": os.getpid()}
        ids = {name: number for name, number in running.items() if number is not None}
        found = {name: usage_of(number) for name, number in ids.items()}
        usages = {name: usage for name, usage in found.items() if usage is not None}
        if "edge" not in usages:
            return  # it is over
        self.recording.process_ids.update(ids)
        self.recording.samples.append(
            Sample(time.monotonic_ns(), usages, busy_seconds(), self._sensors.read())
        )
