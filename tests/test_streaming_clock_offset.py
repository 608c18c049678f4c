"""The other machine's clock, measured through a network that delays, drifts, and is set anew."""

from __future__ import annotations

import random
import socket
import threading
import time

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.clock import monotonic_ns
from streaming.clock_echo import ClockEcho
from streaming.clock_follower import ClockFollower
from streaming.clock_offset import OffsetEstimate

MS = 1_000_000
S = 1_000_000_000
LIMIT_NS = 2 * MS


class OtherMachine:
    """A simulated clock and the way to it and back."""

    def __init__(self, seed: int, ahead_ns: int, drift_ppm: float, jitter_ns: int) -> None:
        self.random = random.Random(seed)
        self.ahead_ns, self.drift_ppm, self.jitter_ns = ahead_ns, drift_ppm, jitter_ns

    def now_ns(self, our_ns: float) -> float:
        return our_ns * (1 + self.drift_ppm * 1e-6) + self.ahead_ns

    def exchange(self, asked_ns: int) -> tuple[int, int, int]:
        there, back = (self.random.uniform(0, self.jitter_ns) for _ in range(2))
        answered_ns = asked_ns + there + back
        return asked_ns, round(self.now_ns(asked_ns + there)), round(answered_ns)

    def error_ns(self, estimate: OffsetEstimate, our_ns: int) -> float:
        offset = estimate.at(our_ns)
        assert offset is not None
        error = offset.ours_from_sender(round(self.now_ns(our_ns))) - our_ns
        assert abs(error) <= offset.uncertainty_ns
        return abs(error)


def ask(machine: OtherMachine, estimate: OffsetEstimate, from_ns: int, seconds: float) -> int:
    """Ask as the follower does, and return the time at the end."""
    now_ns, end_ns = from_ns, from_ns + round(seconds * S)
    while now_ns < end_ns:
        exchange = machine.exchange(now_ns)
        estimate.add(*exchange)
        now_ns = exchange[2] + 50 * MS
    return now_ns


@given(
    seed=st.integers(0, 10**6),
    ahead_ns=st.integers(-(10**15), 10**15),
    drift_ppm=st.floats(-100, 100),
)
@settings(max_examples=200, deadline=None)
def test_five_seconds_of_20_ms_jitter_and_100_ppm_drift_leave_at_most_2_ms(
    seed: int, ahead_ns: int, drift_ppm: float
) -> None:
    machine, estimate = OtherMachine(seed, ahead_ns, drift_ppm, 20 * MS), OffsetEstimate()
    now_ns = ask(machine, estimate, 10**12, 5.0)
    assert machine.error_ns(estimate, now_ns) <= LIMIT_NS


def test_it_stays_right_for_minutes_of_drift() -> None:
    machine, estimate = OtherMachine(1, 7 * S, 100.0, 20 * MS), OffsetEstimate()
    now_ns = ask(machine, estimate, 0, 5.0)
    for _ in range(60):
        now_ns = ask(machine, estimate, now_ns, 2.0)
        assert machine.error_ns(estimate, now_ns) <= LIMIT_NS


def test_without_answers_the_uncertainty_grows_and_holds_the_truth() -> None:
    machine, estimate = OtherMachine(2, -3 * S, 100.0, 20 * MS), OffsetEstimate()
    now_ns = ask(machine, estimate, 0, 5.0)
    before = estimate.at(now_ns)
    later_ns = now_ns + 60 * S
    after = estimate.at(later_ns)
    assert before is not None
    assert after is not None
    assert after.uncertainty_ns - before.uncertainty_ns >= 10 * MS
    assert machine.error_ns(estimate, later_ns) <= 60 * 0.1 * MS + LIMIT_NS


@given(step_ns=st.integers(50 * MS, 10**15), sign=st.sampled_from([-1, 1]))
def test_a_clock_that_is_set_is_believed_at_its_first_answer(step_ns: int, sign: int) -> None:
    machine, estimate = OtherMachine(3, 0, 0.0, 20 * MS), OffsetEstimate()
    now_ns = ask(machine, estimate, 0, 5.0)
    machine.ahead_ns += sign * step_ns
    estimate.add(*machine.exchange(now_ns))
    assert machine.error_ns(estimate, now_ns + 40 * MS) <= 21 * MS
    now_ns = ask(machine, estimate, now_ns + 50 * MS, 5.0)
    assert machine.error_ns(estimate, now_ns) <= LIMIT_NS


def test_before_any_answer_there_is_no_offset() -> None:
    assert OffsetEstimate().at(5) is None
    with pytest.raises(ValueError, match="before"):
        OffsetEstimate().add(10, 0, 9)


class JitteryWay:
    """A TCP relay that holds every packet back for up to 20 ms, in order, each way."""

    def __init__(self, port: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._target = port
        self._random = random.Random(4)
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, far]
            for here, there in ((client, far), (far, client)):
                here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(here, there), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        try:
            while data := here.recv(4096):
                time.sleep(self._random.uniform(0, 0.02))
                there.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        self._server.close()
        for each in self._sockets:
            each.close()


def test_a_real_drifting_clock_behind_a_jittery_network_is_followed() -> None:
    def other_now_ns() -> int:
        now_ns = monotonic_ns()
        return now_ns + 4321 * S + round((now_ns - started_ns) * 100e-6)

    started_ns = monotonic_ns()
    with ClockEcho(now_ns=other_now_ns) as echo:
        way = JitteryWay(echo.port)
        with ClockFollower(f"127.0.0.1:{way.port}") as follower:
            errors_ns = []
            for wait_s in (2.0, *[1.0] * 6):  # once is enough on an idle machine
                time.sleep(wait_s)
                offset = follower.offset()
                before_ns = monotonic_ns()
                other_ns = other_now_ns()
                assert offset is not None
                ours_ns = offset.ours_from_sender(other_ns)
                slack_ns = monotonic_ns() - before_ns + 1000
                assert abs(ours_ns - before_ns) <= offset.uncertainty_ns + slack_ns
                errors_ns.append(abs(ours_ns - before_ns))
                if errors_ns[-1] <= LIMIT_NS:
                    break
            assert min(errors_ns) <= LIMIT_NS
            assert follower.answers > 20
        way.close()


def test_whoever_is_not_there_yet_is_waited_for() -> None:
    with ClockEcho() as first:
        port = first.port
    with ClockFollower(f"127.0.0.1:{port}") as follower:
        time.sleep(0.2)
        assert follower.offset() is None
        with ClockEcho(port):
            deadline_s = time.monotonic() + 10
            while follower.offset() is None:
                assert time.monotonic() < deadline_s
                time.sleep(0.02)


@pytest.mark.parametrize("answer", [b"nan", b"1e400", b"soon", b"\xff", b"", b"9" * 100])
def test_answers_that_are_no_time_are_counted_and_left_out(answer: bytes) -> None:
    server = zmq.Context.instance().socket(zmq.REP)
    server.setsockopt(zmq.LINGER, 0)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    with ClockFollower(f"127.0.0.1:{port}") as follower:
        assert server.poll(10_000)
        server.recv()
        server.send(answer)
        deadline_s = time.monotonic() + 10
        while not follower.rejected:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert follower.offset() is None
    server.close()


def test_the_echo_answers_nothing_but_the_time() -> None:
    with ClockEcho() as echo:
        client = zmq.Context.instance().socket(zmq.REQ)
        client.setsockopt(zmq.LINGER, 0)
        client.connect(f"tcp://127.0.0.1:{echo.port}")
        for question, answer in (
            (b"T 5", b"Unknown command."),
            (b"\xff" * 60, b"Unknown command."),
        ):
            client.send(question)
            assert client.poll(10_000)
            assert client.recv() == answer
        client.send_multipart([b"t", b"t"])
        assert client.poll(10_000)
        assert client.recv() == b"Unknown command."
        client.send(b"t")
        assert client.poll(10_000)
        assert abs(float(client.recv()) - time.monotonic()) < 5.0
        client.close()
