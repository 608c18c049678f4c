"""Session profiles for tests: small ones, and as earlier versions wrote them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import cv2
import numpy as np

from edge.profile import DOCUMENT, SessionProfile
from models.filling import Reference

OLD, NEW = 20.0, 30.0


def small_profile(sharpness: float) -> SessionProfile:
    """Two random views, told from others by one figure of its quality."""
    rng = np.random.default_rng(int(sharpness))
    views = tuple(
        Reference(
            rng.integers(0, 256, (32, 32, 3), np.uint8), rng.random((478, 3), np.float32) * 32
        )
        for _ in range(2)
    )
    return SessionProfile(views, quality={"sharpness": sharpness})


def write_schema1(profile: SessionProfile, folder: Path) -> None:
    """As version 0.1 wrote it."""
    folder.mkdir(parents=True)
    views = []
    for index, view in enumerate(profile.references):
        packed = io.BytesIO()
        np.savez_compressed(packed, mesh=view.mesh)
        contents = {
            f"reference_{index}.png": cv2.imencode(".png", view.image)[1].tobytes(),
            f"reference_{index}.npz": packed.getvalue(),
        }
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        image, mesh = contents
        views.append({"image": image, "mesh": mesh, "sha256": sums})
    eyes = [{"closed": e.closed, "open": e.open, "rest": list(e.rest)} for e in profile.eyes]
    document = {"schema": 1, "references": views, "eyes": eyes, "quality": dict(profile.quality)}
    (folder / DOCUMENT).write_text(json.dumps(document, indent=1))
