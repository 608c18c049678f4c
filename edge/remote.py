"""What clients may ask of a running session over the control socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge.own_client import own_host, own_keys
from edge.settings import SessionSettings, StreamingSettings
from streaming.control import PAUSE, RESUME, STOP, ControlServer
from streaming.messages import Notification
from streaming.publisher import Publisher
from streaming.recordings.recorder import Recorder
from streaming.recordings.writer import RecordingFailed
from streaming.security.door import Guard


class SessionRecorder(Protocol):
    """What `R` and `r` act on."""

    @property
    def path(self) -> Path | None:
        """File of the running recording; None while there is none."""
        ...

    def start(self, name: str) -> object:
        """Begin a recording; an empty name asks for one by date. One that runs already goes on.

        Raises `UserError`.
        """
        ...

    def stop(self) -> object:
        """End it.

        Raises `RecordingFailed` when it ended by itself before, `UserError` when there was none.
        """
        ...


def open_publisher(settings: StreamingSettings, guard: Guard = None) -> Publisher:
    """Bind the publisher that `[streaming]` describes; raises `UserError`.

    `guard` says who may connect from other machines.
    """
    return Publisher(
        settings.publisher_port,
        settings.host,
        jpeg_quality=settings.jpeg_quality,
        image_format=settings.pixel_format,
        eyes_show=settings.eyes,
        video_codec=settings.video_codec,
        guard=guard,
    )


def open_recorder(
    settings: SessionSettings, publisher: Publisher, insecure_lan: bool = False
) -> Recorder:
    """Be ready to record this session when a client asks for it; nothing is recorded before.

    The recorder is a client of the session like any other. Raises `UserError` when the session
    is encrypted and its own key cannot be read.
    """
    endpoint = f"{own_host(settings)}:{publisher.port}"
    return Recorder(endpoint, keys=own_keys(settings, insecure_lan))


def open_control(
    settings: StreamingSettings,
    publisher: Publisher,
    stop: Callable[[], object],
    recorder: SessionRecorder | None = None,
    guard: Guard = None,
) -> ControlServer:
    """Answer clients: pause, resume, stop, formats, recording; other words are passed on.

    Raises `UserError` when the port is taken.
    """
    actions = {PAUSE: publisher.pause, RESUME: publisher.resume, STOP: stop}

    def act(notification: Notification) -> None:
        action = actions.get(notification.subject)
        if action is not None:
            action()
            return
        publisher.obey(notification)
        publisher.pass_on(notification)

    def record(name: str) -> None:
        if recorder is None:
            return
        before = recorder.path
        recorder.start(name)
        if recorder.path != before:
            publisher.publish(Notification("recording.started", {"session_name": name}))

    def stop_recording() -> None:
        if recorder is None:
            return
        try:
            recorder.stop()
        except RecordingFailed:  # the one who asks is told why, the others that it has ended
            publisher.publish(Notification("recording.stopped"))
            raise
        publisher.publish(Notification("recording.stopped"))

    return ControlServer(
        publisher.port,
        act,
        publisher.clock,
        settings.control_port,
        settings.host,
        guard,
        on_record_start=None if recorder is None else record,
        on_record_stop=None if recorder is None else stop_recording,
    )
