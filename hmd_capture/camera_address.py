"""Naming a video device so that the name stays true when another one is plugged in."""

from __future__ import annotations

from pathlib import Path

BY_ID = Path("/dev/v4l/by-id")


def opencv_address(camera_id: str) -> int | str:
    """What OpenCV opens: for an index as text, a device path, or a name in /dev/v4l/by-id."""
    if camera_id.isdecimal():
        return int(camera_id)
    named = BY_ID / camera_id
    return str(named) if named.exists() else camera_id
