"""Our time of a board's image, from the board's own stamps and when they arrive."""

from __future__ import annotations

from hmd_capture.sources.device import BadPicture

# Two crystals part by less than this; the quickest image of old counts that much less each second.
MAX_DRIFT_PPM = 200


class OneWayClock:
    """Knows how long the quickest image so far took; what takes longer was captured earlier.

    A burst of images that waited on the way thus keeps its true distances instead of all being
    called new. What even the quickest image took cannot be known without asking back.
    """

    def __init__(self) -> None:
        """Start with nothing heard."""
        self._last_device_ns: int | None = None
        self._last_arrival_ns = 0
        self._offset_ns = 0.0  # our clock minus the device's, at the quickest image

    def capture_ns(self, device_ns: int, arrival_ns: int) -> int:
        """Capture time on our clock, at most `arrival_ns`.

        Raises `BadPicture` when the device's stamp does not lie after the last one's.
        """
        seen_ns = float(arrival_ns - device_ns)
        if self._last_device_ns is None:
            self._offset_ns = seen_ns
        elif device_ns <= self._last_device_ns:
            raise BadPicture("backwards", f"a stamp {self._last_device_ns - device_ns} ns back")
        else:
            passed_ns = arrival_ns - self._last_arrival_ns
            self._offset_ns = min(seen_ns, self._offset_ns + passed_ns * MAX_DRIFT_PPM * 1e-6)
        self._last_device_ns, self._last_arrival_ns = device_ns, arrival_ns
        return min(arrival_ns, device_ns + round(self._offset_ns))
