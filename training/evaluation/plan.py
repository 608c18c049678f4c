"""Which clips a protocol scores, in which order."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.errors import UserError
from training import protocol as protocols
from training.clips.faces import FaceClip, FaceClips
from training.clips.licences import licensed
from training.evaluation import hard_cases
from training.evaluation.hard_cases import HARD_PROTOCOLS, HardCase
from training.protocol import ScoredClip

PROTOCOLS = (*protocols.PROTOCOLS, *HARD_PROTOCOLS)


@dataclass(frozen=True)
class Take:
    """One clip to be scored, not read yet."""

    row: FaceClip
    protocol: str
    case: HardCase | None = None

    @property
    def segment(self) -> str:
        """What its scores are listed under."""
        return hard_cases.segment_of(self.row, self.case) if self.case else self.row.segment

    def load(self, clips: FaceClips, size_px: int) -> ScoredClip:
        """Read it; raises FaceDataError when it is damaged."""
        if self.case is not None:
            return hard_cases.load(clips, self.row, self.case, size_px)
        return protocols.load(clips, self.row, self.protocol, size_px)


def takes(
    clips: FaceClips, split: str, protocol: str, licence_classes: tuple[str, ...] = ()
) -> tuple[list[Take], list[FaceClip]]:
    """What the protocol scores of a split, and the clips that are too short for it.

    `licence_classes` keeps clips of these classes only; empty = all.

    Raises:
        UserError: an unknown protocol, an empty split, or no clip that can be scored.
    """
    if protocol not in PROTOCOLS:
        raise UserError(
            f"There is no protocol '{protocol}'.",
            f"Use one of {', '.join(PROTOCOLS)}, bank, detail, live or eyes.",
        )
    rows = licensed(clips.rows(split), licence_classes)
    if protocol in HARD_PROTOCOLS:
        by_name = {row.segment: row for row in rows}
        found = hard_cases.cases(clips, split, protocol)
        kept = [case for case in found if case.segment in by_name]
        if not kept:
            raise UserError(f"No clip of these licence classes has frames that {protocol} scores.")
        return [Take(by_name[case.segment], protocol, case) for case in kept], []
    long_enough, short = protocols.eligible(rows, protocol)
    return [Take(row, protocol) for row in long_enough], short
