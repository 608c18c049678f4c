"""The session profile: what the product knows about the wearer before a session starts.

A folder that only its owner can read. `session` has the record, `parts` its optional parts and how
they are registered, `document` and `part_files` what they look like in files, `folder` how files
are replaced without a moment in which nothing whole is there, `store` loading and saving, `sealing`
and `passphrase` encryption, `archive` the profile as one file.
"""

from __future__ import annotations

from edge.profile.eyes import EyeCalibration
from edge.profile.folder import DOCUMENT
from edge.profile.parts import Part, UnknownVersion
from edge.profile.session import MAX_STORED_PX, STORED_PX, SessionProfile
from edge.profile.store import (
    is_encrypted,
    load_profile,
    profile_path,
    profiles_folder,
    save_profile,
    update_profile,
)

__all__ = [
    "DOCUMENT",
    "MAX_STORED_PX",
    "STORED_PX",
    "EyeCalibration",
    "Part",
    "SessionProfile",
    "UnknownVersion",
    "is_encrypted",
    "load_profile",
    "profile_path",
    "profiles_folder",
    "save_profile",
    "update_profile",
]
