"""Where measured lenses are kept, and which one a session uses."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from pathlib import Path

from edge.lens.lens import CalibratedLens
from edge.profile.session import SessionProfile
from edge.profile.store import UNFIT, told
from edge.settings import CameraSettings
from streaming.errors import UserError

log = logging.getLogger(__name__)

NONE = "none"
MAX_BYTES = 1 << 16
AGAIN = "Make it again with `unvisor calibrate-camera`."


def lenses_folder() -> Path:
    """Where lenses are kept (XDG data folder)."""
    root = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(root) / "unvisor" / "cameras"


def lens_path(camera: str) -> Path:
    """File of the lens of `camera`, such as webcam:0; one for each camera."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", camera).strip("-")[-60:]
    return lenses_folder() / f"{readable}.{hashlib.sha256(camera.encode()).hexdigest()[:8]}.json"


def load_lens(path: Path) -> CalibratedLens:
    """Read one lens.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            tree = json.loads(file.read(MAX_BYTES))
        return CalibratedLens.from_json(tree)
    except OSError as error:
        raise UserError(f"Cannot read the lens {path}: {error.strerror}.", AGAIN) from error
    except (*UNFIT, RecursionError) as error:
        raise UserError(f"The lens {path} is damaged: {told(error)}.", AGAIN) from error


def lens_for(camera: CameraSettings, profile: SessionProfile) -> CalibratedLens | None:
    """The lens of a session's camera; None when it was never measured.

    `[edge.camera] lens` names a file (or "none"); else the camera's own file counts, then the
    profile's, if that is of the same camera.

    Raises:
        UserError: the file that is to be used cannot be.
    """
    if camera.lens == NONE:
        return None
    if camera.lens:
        return load_lens(Path(camera.lens))
    path = lens_path(camera.source)
    if path.exists():
        return load_lens(path)
    kept = profile.camera
    if kept is not None and kept.camera == camera.source:
        return kept
    return None
