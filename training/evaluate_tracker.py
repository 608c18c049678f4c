"""`unvisor evaluate-tracker`: the tracker on photos of real headsets, and its false alarms."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from edge.head_search import search
from edge.headset_tracker import HeadsetTracker
from edge.records import Capture, FaceTrack
from models.headset.reader import HeadsetReader
from models.weights_error import WeightsError
from streaming.errors import UserError
from streaming.records import Float32Array, Frame, ImageU8
from training.clips.faces import FaceClips
from training.reports import scores as score_report
from training.scenes.bare_faces import BareFace, clip_faces, portraits
from training.scenes.face_props import put_glasses_on

OUTLINES = Path(__file__).parent / "worn_outlines.json"
MAX_SIDE_PX = 1280  # as camera frames are reduced on arrival
FRAME_NS = 40_000_000
LOOKS = 12  # frames of one still picture: what is reported has settled by then
FOUND_IOU = 0.3  # below this the tracker saw something else than the headset
TILE_PX = 320  # of the contact sheet
TEST_EVERY = 10  # frames of the test clips that false alarms are counted on


@dataclass(frozen=True)
class PhotoScore:
    """One photo of a person wearing a headset."""

    name: str
    iou: float  # of the body's outline, straps left out of the account
    iou_with_straps: float

    @property
    def found(self) -> bool:
        """Whether the tracker reported this headset."""
        return self.iou >= FOUND_IOU


def evaluate_tracker(
    photos: Annotated[
        Path | None, typer.Option(help="Folder of the photos that worn_outlines.json names.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of face clips: bare faces.")] = None,
    stills: Annotated[Path | None, typer.Option(help="Folder of portrait photos.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet of the photos (PNG).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all scores.")] = None,
) -> None:
    """Score the headset tracker on real photos and count headsets reported on bare faces."""
    cv2.setNumThreads(1)
    try:
        reader = HeadsetReader()
    except WeightsError as error:
        raise UserError(str(error)) from error
    document: dict[str, Any] = {"time_ms": times(reader)}
    if photos is not None:
        scores, tiles = photo_scores(reader, photos)
        document["photos"] = _photo_document(scores)
        if sheet is not None:
            score_report.write_picture(sheet, contact_sheet(tiles))
    if data is not None:
        faces = list(clip_faces(FaceClips(data), "test", TEST_EVERY))
        faces += list(portraits(stills, held_back=True)) if stills else []
        document["false_alarms"] = false_alarms(reader, faces)
    Console().print(_table(document))
    if json_file is not None:
        score_report.write_json(json_file, document)


def photo_scores(reader: HeadsetReader, folder: Path) -> tuple[list[PhotoScore], list[ImageU8]]:
    """Scores of every photo with a hand-drawn outline, and pictures of both outlines.

    Raises:
        UserError: a photo is missing.
    """
    scores, tiles = [], []
    for name, drawn in json.loads(OUTLINES.read_text(encoding="utf-8"))["photos"].items():
        image = cv2.imread(str(folder / name))
        if image is None:
            raise UserError(f"{folder / name} is missing or no picture.", "Correct --photos.")
        picture, scale = _reduced(np.asarray(image, np.uint8))
        track = settled_track(reader, picture)
        found = np.zeros(picture.shape[:2], np.uint8) if track is None else track.mask
        body = _filled([drawn["body"]], scale, found.shape)
        straps = _filled(drawn["straps"], scale, found.shape)
        counted = np.asarray(straps == 0, np.uint8)
        whole = _iou(found, body | straps)
        scores.append(PhotoScore(name, _iou(found & counted, body & counted), whole))
        tiles.append(_tile(picture, found, body, track))
    return scores, tiles


def settled_track(reader: HeadsetReader, image: ImageU8) -> FaceTrack | None:
    """What a tracker that knows no wearer says of a still picture."""
    tracker = HeadsetTracker(128, reader, None)
    track = None
    for index in range(LOOKS):
        track = tracker.track(Capture(Frame(index, index * FRAME_NS, image)))
    return track


def false_alarms(reader: HeadsetReader, faces: Sequence[BareFace]) -> dict[str, dict[str, float]]:
    """Share of bare faces on which a headset is reported: as they are, and with drawn glasses."""
    random = np.random.default_rng(0)

    def with_glasses(face: BareFace) -> ImageU8:
        return put_glasses_on(face.image, face.mesh, random)

    kinds: dict[str, Callable[[BareFace], ImageU8]] = {
        "bare": lambda face: face.image,
        "glasses": with_glasses,
    }
    return {name: _alarms(reader, (view(face) for face in faces)) for name, view in kinds.items()}


def times(reader: HeadsetReader) -> dict[str, float]:
    """Median milliseconds of a close look and of a search of a 1280 x 720 frame, one core."""
    image = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    crop = np.ascontiguousarray(image[:192, :192])
    return {
        "look": _median_ms(lambda: reader.read(crop)),
        "search": _median_ms(lambda: search(reader, image)),
    }


def contact_sheet(tiles: Sequence[ImageU8]) -> ImageU8:
    """Tiles in rows of four."""
    blank = np.zeros_like(tiles[0])
    padded = [*tiles, *[blank] * (-len(tiles) % 4)]
    return np.vstack([np.hstack(padded[i : i + 4]) for i in range(0, len(padded), 4)])


def _alarms(reader: HeadsetReader, images: Iterable[ImageU8]) -> dict[str, float]:
    tracks = [settled_track(reader, image) for image in images]
    found = [track for track in tracks if track is not None]
    alarms = sum(bool(track.mask.any()) for track in found)
    return {
        "pictures": len(tracks),
        "faces_found": len(found) / max(len(tracks), 1),
        "headset_reported": alarms / max(len(tracks), 1),
    }


def _photo_document(scores: Sequence[PhotoScore]) -> dict[str, Any]:
    return {
        "found": sum(score.found for score in scores),
        "of": len(scores),
        "mean_iou": float(np.mean([score.iou for score in scores])),
        "mean_iou_with_straps": float(np.mean([score.iou_with_straps for score in scores])),
        "iou": {score.name: score.iou for score in scores},
    }


def _table(document: dict[str, Any]) -> Table:
    table = Table(title="headset tracker", show_header=False)
    for name, value in document["time_ms"].items():
        table.add_row(f"{name}, ms on one core", f"{value:.1f}")
    photos = document.get("photos")
    if photos:
        table.add_row("photos: headsets found", f"{photos['found']} of {photos['of']}")
        table.add_row("photos: mean IoU", f"{photos['mean_iou']:.3f}")
        for name, value in photos["iou"].items():
            table.add_row(f"  {name}", f"{value:.3f}")
    for kind, counts in document.get("false_alarms", {}).items():
        table.add_row(
            f"headset reported, {kind} ({counts['pictures']:.0f} pictures)",
            f"{counts['headset_reported']:.2%}",
        )
    return table


def _reduced(image: ImageU8) -> tuple[ImageU8, float]:
    scale = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _filled(
    outlines: Sequence[Sequence[Sequence[float]]], scale: float, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    mask = np.zeros(shape[:2], np.uint8)
    for outline in outlines:
        points = np.round(np.array(outline, np.float64) * scale).astype(np.int32)
        cv2.fillPoly(mask, [points], (1.0,))
    return mask


def _iou(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float((one & other).sum() / max(int((one | other).sum()), 1))


def _tile(
    picture: ImageU8, found: NDArray[np.uint8], body: NDArray[np.uint8], track: FaceTrack | None
) -> ImageU8:
    """The head's surroundings with both outlines (drawn by hand: green) and the mesh."""
    shown = picture.copy()
    for mask, colour in ((body, (0, 255, 0)), (found, (0, 0, 255))):
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, outlines, -1, colour, max(1, picture.shape[0] // 400))
    for x, y in _points(track):
        cv2.circle(shown, (int(x), int(y)), 1, (255, 255, 0), -1)
    rows, columns = np.nonzero(body)
    reach = 8 + int(1.6 * max(float(np.ptp(rows)), float(np.ptp(columns))))
    y, x = int(rows.mean()), int(columns.mean())
    part = shown[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]
    return np.asarray(cv2.resize(part, (TILE_PX, TILE_PX)), np.uint8)


def _points(track: FaceTrack | None) -> Float32Array:
    return np.zeros((0, 2), np.float32) if track is None else track.mesh[::4, :2]


def _median_ms(action: Callable[[], object], repeats: int = 30) -> float:
    spent = []
    for _ in range(repeats):
        started_ns = time.perf_counter_ns()
        action()
        spent.append((time.perf_counter_ns() - started_ns) / 1e6)
    return float(np.median(spent))
