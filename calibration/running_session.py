"""What a session that runs beside a calibration says of who wears the headset."""

from __future__ import annotations

from edge.own_client import own_host, own_keys
from edge.settings import SessionSettings
from streaming.closing import Closing
from streaming.errors import UserError
from streaming.face_message import FaceState
from streaming.records import Status
from streaming.security.keys import ClientKeys
from streaming.subscriber import Subscriber
from streaming.topics import FACE_STATE


class RunningSession(Closing):
    """Listens to the statuses of a session on this machine; none has to run.

    One that was started with `--insecure-lan`, or publishes on any free port, is not heard:
    settings do not tell of it.
    """

    def __init__(self, settings: SessionSettings) -> None:
        """Connect to where `settings` say that a session publishes; it is waited for."""
        port = settings.streaming.publisher_port
        self._subscriber = (
            Subscriber(f"{own_host(settings)}:{port}", (FACE_STATE,), _keys(settings))
            if port
            else None
        )

    def sees_another_person(self) -> bool:
        """Whether its newest unseen frame is of somebody who is not its profile's owner."""
        arrival = self._subscriber.take(FACE_STATE, 0) if self._subscriber else None
        state = None if arrival is None else arrival.message
        return isinstance(state, FaceState) and Status.WRONG_PERSON in state.status

    def close(self) -> None:
        """Stop listening."""
        if self._subscriber is not None:
            self._subscriber.close()


def _keys(settings: SessionSettings) -> ClientKeys | None:
    try:
        return own_keys(settings)
    except UserError:
        return None  # without a server's key no session is encrypted
