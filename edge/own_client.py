"""How this session's own programs reach its sockets: by which address and with which keys."""

from __future__ import annotations

from edge.settings import SessionSettings, keys_path
from streaming.control_client import ControlClient, NoAnswer
from streaming.endpoints import is_loopback
from streaming.errors import UserError
from streaming.security.door import reachable
from streaming.security.keys import ClientKeys, KeyFolder


def own_host(settings: SessionSettings) -> str:
    """Address at which this machine reaches the session's sockets."""
    return reachable(settings.streaming.host)


def own_keys(settings: SessionSettings, insecure_lan: bool = False) -> ClientKeys | None:
    """Keys for the session's sockets; None where they are open.

    Raises:
        UserError: they listen beyond loopback and there is no usable server key.
    """
    if insecure_lan or is_loopback(settings.streaming.host):
        return None
    return KeyFolder(keys_path(settings)).own_client()


def notify_session(settings: SessionSettings, subject: str) -> None:
    """Send a notification such as `unvisor.pause` to the session's control socket.

    Raises:
        UserError: it does not answer.
    """
    endpoint = f"{own_host(settings)}:{settings.streaming.control_port}"
    try:
        keys = own_keys(settings)
    except UserError:
        keys = None  # then the session runs with --insecure-lan, or not at all
    try:
        ControlClient(endpoint, keys=keys).notify(subject)
    except NoAnswer:
        if keys is None:
            raise
        # A pause must not fail because the user typed --insecure-lan, which settings cannot tell.
        ControlClient(endpoint).notify(subject)
