"""What a new capture keeps of the profile it replaces: what was measured apart from the face."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.identity.owners import is_same_person
from edge.profile import DOCUMENT, SessionProfile, load_profile, save_profile, update_profile
from edge.profile.sealing import Lock
from streaming.errors import UserError

ANOTHER = (
    "The profile that was there is of another person: its {kept} not kept. With cameras in the "
    "headset, run `unvisor calibrate-eyes`."
)
UNTOLD = (
    "Whether the profile that was there is of the same person could not be checked: its {kept} not "
    "kept. With cameras in the headset, run `unvisor calibrate-eyes`."
)
NETWORK = (
    "The network of its own that the profile had is not kept: it was learned on other views. "
    "Add --finetune to learn one anew."
)
ROOM = "It holds a picture of the room behind you, without you; --no-plate leaves that out."
UNREADABLE = "The profile that was there cannot be read, so nothing of it is kept."


@dataclass(frozen=True)
class Kept:
    """What a new profile has of the one that it replaced."""

    told: tuple[str, ...] = ()  # what was kept and what was not, as sentences for the user
    has_eyes: bool = False  # whether the eye calibration was kept


@dataclass
class Saving:
    """Saves what a capture made, over what there is, and knows afterwards what became of it."""

    folder: Path
    lock: Lock | None = None  # encrypts it; None = in the clear
    passphrase: str | None = field(default=None, repr=False)  # of the profile that is there
    kept: Kept = field(default_factory=Kept)
    is_done: bool = False

    def __call__(self, made: SessionProfile) -> tuple[str, ...]:
        """Save it; returns what to tell, as sentences. Raises UserError as `save_over` does."""
        self.kept = save_over(made, self.folder, self.lock, self.passphrase)
        self.is_done = True
        return self.told_of(made)

    def told_of(self, made: SessionProfile) -> tuple[str, ...]:
        """What was kept of an older profile, and what the saved one holds of the room."""
        return (*self.kept.told, *room_told(made))


def room_told(profile: SessionProfile) -> tuple[str, ...]:
    """What to tell of the room in a profile: whoever sits in it may mind."""
    return () if profile.plate is None else (ROOM,)


def save_over(
    made: SessionProfile, folder: Path, lock: Lock | None = None, passphrase: str | None = None
) -> Kept:
    """Save a new profile; where there is one of the same wearer, keep what the capture cannot know.

    Args:
        made: by a capture.
        folder: the profile's.
        lock: encrypts it; None = in the clear.
        passphrase: of the profile that is there, if it is encrypted.

    Raises:
        UserError: it cannot be saved; what was there is unchanged.
    """
    sealed = replace(made, lock=lock)
    if not (folder / DOCUMENT).exists():
        save_profile(sealed, folder)
        return Kept()
    try:
        load_profile(folder, passphrase)
    except UserError:
        save_profile(sealed, folder)
        return Kept((UNREADABLE,))
    kept = Kept()

    def change(older: SessionProfile) -> SessionProfile:
        nonlocal kept
        carried, kept = carried_over(sealed, older)
        if older.network is not None:
            kept = replace(kept, told=(*kept.told, NETWORK))
        return carried

    update_profile(folder, change, passphrase)
    return kept


def carried_over(made: SessionProfile, older: SessionProfile) -> tuple[SessionProfile, Kept]:
    """`made` with the eye calibration and the lens of `older`, and what to tell about it.

    Nothing is kept of another person's profile, or where nobody can tell whose it is. Eyes count
    only where the wearer was led through `calibrate-eyes`: what a capture makes up for simulated
    headsets is made anew.
    """
    found = {
        "eye calibration": older.eyes if all(eye.is_guided for eye in older.eyes) else None,
        "camera's lens": older.camera,
    }
    named = [name for name, value in found.items() if value is not None]
    if not named:
        return made, Kept()
    words = f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'}"
    same = is_same_person(made, older)
    if not same:
        return made, Kept(((UNTOLD if same is None else ANOTHER).format(kept=words),))
    has_eyes = found["eye calibration"] is not None
    carried = replace(
        made,
        camera=made.camera or older.camera,
        eyes=older.eyes if has_eyes else made.eyes,
    )
    return carried, Kept((f"The {words} kept from the profile that was there.",), has_eyes)
