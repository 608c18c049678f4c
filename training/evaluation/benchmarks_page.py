"""docs/BENCHMARKS.md from the reports of `unvisor evaluate`; nothing in it is written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.evaluation.aims import aim_lines
from training.evaluation.methods_told import HEADINGS, method_line, scale_notes
from training.evaluation.tables import markdown, markdown_table, shown, value_of
from training.evaluation.worst import WORST
from training.protocol import PUBLISHED_PX

Document = Mapping[str, Any]

OURS = "unvisor"
TITLES = {
    "hmd": "reference from the clip's first frame",
    "hmd-far": "reference from a later frame with another head turn",
    "static-box": "a resting square instead of the headset",
    "moving-box": "a wandering square instead of the headset",
    "free-form": "moving strokes instead of the headset",
    "eye-state": "reference with the eyes in another state",
    "turned": "head turned by 12° and more from the reference",
    "perturbed": "hidden landmarks that err by 2 % of the face's width",
    "relit": "frames in another light than the reference",
    "face-mask": "a face mask or a scarf instead of the headset",
    "face-mask-unseen": "the same, with the mouth's landmarks as in the reference",
}
COLUMNS = {  # JSON key: heading, decimals
    "psnr_db": ("PSNR dB", 2),
    "psnr_masked_db": ("in the mask dB", 2),
    "ssim": ("SSIM", 4),
    "lpips": ("LPIPS", 4),
    "mse": ("MSE", 5),
}
UNUSUAL = 1.5  # times the median: worth naming as a circumstance
CIRCUMSTANCES = {
    "turn_deg": ("head turn to the reference", 1, "°"),
    "light": ("light around the hole", 1, " of 255"),
    "openness": ("opening of the eyes", 2, ""),
    "movement": ("movement per frame", 4, " of the side"),
    "texture": ("fine detail under the hole", 1, " of 255"),
}


def page(documents: Mapping[str, Document], command: str, commit: str) -> str:
    """The whole page, from one report per protocol."""
    first = next(iter(documents.values()))
    parts = [
        f"# {_title(first)}\n",
        "Written by `unvisor benchmarks`; do not edit, run it again:\n",
        f"```sh\n{command}\n```\n",
        f"Split `{first['split']}`, {first['size_px']} px, commit {commit}. Every method gets the "
        "same frames, holes, references and landmarks; protocols and measures are defined in "
        "[DATA.md](DATA.md). Means over clips, ± the standard deviation over people.\n",
        *_section("Methods", _methods(documents)),
        *scale_notes(_all_methods(documents)),
        *_section("All protocols, PSNR in the mask, dB", _overview(documents)),
        *_section("Aims", _aims(documents)),
    ]
    for protocol, document in documents.items():
        parts += _protocol(protocol, document)
    parts += _people(documents)
    parts += _worst(documents)
    return "\n".join(parts)


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}\n", body] if body else []


def _title(first: Document) -> str:
    size = first["size_px"]
    return "Benchmarks" if size == PUBLISHED_PX else f"Benchmarks at {size} px"


def _methods(documents: Mapping[str, Document]) -> str:
    return markdown([HEADINGS, *(method_line(*m) for m in _all_methods(documents).items())])


def _overview(documents: Mapping[str, Document]) -> str:
    """Every method's PSNR in the mask by protocol, where there are several protocols."""
    if len(documents) < 2:
        return ""
    return markdown(
        [
            ["method", *documents],
            *(
                [name, *(_in_mask(document, name) for document in documents.values())]
                for name in _all_methods(documents)
            ),
        ]
    )


def _in_mask(document: Document, name: str) -> str:
    return shown(value_of(document["methods"].get(name, {}), ("psnr_masked_db",)), 2)


def _aims(documents: Mapping[str, Document]) -> str:
    lines = aim_lines(documents, OURS)
    if not lines:
        return ""
    return markdown([["protocol", f"`{OURS}`", "found", "aim", "reached"], *lines])


def _protocol(protocol: str, document: Document) -> list[str]:
    counts = f"{document['clips']} clips of {document['people']} people"
    frames = f", {document['frames']} frames" if "frames" in document else ""
    parts = [
        f"## {protocol}: {TITLES.get(protocol, 'see DATA.md')}\n",
        f"{counts}{frames}; {document['landmarks']} landmarks.{_left_out(document)}\n",
        markdown([_heading(), *(_line(*item) for item in document["methods"].items())]),
    ]
    if "truth" in document:
        parts.append(markdown_table(document))
        if "vfid" in next(iter(document["methods"].values())):
            parts.append(_orientation(document))
    return parts


def _left_out(document: Document) -> str:
    """A sentence when not all clips of the split were scored."""
    told = ""
    if document.get("limit_clips"):
        told += f" A choice of {document['limit_clips']} clips, spread over the split."
    if document.get("licence_classes"):
        told += f" Licence classes: {', '.join(document['licence_classes'])}."
    if document.get("too_short"):
        told += f" Too short for it, and left out: {len(document['too_short'])}."
    return told


def _orientation(document: Document) -> str:
    samples = document["frechet_samples"]
    note = " That few clips give orientation only." if samples["orientation_only"] else ""
    return (
        f"VFID: I3D features of {samples['clips']} clips, values in 0..1, batch normalisation by "
        f"the trained statistics, or by each clip's own as the published figures have it.{note}\n"
    )


def _heading() -> list[str]:
    return ["method", *(heading for heading, _ in COLUMNS.values()), "ms per frame"]


def _line(name: str, scores: Mapping[str, Any]) -> list[str]:
    cells = []
    for key, (_, decimals) in COLUMNS.items():
        spread = value_of(scores, ("people_deviation", key))
        cell = shown(value_of(scores, (key,)), decimals)
        cells.append(cell if spread is None else f"{cell} ± {spread:.{decimals}f}")
    label = name if scores["filler"] == name else f"{name} (ran {scores['filler']})"
    return [label, *cells, shown(value_of(scores, ("fill_ms", "p50")), 1)]


def _people(documents: Mapping[str, Document]) -> list[str]:
    """Each person's PSNR, for the first protocol."""
    protocol, document = next(iter(documents.items()))
    methods = document["methods"]
    people = sorted(next(iter(methods.values()))["per_person"])
    lines = [["person", *methods]]
    for who in people:
        values = [value_of(scores, ("per_person", who, "psnr_db")) for scores in methods.values()]
        lines.append([who, *(shown(value, 2) for value in values)])
    return _section(f"PSNR by person, {protocol}, dB", markdown(lines))


def _worst(documents: Mapping[str, Document]) -> list[str]:
    parts = [f"## The worst {WORST} clips of `{OURS}`\n",
             "By PSNR in the mask, with what is out of the ordinary: circumstances of at least "
             f"{UNUSUAL} times the median of all clips.\n"]  # fmt: skip
    for protocol, document in documents.items():
        clips = document.get("worst_clips", {}).get(OURS)
        if clips:
            lines = [
                [clip["segment"], shown(clip["psnr_masked_db"], 2), unusual(clip)] for clip in clips
            ]
            parts.append(markdown([[protocol, "in the mask dB", "out of the ordinary"], *lines]))
    return parts if len(parts) > 2 else []


def unusual(clip: Mapping[str, Any]) -> str:
    """What of a clip's circumstances stands out, most so first; a clip of the `worst_clips`."""
    found = []
    for name, value in clip["circumstances"].items():
        median = clip["median"][name]
        if median > 0 and value >= UNUSUAL * median and name in CIRCUMSTANCES:
            what, decimals, unit = CIRCUMSTANCES[name]
            told = f"{what} {value:.{decimals}f}{unit} (median {median:.{decimals}f})"
            found.append((value / median, told))
    return "; ".join(told for _, told in sorted(found, reverse=True)) or "nothing measured"


def _all_methods(documents: Mapping[str, Document]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for document in documents.values():
        for name, scores in document["methods"].items():
            found.setdefault(name, scores)
    return found


def protocols_in_order(names: Sequence[str]) -> list[str]:
    """`names` in the page's order, unknown ones last."""
    known = list(TITLES)
    return sorted(names, key=lambda name: known.index(name) if name in known else len(known))
