"""Feeds a recording back as if live: same topics, same order, same gaps, and a control socket."""

from __future__ import annotations

import logging
import threading
from itertools import islice
from typing import Literal

import zmq

from streaming.clock import NS_PER_S, PublishingClock, monotonic_ns
from streaming.closing import Closing
from streaming.control import PAUSE, RESUME, STOP, ControlServer
from streaming.errors import UserError
from streaming.messages import Notification
from streaming.publisher import STREAMED_TOPICS, Publisher
from streaming.recordings.reader import RecordedMessage, Recording
from streaming.recordings.replay_forms import OtherForms
from streaming.recordings.replay_times import PresentTimes, RecordedClock, find_origin
from streaming.security.rate_limit import tellings
from streaming.topics import CONTROL_PORT, PUBLISHER_PORT

LOGGER = logging.getLogger(__name__)
STARTED, ENDED = "unvisor.replay.started", "unvisor.replay.ended"
CLIENT_POLL_S = 0.02
FIRST_MESSAGES = 1000  # they tell which topics were recorded
QUEUED_MESSAGES = 1000  # live, a slow client loses frames; here it must see the same ones each time
# What waits for a slow client still leaves after the end, unless it stands still or somebody
# stopped the replay: then only the word about the end does.
LAST_MESSAGES_MS, LAST_WORD_MS = 5000, 200
SETTLE_S = 0.2  # a client's subscriptions come one by one; the first message waits for all

Times = Literal["recorded", "now"]


class Replayer(Closing):
    """Publishes a recording; to clients it looks like `unvisor run`.

    With times `recorded` every byte is as it was recorded, and the control socket's `t` tells the
    recorded clock. With `now` the times in the messages move to the present, ages stay what they
    were. `notify.unvisor.replay.started` and `.ended` go around every pass. Pictures are also
    sent under topics such as `jpeg.face` that were not recorded, when a client asks for those.
    """

    def __init__(
        self,
        recording: Recording,
        port: int = PUBLISHER_PORT,
        control_port: int = CONTROL_PORT,
        speed: float = 1.0,
        times: Times = "recorded",
    ) -> None:
        """Bind both ports (0: any free one); raises `AddressInUse`, UserError when it is empty.

        `speed` is recorded seconds per second, above 0.
        """
        if not speed > 0:
            raise ValueError(f"speed is {speed}; it must be above 0.")
        if next(iter(recording), None) is None:
            raise UserError(f"{recording.path} holds no messages.", "Record again.")
        self.passes = 0
        self.messages = 0  # played, whether or not somebody took them
        self._recording = recording
        self._speed = speed
        self._stopping = threading.Event()
        origin = find_origin(recording)
        recorded = RecordedClock(origin, speed)
        clock = recorded if times == "recorded" else PublishingClock()
        present = PresentTimes(origin, speed, clock)
        self._timing = recorded if times == "recorded" else present
        self._has_ended = False  # by itself, with the last message
        self._tellings = tellings()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()  # its end waits for clients
        self._publisher = Publisher(
            port, clock=clock, queued_messages=QUEUED_MESSAGES, context=self._context
        )
        topics = {message.topic for message in islice(recording, FIRST_MESSAGES)}
        self._forms = OtherForms(topics, self._publisher.wants)
        try:
            self._control = ControlServer(self._publisher.port, self._act, clock, control_port)
        except BaseException:
            self._publisher.close()
            raise

    @property
    def port(self) -> int:
        """Port of the publisher."""
        return self._publisher.port

    @property
    def control_port(self) -> int:
        """Port of the control socket."""
        return self._control.port

    def await_client(self, timeout_s: float | None = None) -> bool:
        """Wait until somebody subscribes, so that the first message has a taker.

        Returns False after `timeout_s` or once stopped.
        """
        deadline_ns = None if timeout_s is None else monotonic_ns() + round(timeout_s * NS_PER_S)
        while not any(map(self._publisher.wants, STREAMED_TOPICS)):
            is_late = deadline_ns is not None and monotonic_ns() > deadline_ns
            if is_late or self._stopping.wait(CLIENT_POLL_S):
                return False
        return not self._stopping.wait(SETTLE_S)

    def run(self, loop: bool = False) -> None:
        """Play the recording once, or again and again until stopped."""
        start_ns = monotonic_ns()
        while not self._stopping.is_set():
            start_ns = self._play(start_ns)
            self.passes += 1
            if not loop:
                self._has_ended = not self._stopping.is_set()
                return

    def stop(self) -> None:
        """End `run` at once; from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Stop and free the ports; after the end clients have 5 s to take what waits for them."""
        self.stop()
        self._control.close()
        self._publisher.close(LAST_MESSAGES_MS if self._has_ended else LAST_WORD_MS)
        self._context.term()

    def _play(self, start_ns: int) -> int:
        """Play one pass that begins at `start_ns`; returns when the next one would begin."""
        self._timing.begin(start_ns)
        self._tell(STARTED)
        pace = _Pace(start_ns, self._speed)
        for message in self._recording:
            wait_s = (pace.due_ns(message) - monotonic_ns()) / NS_PER_S
            if self._stopping.wait(wait_s) if wait_s > 0 else self._stopping.is_set():
                break
            stamped = self._stamped(message)
            self._publisher.forward(stamped)
            for other in self._forms.of(stamped):
                self._publisher.forward(other)
            self.messages += 1
        self._tell(ENDED)
        return pace.end_ns()

    def _stamped(self, message: RecordedMessage) -> list[bytes]:
        if isinstance(self._timing, PresentTimes):
            return self._timing.moved(message.parts)
        return list(message.parts)

    def _tell(self, subject: str) -> None:
        times = "now" if isinstance(self._timing, PresentTimes) else "recorded"
        fields = {"times": times, "speed": self._speed, "pass": self.passes}
        self._publisher.publish(Notification(subject, fields))

    def _act(self, notification: Notification) -> None:
        actions = {PAUSE: self._publisher.pause, RESUME: self._publisher.resume, STOP: self.stop}
        act = actions.get(notification.subject)
        if act is not None:
            act()
        elif self._tellings.allows("cannot act"):  # on the control thread alone
            LOGGER.info("A recording cannot act on %.60r.", notification.subject)


class _Pace:
    """When each message of one pass is due: its recorded distance from the first one."""

    def __init__(self, start_ns: int, speed: float) -> None:
        self._start_ns = start_ns
        self._speed = speed
        self._first: RecordedMessage | None = None
        self._last_ns = 0
        self._like_first = 0  # messages of the first one's topic

    def due_ns(self, message: RecordedMessage) -> int:
        self._first = self._first or message
        self._last_ns = message.arrival_time_ns
        self._like_first += message.topic == self._first.topic
        return self._at(message.arrival_time_ns - self._first.arrival_time_ns)

    def end_ns(self) -> int:
        """One usual gap after the last message, so that a loop goes on at the same pace."""
        if self._first is None:
            return self._start_ns
        span_ns = self._last_ns - self._first.arrival_time_ns
        return self._at(span_ns + span_ns // max(self._like_first - 1, 1))

    def _at(self, since_first_ns: int) -> int:
        return self._start_ns + round(since_first_ns / self._speed)
