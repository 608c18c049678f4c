"""`unvisor evaluate-face-mask`: how well masks are found on people and patterns not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge.covers.face_mask_tracker import FACE_MASK, ON
from hmd_capture.face_masks.cut import KINDS
from hmd_capture.face_masks.drawing import FaceMask
from hmd_capture.face_masks.patterns import Textures
from hmd_capture.headset_render import ProceduralHeadset
from hmd_capture.simulated import covered
from models.face_masks.reader import SHIPPED_FACE_MASK_NET, FaceMaskReader, worn_share
from models.headset.head_crop import crop_of_mesh
from models.headset.outline import outline_in_frame
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.clips.faces import FaceClips, FaceDataError
from training.face_covers.covers import hand
from training.scenes.bare_faces import BareFace, clip_faces, portraits
from training.scenes.face_props import put_glasses_on

ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]
SEED = 31
TEXTURES: dict[str, Textures] = {"train": "train", "val": "val", "test": "test"}


@dataclass
class MaskMeasures:
    """Of one split."""

    overlaps: dict[str, list[float]] = field(default_factory=dict)  # IoU by kind, straps included
    cloth: list[float] = field(default_factory=list)  # IoU of the mask without its straps
    alarms: dict[str, list[bool]] = field(default_factory=dict)  # by what is in view instead

    def tree(self) -> dict[str, Any]:
        """As JSON."""
        every = [value for values in self.overlaps.values() for value in values]
        return {
            "iou": _mean(every),
            "iou_without_straps": _mean(self.cloth),
            "iou_by_kind": {kind: _mean(values) for kind, values in self.overlaps.items()},
            "iou_tenth": float(np.quantile(every, 0.1)) if every else 0.0,
            "pictures": len(every),
            "false_alarms": {
                name: {"share": _mean(seen), "pictures": len(seen)}
                for name, seen in self.alarms.items()
            },
        }


def evaluate_face_mask(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    split: Annotated[str, typer.Option(help="val or test; test has patterns of its own.")] = "test",
    stills: Annotated[
        Path | None, typer.Option(help="Folder of portrait photos; those held back are looked at.")
    ] = None,
    weights: Annotated[Path, typer.Option(help="The network, .onnx.")] = SHIPPED_FACE_MASK_NET,
    every: Annotated[int, typer.Option(help="Take every n-th frame of the clips.", min=1)] = 30,
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores here.")] = None,
) -> None:
    """Score FaceMaskNet on drawn masks of every kind, and on faces that wear none."""
    cv2.setNumThreads(1)
    if split not in TEXTURES:
        raise UserError(f"There is no split '{split}'.", "Use val or test.")
    try:
        reader = FaceMaskReader(weights)
        faces = list(clip_faces(FaceClips(data), split, every, limit_clips))
        photos = list(portraits(stills, held_back=True)) if stills else []
    except (WeightsError, FaceDataError) as error:
        raise UserError(str(error)) from error
    measures = MaskMeasures()
    for number, face in enumerate(track(faces, "looking", transient=True)):
        score_masks(measures, reader, face, number, TEXTURES[split])
        score_alarms(measures, reader, face, number, "bare face")
    for number, face in enumerate(photos):
        score_alarms(measures, reader, face, number, "portrait")
    tree = {"split": split, "faces": len(faces), **measures.tree()}
    if json_file is not None:
        json_file.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    _tell(tree)


def score_masks(
    measures: MaskMeasures,
    reader: FaceMaskReader,
    face: BareFace,
    number: int,
    textures: Textures,
) -> None:
    """Put one mask of each kind on a face, find it, and note the overlaps."""
    shape = (face.image.shape[0], face.image.shape[1])
    for kind in KINDS:
        mask = FaceMask(kind, number, textures)
        image, _ = covered(face.image, mask.draw(face.mesh, face.image))
        found = find(reader, image, face)
        whole = mask.hole(face.mesh, shape)
        cloth = mask.hole(face.mesh, shape, straps=False)
        measures.overlaps.setdefault(kind, []).append(overlap(found, whole))
        measures.cloth.append(overlap(np.where(whole > cloth, np.uint8(0), found), cloth))


def score_alarms(
    measures: MaskMeasures, reader: FaceMaskReader, face: BareFace, number: int, name: str
) -> None:
    """Look at a face without a mask, as it is and with other things on it."""
    for what, image in _without_mask(face, number, name):
        crop = crop_of_mesh(face.mesh)
        share = worn_share(reader.read(crop.cut(image)), crop.points_in_crop(face.mesh))
        measures.alarms.setdefault(what, []).append(share >= ON)


def find(reader: FaceMaskReader, image: ImageU8, face: BareFace) -> MaskU8:
    """What the network takes for a mask (H,W), as the tracker asks it."""
    crop = crop_of_mesh(face.mesh)
    return outline_in_frame(reader.read(crop.cut(image)), crop, image, FACE_MASK)


def overlap(found: MaskU8, truth: MaskU8) -> float:
    """Intersection over union; 1 where both are empty."""
    either = int((found | truth).sum())
    return float((found & truth).sum() / either) if either else 1.0


def _without_mask(face: BareFace, number: int, name: str) -> Iterator[tuple[str, ImageU8]]:
    random = np.random.default_rng([SEED, number])
    yield name, face.image
    dressed: Sequence[tuple[str, Callable[[], ImageU8]]] = (
        ("hand", lambda: hand(face, random)[0]),
        ("glasses", lambda: put_glasses_on(face.image, face.mesh, random)),
        ("headset", lambda: _in_headset(face, number)),
    )
    for what, dress in dressed:
        yield what, dress()


def _in_headset(face: BareFace, number: int) -> ImageU8:
    return covered(face.image, ProceduralHeadset(None, number).draw(face.mesh, face.image))[0]


def _mean(values: Sequence[float] | Sequence[bool]) -> float:
    return float(np.mean(values)) if values else 0.0


def _tell(tree: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("overlap (IoU), straps included", f"{tree['iou']:.4f}")
    table.add_row("without straps", f"{tree['iou_without_straps']:.4f}")
    for kind, value in tree["iou_by_kind"].items():
        table.add_row(f"  {kind}", f"{value:.4f}")
    for what, alarm in tree["false_alarms"].items():
        table.add_row(f"mask reported: {what}", f"{alarm['share']:.2%} of {alarm['pictures']}")
    Console().print(table)
