"""`unvisor profiles list|show|delete|drop|encrypt|decrypt|export|import`."""

from __future__ import annotations

import dataclasses
import datetime
import json as json_module
import logging
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.console import Console
from rich.table import Table

from calibration.profiles.summary import (
    ProfileSummary,
    all_profiles,
    details_of,
    quality_words,
)
from calibration.profiles.transfer import (
    SUFFIX,
    exported,
    imported,
    read_export,
    write_private,
)
from edge.profile import (
    DOCUMENT,
    SessionProfile,
    is_encrypted,
    load_profile,
    profile_path,
    profiles_folder,
    save_profile,
    update_profile,
)
from edge.profile.folder import remove, size_bytes
from edge.profile.parts import PARTS
from edge.profile.passphrase import asked, given, new_passphrase
from edge.profile.sealing import Lock, is_sealed
from edge.profile.unlock import lock_for, passphrase_for
from streaming.errors import UserError

THUMBNAIL_PX = 256
REMAINS = (
    "Its bytes were not overwritten: on an SSD or a snapshotting file system they can remain on the"
    " disk until it uses the place again. Only a disk or a profile that was encrypted from the"
    " start protects against somebody who takes the disk."
)

profiles = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Profiles on this machine.",
)
Name = Annotated[str, typer.Argument(help="Name (or folder) of the profile.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@profiles.command(name="list")
def list_profiles(json: Json = False) -> None:
    """List this user's profiles."""
    logging.basicConfig(level=logging.ERROR)
    found = all_profiles()
    if json:
        listed = [dataclasses.asdict(profile) for profile in found]
        typer.echo(json_module.dumps({"folder": str(profiles_folder()), "profiles": listed}))
        return
    if not found:
        _say(f"No profiles in {profiles_folder()}. Make one: `calibrate-reference --profile NAME`.")
        return
    table = Table("name", "made", "views", "eyes", "size", "on disk", box=None, pad_edge=False)
    for profile in found:
        table.add_row(*_row(profile))
    Console(highlight=False, markup=False).print(table)
    for profile in found:
        if profile.problem:
            _say(profile.problem)


@profiles.command()
def show(
    name: Name,
    thumbnail: Annotated[
        Path | None, typer.Option(help="Write the best view here (.jpg or .png).")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Over an existing picture.")] = False,
    json: Json = False,
) -> None:
    """Tell what a profile holds, and its quality."""
    profile = _load(name)
    if thumbnail is not None:
        _write_thumbnail(profile, thumbnail, replace)
    tree = {"name": name, "size_bytes": size_bytes(profile_path(name)), **details_of(profile)}
    if json:
        typer.echo(json_module.dumps(tree))
        return
    sizes = [view["size_px"] for view in tree["views"]]
    made = f"made {_when(profile.made)}" if profile.made else "made by an earlier version"
    _say(f"{name}: {made}, {'encrypted' if profile.lock else 'not encrypted'}")
    _say(f"views     {len(sizes)}, of {min(sizes)} to {max(sizes)} px a side")
    _say(f"eyes      {'calibrated' if tree['eyes_calibrated'] else 'not calibrated'}")
    _say(f"parts     {', '.join(tree['parts'] + tree['unknown_parts']) or 'none'}")
    if (room := tree["room_px"]) is not None:
        way_out = f"`unvisor profiles drop {name} plate` deletes it"
        _say(f"room      a picture of it, {room[0]}×{room[1]} px; {way_out}")
    if (own := profile.network) is not None:
        frames = round(own.scores.get("frames", 0))
        _say(f"network   its own, {own.gain_db:+.2f} dB on {frames} frames that it never saw")
    if profile.light is not None:
        _say(f"light     {profile.light.words}")
    if profile.setup is not None:
        _say(f"setup     {profile.setup.words}")
    for words in quality_words(tree["quality"]):
        _say(f"quality   {words}")


@profiles.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a profile."""
    folder = _existing(name)
    was_encrypted = is_encrypted(folder)
    if not yes and not typer.confirm(f"Delete the profile {name} for good?", err=True):
        raise UserError("Nothing was deleted.")
    try:
        rest = remove(folder)
    except OSError as error:
        raise UserError(f"Cannot delete {folder}: {error.strerror}.") from error
    _say(f"The profile {name} is deleted.")
    _say("What may remain on the disk is encrypted." if was_encrypted else REMAINS)
    if rest:
        _say(f"{folder} stays, because other files are in it: {', '.join(sorted(rest)[:5])}.")


@profiles.command()
def drop(
    name: Name,
    part: Annotated[str, typer.Argument(help=f"Which part: {', '.join(PARTS)}.")],
) -> None:
    """Take one part out of a profile, such as a network that was fine-tuned on its owner."""
    folder = _existing(name)
    profile = _load(name)
    if part not in PARTS or getattr(profile, part) is None:
        there = [each for each in PARTS if getattr(profile, each) is not None]
        raise UserError(
            f"The profile {name} has no part {part!r}.",
            f"It has {', '.join(there)}." if there else "It has none.",
        )
    without: dict[str, Any] = {part: None}
    update_profile(
        folder, lambda kept: dataclasses.replace(kept, **without), passphrase_for(folder)
    )
    _say(f"The profile {name} has no {part} any more.")
    if profile.lock is None:
        _say(REMAINS)


@profiles.command()
def encrypt(name: Name) -> None:
    """Keep a profile under a passphrase from now on."""
    folder = _existing(name)
    if is_encrypted(folder):
        raise UserError(f"The profile {name} is encrypted already.")
    lock = Lock.new(new_passphrase())
    update_profile(folder, lambda profile: dataclasses.replace(profile, lock=lock))
    _say(
        f"The profile {name} is encrypted. Without the passphrase nobody can open it, nor can you."
    )
    _say(f"Its clear files are deleted. {REMAINS}")


@profiles.command()
def decrypt(name: Name) -> None:
    """Keep a profile in the clear from now on."""
    folder = _existing(name)
    if not is_encrypted(folder):
        raise UserError(f"The profile {name} is not encrypted.")
    passphrase = passphrase_for(folder)
    update_profile(folder, lambda profile: dataclasses.replace(profile, lock=None), passphrase)
    _say(f"The profile {name} is no longer encrypted.")


@profiles.command(name="export")
def export_profile(
    name: Name,
    out: Annotated[
        Path | None, typer.Option(help=f"File to write; NAME{SUFFIX} by default.")
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Without a passphrase: whoever has it sees face and room."),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Over an existing file.")] = False,
) -> None:
    """Write a profile to one file for another machine, encrypted with a passphrase."""
    profile = _load(name)
    path = out or Path(f"{profile_path(name).name}{SUFFIX}")
    lock = None if plain else Lock.new(new_passphrase(f"Passphrase for {path.name}"))
    write_private(path, exported(profile, lock), replace)
    told = (
        "It is not encrypted: whoever has it sees face and room." if plain else "It is encrypted."
    )
    _say(f"{path} holds the profile {name}. {told}")
    _say(f"On the other machine: `unvisor profiles import {path.name}`; then delete the copies.")


@profiles.command(name="import")
def import_profile(
    file: Annotated[Path, typer.Argument(help=f"A {SUFFIX} file.")],
    name: Annotated[str | None, typer.Option(help="What to call it; the file's name.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Over a profile of that name.")
    ] = False,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Keep it under a passphrase here, too.")
    ] = False,
) -> None:
    """Take in a profile that another machine exported."""
    called = name or file.stem
    folder = profile_path(called)
    if (folder / DOCUMENT).exists() and not replace:
        raise UserError(f"There is a profile {called} already.", "Add --replace, or --name NAME.")
    content = read_export(file)
    profile = imported(content, lambda: given() or asked(f"Passphrase of {file.name}"))
    lock = lock_for(folder, encrypt)
    save_profile(dataclasses.replace(profile, lock=lock), folder)
    _say(f"The profile {called} is at {folder}; use it with --profile {called}.")
    if lock is None and is_sealed(content):
        _say("The file is encrypted, the profile here is not: --encrypt would have kept it so.")


def _load(name: str) -> SessionProfile:
    folder = _existing(name)
    return load_profile(folder, passphrase_for(folder))


def _existing(name: str) -> Path:
    folder = profile_path(name)
    if not (folder / DOCUMENT).exists():
        known = ", ".join(profile.name for profile in all_profiles())
        raise UserError(
            f"There is no profile {name}.",
            f"Known: {known}." if known else f"Make it: `calibrate-reference --profile {name}`.",
        )
    return folder


def _row(profile: ProfileSummary) -> tuple[str, ...]:
    size = f"{profile.size_bytes / 2**20:.1f} MiB"
    if profile.encrypted:
        return profile.name, "?", "?", "?", size, "encrypted"
    if profile.problem:
        return profile.name, "?", "?", "?", size, "damaged"
    eyes = "calibrated" if profile.eyes_calibrated else "not calibrated"
    return profile.name, _when(profile.made or ""), str(profile.views), eyes, size, "clear"


def _when(made: str) -> str:
    """`2026-11-21T10:00:00Z` by the clock on the wall; a dash when it is not known."""
    try:
        utc = datetime.datetime.fromisoformat(made.replace("Z", "+00:00"))
    except ValueError:
        return made or "-"
    return utc.astimezone().strftime("%Y-%m-%d %H:%M")


def _write_thumbnail(profile: SessionProfile, path: Path, replace: bool) -> None:
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UserError(f"{path} is neither a .jpg nor a .png file.")
    view = profile.references[0]
    image = profile.reference(min(THUMBNAIL_PX, len(view.image))).image
    write_private(path, cv2.imencode(path.suffix.lower(), image)[1].tobytes(), replace)


def _say(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)
