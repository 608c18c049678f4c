"""The process that fine-tunes: started, followed, stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from calibration.finetune.frames import CapturedClip
from edge.profile import SessionProfile, load_profile, update_profile
from edge.profile.own_network import OwnNetwork
from models.filling import Reference
from models.personal.exchange import Answer, Order
from models.personal.network import PersonalWeights
from models.shipped import SHIPPED_NETWORK, Network, load_network
from streaming.errors import UserError

COMMAND = (sys.executable, "-m", "training.finetuning")
ROOT = Path(__file__).resolve().parents[2]
LEAST_FRAMES = 2  # to have anything to send; how many are enough, the process knows
CAPTURED_ANEW = (
    "The profile was captured anew while the network was learned, so it is unchanged: the network "
    "knows the views of before. Run `calibrate-reference` with --finetune to learn one on new ones."
)
Tell = Callable[[float, str], None]  # share of the time, what is being done


class _CapturedAnew(Exception):
    """The profile is of another capture than the clip."""


def check_torch() -> None:
    """Raise UserError when fine-tuning cannot run here: before anybody sits still for it."""
    if find_spec("torch") is None:
        raise UserError(
            "Fine-tuning needs torch, which is not installed.",
            "Install it with `make install` in the checkout, or leave out --finetune.",
        )


def finetune_profile(
    folder: Path, clip: CapturedClip, minutes: float, passphrase: str | None = None
) -> str:
    """Learn for so long on a clip and keep the result in the profile, if it is better.

    Interrupted or failing, the profile stays as it is, and so does one that was captured anew
    meanwhile: the network knows other views. Returns what came of it, as a sentence.

    Raises:
        UserError: the clip is too short, the process failed, or the profile cannot be read.
    """
    captured = load_profile(folder, passphrase).references
    base = load_network(SHIPPED_NETWORK)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("fine-tuning", total=1.0)
        answer = learned(
            clip,
            base,
            minutes * 60,
            tell=lambda share, words: progress.update(bar, completed=share, description=words),
        )
    scores = answer.scores
    before, after = scores["base_psnr_masked_db"], scores["psnr_masked_db"]
    figures = (
        f"{before:.2f} dB before, {after:.2f} dB after, inside the mask, on the end of the clip"
    )
    if not answer.is_kept:
        return f"The fine-tuned network is not better ({figures}); the shipped one stays in use."
    own = OwnNetwork(PersonalWeights(base.manifest["sha256"], answer.weights), scores)

    def with_network(profile: SessionProfile) -> SessionProfile:
        if not _are_same(profile.references, captured):
            raise _CapturedAnew
        return replace(profile, network=own)

    try:
        update_profile(folder, with_network, passphrase)
    except _CapturedAnew:
        return CAPTURED_ANEW
    return f"The profile has a network of its own now: {figures}."


def _are_same(views: tuple[Reference, ...], others: tuple[Reference, ...]) -> bool:
    """Whether two profiles are of one capture; `made` says so to the second only."""
    return len(views) == len(others) and all(
        np.array_equal(view.image, other.image) and np.array_equal(view.mesh, other.mesh)
        for view, other in zip(views, others, strict=True)
    )


def learned(
    clip: CapturedClip, base: Network, seconds: float, tell: Tell = lambda share, words: None
) -> Answer:
    """Let the process learn; stops it when this one is interrupted.

    Raises:
        UserError: what was wrong, in the process's own words.
    """
    if len(clip.crops) < LEAST_FRAMES:
        raise UserError("There is no clip to learn from.", "Take a longer one.")
    order = Order(*clip.arrays(), str(base.path), seconds)
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    failure: list[dict[str, str]] = []
    listener = threading.Thread(target=_follow, args=(process, tell, failure), daemon=True)
    listener.start()
    try:
        content = _talk(process, order.pack())
    finally:
        process.kill()
        process.wait()
        listener.join(1.0)
    if failure:
        raise UserError(failure[0]["error"], failure[0].get("next_step", ""))
    if process.returncode != 0 or not content:
        raise UserError(
            "Fine-tuning ended before it was done.", "Free some memory and take the clip again."
        )
    return Answer.unpack(content)


def _talk(process: subprocess.Popen[bytes], order: bytes) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise ValueError("a process without pipes")
    try:
        process.stdin.write(order)
        process.stdin.close()
    except BrokenPipeError:
        return b""  # it says why on standard error
    content = process.stdout.read()
    process.wait()
    return content


def _follow(process: subprocess.Popen[bytes], tell: Tell, failure: list[dict[str, str]]) -> None:
    for line in process.stderr or ():
        try:
            said = json.loads(line)
            if "error" in said:
                failure.append(said)
            else:
                tell(float(said["share"]), str(said["words"]))
        except (ValueError, KeyError, TypeError):
            continue  # a warning of some library
