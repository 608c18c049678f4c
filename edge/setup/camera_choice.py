"""Which camera a session takes when neither command line nor config file names one."""

from __future__ import annotations

from collections.abc import Callable

from edge.camera import WEBCAM
from edge.devices import CameraDevice, find_camera
from edge.setup.part import CaptureSetup

Find = Callable[[str], CameraDevice | None]


def profiles_camera(
    setup: CaptureSetup | None, default: str, find: Find = find_camera
) -> tuple[str, str]:
    """(source, what to tell the user) of the camera that a profile was taken with.

    Args:
        setup: of the profile; None = it was taken before this was kept.
        default: source that is used without a profile's camera.
        find: looks up a camera that is connected now by its id.

    Returns:
        `default` where the profile knows no camera, or that one is not there. What is opened is
        always one that `find` lists, never what a profile says: it may come from elsewhere.
    """
    if setup is None or setup.kind in ("recording", "pictures"):
        return default, ""
    if setup.kind == "gst":
        return default, (
            f"The profile was taken with a GStreamer camera: using {default}, "
            "or name yours with --camera gst:PIPELINE."
        )
    there = find(setup.camera_id)
    if there is None or not _is_same(there, setup):
        return default, (
            f"The profile's camera, {setup.camera_name}, is not connected: using {default}. "
            "`unvisor devices` lists others for --camera."
        )
    source = WEBCAM + _id_as_typed(setup, there, find)
    return source, f"Camera {there.name} ({source}), as in the profile."


def _is_same(there: CameraDevice, setup: CaptureSetup) -> bool:
    """An id without a serial number may be another camera's by now, or on another machine."""
    return (there.name, there.serial) == (setup.camera_name, setup.serial)


def _id_as_typed(setup: CaptureSetup, there: CameraDevice, find: Find) -> str:
    """The id that was typed at the capture while it is the same camera's: lenses are kept by it."""
    if not setup.typed_id or setup.typed_id == there.id:
        return there.id
    typed = find(setup.typed_id)
    return there.id if typed is None or typed.id != there.id else setup.typed_id
