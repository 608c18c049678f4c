"""The session profile: what the product knows about the wearer before a session starts.

A folder that only its owner can read: `profile.json` (schema, checksums, eye calibration, quality)
and for each reference view a PNG of the bare face with its mesh. The schema holds several views;
today one is made. The folder appears under its name only when it is complete.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.filling import Reference
from streaming.errors import UserError
from streaming.records import ImageU8

SCHEMA = 1
STORED_PX = 256  # side of stored reference crops; the network takes 128 or 256
DOCUMENT = "profile.json"
MAKE_AGAIN = "Make it again with `calibrate-reference`."


@dataclass(frozen=True)
class EyeCalibration:
    """How far one eye opens, and where its iris rests, as shares of the eye's width."""

    closed: float = 0.08  # lid gap / corner distance
    open: float = 0.28
    rest: tuple[float, float] = (0.0, 0.0)  # iris centre from the corners' middle, (x, y)


@dataclass(frozen=True)
class SessionProfile:
    """Reference views of the bare face and the wearer's eye calibration."""

    references: tuple[Reference, ...]  # best first, crops framed by models.alignment
    eyes: tuple[EyeCalibration, EyeCalibration] = (
        EyeCalibration(),
        EyeCalibration(),
    )  # right, left
    quality: Mapping[str, float] = field(default_factory=dict)

    def reference(self, size_px: int) -> Reference:
        """The best view as a crop of (size_px,size_px)."""
        best = self.references[0]
        stored_px = best.image.shape[0]
        if stored_px == size_px:
            return best
        method = cv2.INTER_AREA if size_px < stored_px else cv2.INTER_CUBIC
        image = cv2.resize(best.image, (size_px, size_px), interpolation=method)
        return Reference(np.asarray(image, np.uint8), best.mesh * np.float32(size_px / stored_px))


def profiles_folder() -> Path:
    """Where named profiles are kept (XDG data folder)."""
    root = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(root) / "unvisor" / "profiles"


def profile_path(name: str) -> Path:
    """Folder of a profile given by name, or by path when it contains a separator."""
    return Path(name) if os.sep in name else profiles_folder() / name


def save_profile(profile: SessionProfile, folder: Path) -> None:
    """Write the profile (folder 0700, files 0600); an older one is replaced in one step.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # mkdtemp makes it 0700.
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write_files(profile, draft)
            _put_in_place(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"Cannot write the profile {folder}: {error.strerror}.", "Choose another place."
        ) from error


def load_profile(folder: Path) -> SessionProfile:
    """Read and check a profile.

    Raises:
        UserError: missing, made by another version, damaged or changed.
    """
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"There is no profile at {folder}.", "Make one with `calibrate-reference`."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / DOCUMENT} cannot be read: {error}.", MAKE_AGAIN) from error
    version = document.get("schema") if isinstance(document, dict) else None
    if version != SCHEMA:
        raise UserError(f"The profile {folder} has schema {version}, not {SCHEMA}.", MAKE_AGAIN)
    try:
        return _from_document(document, folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / DOCUMENT} is incomplete: {error!r}.", MAKE_AGAIN) from error


def _write_files(profile: SessionProfile, draft: Path) -> None:
    views = []
    for index, view in enumerate(profile.references):
        contents = {
            f"reference_{index}.png": _png(view.image),
            f"reference_{index}.npz": _npz(view),
        }
        for name, content in contents.items():
            _write_private(draft / name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        image, mesh = contents
        views.append({"image": image, "mesh": mesh, "sha256": sums})
    document = {
        "schema": SCHEMA,
        "references": views,
        "eyes": [dataclasses.asdict(eye) for eye in profile.eyes],
        "quality": dict(profile.quality),
    }
    _write_private(draft / DOCUMENT, json.dumps(document, indent=1).encode())


def _from_document(document: dict[str, Any], folder: Path) -> SessionProfile:
    views = tuple(_read_view(folder, view) for view in document["references"])
    if not views:
        raise ValueError("no reference view")
    right, left = (
        EyeCalibration(float(eye["closed"]), float(eye["open"]), _pair(eye["rest"]))
        for eye in document["eyes"]
    )
    quality = {str(key): float(value) for key, value in document["quality"].items()}
    return SessionProfile(views, (right, left), quality)


def _read_view(folder: Path, view: dict[str, Any]) -> Reference:
    image_name, mesh_name = Path(view["image"]).name, Path(view["mesh"]).name
    contents = [
        _read_checked(folder / name, view["sha256"][name]) for name in (image_name, mesh_name)
    ]
    image = cv2.imdecode(np.frombuffer(contents[0], np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape[0] != image.shape[1]:
        raise ValueError(f"{image_name} is not a square picture")
    with np.load(io.BytesIO(contents[1]), allow_pickle=False) as packed:
        mesh = packed["mesh"].astype(np.float32)
    if mesh.shape != (478, 3) or not np.isfinite(mesh).all():
        raise ValueError(f"{mesh_name} holds {mesh.shape}, not a (478, 3) mesh")
    return Reference(np.asarray(image, np.uint8), mesh)


def _read_checked(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} of the profile cannot be read.", MAKE_AGAIN) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise UserError(f"{path} was changed or is damaged (its checksum differs).", MAKE_AGAIN)
    return content


def _put_in_place(draft: Path, folder: Path) -> None:
    old = draft.with_name(draft.name + ".old")
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _png(image: ImageU8) -> bytes:
    is_encoded, buffer = cv2.imencode(".png", image)
    if not is_encoded:
        raise ValueError(f"a reference of shape {image.shape} cannot be stored as PNG")
    return buffer.tobytes()


def _npz(view: Reference) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, mesh=view.mesh)
    return buffer.getvalue()


def _pair(values: Any) -> tuple[float, float]:
    x, y = values
    return float(x), float(y)
