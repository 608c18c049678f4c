"""What there is to tell about a profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.profile import (
    DOCUMENT,
    SessionProfile,
    is_encrypted,
    load_profile,
    profiles_folder,
)
from edge.profile.folder import size_bytes, sweep_leftovers
from edge.profile.parts import PARTS
from edge.reference_choice import head_angles
from streaming.errors import UserError

# What the numbers of a profile's quality mean; those of None matter to nobody but the JSON.
QUALITY: Mapping[str, str | None] = {
    "trial_psnr_masked_db": "PSNR {:.1f} dB inside the mask, tried under a simulated headset",
    "trial_psnr_db": "PSNR {:.1f} dB of the whole picture",
    "trial_ssim": "SSIM {:.3f}",
    "trial_frames": "tried on {:.0f} frames",
    "sharpness": "sharpness {:.1f}",
    "face_px": "crop of {:.0f} px around the head, best view",
    "frames_with_face": "a face in {:.0%} of the frames looked at",
    "capture_seconds": "{:.0f} s looked at",
    "frame_index": None,
    "score": None,
}


@dataclass(frozen=True)
class ProfileSummary:
    """One line of the list; None = not known without the passphrase."""

    name: str
    size_bytes: int
    encrypted: bool
    made: str | None = None
    views: int | None = None
    eyes_calibrated: bool | None = None
    problem: str = ""  # why it cannot be read; empty = it can


def all_profiles() -> list[ProfileSummary]:
    """Every named profile of this user, by name; what interrupted saves left is removed."""
    root = profiles_folder()
    found = []
    for name in sorted(os.listdir(root)) if root.is_dir() else []:
        folder = root / name
        if not folder.is_dir() or name.startswith("."):
            continue
        try:
            if (folder / DOCUMENT).exists():
                found.append(summary_of(folder))
            else:
                sweep_leftovers(folder)
        except PermissionError as error:  # somebody else's: the others are listed
            problem = f"{folder} cannot be read: {error.strerror}."
            found.append(ProfileSummary(name, 0, False, problem=problem))
    return found


def summary_of(folder: Path) -> ProfileSummary:
    """What can be told of the profile in `folder` without a passphrase."""
    size = size_bytes(folder)
    if is_encrypted(folder):
        return ProfileSummary(folder.name, size, True)
    try:
        profile = load_profile(folder)
    except UserError as error:
        return ProfileSummary(folder.name, size, False, problem=str(error))
    return ProfileSummary(
        folder.name,
        size,
        False,
        profile.made,
        len(profile.references),
        is_calibrated(profile),
    )


def is_calibrated(profile: SessionProfile) -> bool:
    """Whether the wearer's eyes were measured in the headset, by `unvisor calibrate-eyes`."""
    return all(eye.is_guided for eye in profile.eyes)


def details_of(profile: SessionProfile) -> dict[str, Any]:
    """Everything that `unvisor profiles show` tells, as JSON values."""
    views = []
    for view in profile.references:
        yaw, _ = head_angles(view.mesh)
        views.append({"size_px": len(view.image), "yaw_rad": round(yaw, 3)})
    return {
        "made": profile.made,
        "encrypted": profile.lock is not None,
        "views": views,
        "eyes_calibrated": is_calibrated(profile),
        "eyes": {
            side: eye.to_json() for side, eye in zip(("right", "left"), profile.eyes, strict=True)
        },
        "quality": dict(profile.quality),
        "parts": sorted(name for name in PARTS if getattr(profile, name) is not None),
        "room_px": None if profile.plate is None else list(profile.plate.room.shape[1::-1]),
        "network": None if profile.network is None else dict(profile.network.scores),
        "light": None if profile.light is None else profile.light.to_json(),
        "setup": None if profile.setup is None else profile.setup.to_json(),
        "unknown_parts": sorted(profile.others),
    }


def quality_words(quality: Mapping[str, float]) -> list[str]:
    """The numbers of a profile's quality in words, what matters most first."""
    known = [form.format(quality[key]) for key, form in QUALITY.items() if form and key in quality]
    return known + [f"{key} {value:.4g}" for key, value in quality.items() if key not in QUALITY]
