"""Where sockets bind and connect, with errors that say what to do next."""

from __future__ import annotations

import errno
import ipaddress
import re
import time

import zmq

from streaming.errors import UserError

LOOPBACK = "127.0.0.1"
PREDECESSOR_WAIT_S = 0.5

# A stalled reader must not find seconds of old frames in the kernel's buffers. Below about 64 kB
# TCP on loopback, whose packets are 64 kB large, stalls on its own window.
KERNEL_BUFFER_BYTES = 64 * 1024


class AddressInUse(UserError):
    """Another program holds the port."""


class AddressNotAllowed(UserError):
    """The address would let other machines in, and no keys protect the stream."""


class AddressMalformed(UserError):
    """The text is no address."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; False for what is no IP address."""
    address = _address(host)
    return address is not None and address.is_loopback


def bind_address(socket: zmq.Socket[bytes], host: str, port: int) -> int:
    """Bind to the IP address `host` and return the port (a free one when `port` is 0).

    `door.Door` decides whether it may. Raises `AddressInUse` when the port is taken,
    `AddressMalformed` for a port outside 0..65535 or an address that is not this machine's.
    """
    address = _address(host)
    if address is None:
        raise AddressMalformed(
            f"{host!r} is not an IP address.", "Use one of this machine's, or 0.0.0.0 for all."
        )
    if not 0 <= port <= 65535:
        raise AddressMalformed(f"{port} is not a port number.", "Use 1 to 65535, or 0 for any.")
    if address.version == 6:
        socket.setsockopt(zmq.IPV6, 1)
    bracketed = f"[{address}]" if address.version == 6 else str(address)
    try:
        _bind_patiently(socket, f"tcp://{bracketed}:{port or '*'}")
    except zmq.ZMQError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise AddressInUse(
                f"Port {port} on {host} is already in use or reserved.",
                "Stop the other program (perhaps another `unvisor run` or `unvisor demo`) "
                "or give this one another port, by its option or its config file.",
            ) from error
        raise AddressMalformed(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            "Use 127.0.0.1, an address of this machine, or 0.0.0.0 for all of them.",
        ) from error
    return int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def normalise_endpoint(text: str) -> str:
    """Turn `50021`, `host:50021` or `tcp://host:50021` into the last form.

    Raises `AddressMalformed` for anything else.
    """
    match = re.fullmatch(r"(?:tcp://)?(?:([\w.\-]+|\[[0-9A-Fa-f:.]+\]):)?(\d{1,5})", text.strip())
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise AddressMalformed(
            f"{text!r} is not an address.", "Write it as HOST:PORT, such as 127.0.0.1:50021."
        )
    return f"tcp://{match[1] or LOOPBACK}:{int(match[2])}"


def _bind_patiently(socket: zmq.Socket[bytes], address: str) -> None:
    """Bind, waiting a moment for a predecessor: ZeroMQ frees a closed socket's port later."""
    deadline_s = time.monotonic() + PREDECESSOR_WAIT_S
    while True:
        try:
            socket.bind(address)
            return
        except zmq.ZMQError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline_s:
                raise
        time.sleep(0.02)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(LOOPBACK if host == "localhost" else host.strip("[]"))
    except ValueError:
        return None
