"""What a network of ours is to reach, told beside what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training.evaluation.tables import value_of

WARP = "warp"
PUBLISHED = "evi-published"
Scores = Mapping[str, Any]
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Aim:
    """One line: a number that a protocol's report gives for a method, and its bound."""

    protocol: str
    what: str
    found: Callable[[Document, Scores], float | None]
    bound: float
    is_least: bool  # the bound is the least, else the most
    decimals: int = 2

    def reached(self, value: float) -> bool:
        """Whether `value` keeps the bound."""
        return value >= self.bound if self.is_least else value <= self.bound


def _own(*path: str) -> Callable[[Document, Scores], float | None]:
    return lambda document, scores: value_of(scores, path)


def _above(other: str) -> Callable[[Document, Scores], float | None]:
    """PSNR over another method's, dB."""

    def difference(document: Document, scores: Scores) -> float | None:
        if other not in document["methods"]:
            return None
        return float(scores["psnr_db"] - document["methods"][other]["psnr_db"])

    return difference


def _share_of(other: str, name: str) -> Callable[[Document, Scores], float | None]:
    def share(document: Document, scores: Scores) -> float | None:
        theirs = value_of(document["methods"].get(other, {}), (name,))
        own = value_of(scores, (name,))
        return own / theirs if own is not None and theirs else None

    return share


AIMS = (
    Aim("hmd", "PSNR over `warp`, dB", _above(WARP), 0.7, True),
    Aim("hmd", "LPIPS over `warp`'s", _share_of(WARP, "lpips"), 0.75, False),
    Aim("hmd", "SSIM", _own("ssim"), 0.965, True, 4),
    Aim("hmd", "PSNR over `evi-published`, dB", _above(PUBLISHED), 3.0, True),
    Aim("hmd", "warping error over the truth's", _own("warping_ratio"), 1.15, False, 3),
    Aim("hmd-far", "PSNR over `warp`, dB", _above(WARP), 1.5, True),
    Aim("hmd-far", "PSNR over `evi-published`, dB", _above(PUBLISHED), 3.0, True),
    Aim("hmd-far", "warping error over the truth's", _own("warping_ratio"), 1.15, False, 3),
    Aim("eye-state", "blink fidelity r", _own("eyes", "openness_r"), 0.85, True, 3),
    Aim("turned", "PSNR over `warp`, dB", _above(WARP), 2.0, True),
    Aim("perturbed", "loss by erring landmarks, dB", _own("loss_db"), 1.0, False),
)


def aim_lines(documents: Mapping[str, Document], method: str) -> list[list[str]]:
    """Protocol, what, found, aim, whether it is reached: for every aim that can be told."""
    lines = []
    for aim in AIMS:
        document = documents.get(aim.protocol)
        if document is None or method not in document["methods"]:
            continue
        value = aim.found(document, document["methods"][method])
        if value is not None:
            bound = f"{'≥' if aim.is_least else '≤'} {aim.bound:g}"
            reached = "yes" if aim.reached(value) else "no"
            lines.append([aim.protocol, aim.what, f"{value:.{aim.decimals}f}", bound, reached])
    return lines
