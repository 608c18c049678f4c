"""`unvisor quantize-headset`: the tracker's network as INT8, ranges of train, judged on val."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import onnx
import typer
from rich.console import Console

from models.headset.contract import CROP, HEADSET_NET
from models.headset.reader import SHIPPED_HEADSET_NET
from models.quantisation.feed_forward import quantise_feed_forward
from models.quantisation.online import Feed
from models.shipped import check_manifest, int8_path, manifest_path, sha256
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.clips.faces import FaceClips, FaceDataError
from training.quantisation.acceptance import accepted_as
from training.quantisation.scene_scores import SceneScores, read_scenes, score_scenes
from training.scenes.bare_faces import clip_faces
from training.scenes.headset_models import headset_models, split_names
from training.scenes.worn_scenes import Scene, WornScenes

TRAIN_EVERY, VAL_EVERY = 60, 12  # frames of the clips
TRAIN_SEED, VAL_SEED = 7, 8
LARGEST_IOU_LOSS, LARGEST_NME_GAIN = 0.003, 0.001


def quantize_headset(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    headsets: Annotated[
        Path | None, typer.Option(help="Folder of headset pictures with their manifest.")
    ] = None,
    weights: Annotated[Path, typer.Option(help="HeadsetNet, .onnx.")] = SHIPPED_HEADSET_NET,
    out: Annotated[Path | None, typer.Option(help="INT8 file; beside the network's.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Leave nodes with this word in their name in float; repeat it."),
    ] = None,
    scenes: Annotated[int, typer.Option(min=8, help="Made-up scenes, of train and of val.")] = 200,
    sensitivity: Annotated[
        bool, typer.Option(help="Say what each part gains if it stays in float; write nothing.")
    ] = False,
) -> None:
    """Write HeadsetNet as INT8 and say what that costs on made-up scenes of the val split."""
    console = Console(stderr=True, highlight=False)
    cv2.setNumThreads(1)
    try:
        source = check_manifest(weights, HEADSET_NET)
        console.print("making scenes …")
        train = _scenes(data, headsets, "train", scenes)
        val = _scenes(data, headsets, "val", scenes)
    except (WeightsError, FaceDataError) as error:
        raise UserError(str(error)) from error
    feeds = [_feed(scene) for scene in train]
    if sensitivity:
        _tell_sensitivity(console, weights, feeds, val)
        return
    target = int8_path(weights) if out is None else out
    with accepted_as(target) as made:
        spared = quantise_feed_forward(weights, made, feeds, keep or [])
        manifest = {
            **{key: source[key] for key in ("schema", "kind", "settings")},
            "sha256": sha256(made),
            "precision": "int8",
            "target": "cpu",
            "from_sha256": source["sha256"],
            "ranges": {"split": "train", "scenes": scenes},
            "float_nodes": spared,
        }
        _write(made, manifest)
        before, after = _judged(weights, made, val)
        _write(made, {**manifest, "validation": {"float": asdict(before), "int8": asdict(after)}})
        _tell(console, before, after)


def _scenes(data: Path, headsets: Path | None, split: str, count: int) -> list[Scene]:
    """Scenes of a split's people; the headsets are those of the train split in either."""
    every, seed = (TRAIN_EVERY, TRAIN_SEED) if split == "train" else (VAL_EVERY, VAL_SEED)
    faces = list(clip_faces(FaceClips(data), split, every))
    models = headset_models(headsets, split_names(headsets, "train") if headsets else [])
    made = WornScenes(faces, *models, seed=seed)
    return [made.scene() for _ in range(count)]


def _feed(scene: Scene) -> Feed:
    return {CROP: cv2.dnn.blobFromImage(scene.image, 1 / 255, swapRB=True).astype(np.float32)}


def _judged(weights: Path, target: Path, val: Sequence[Scene]) -> tuple[SceneScores, SceneScores]:
    original = read_scenes(weights, val)
    after = read_scenes(target, val)
    return score_scenes(original, original, val), score_scenes(after, original, val)


def _parts(weights: Path) -> list[str]:
    """Names of the network's parts, as they begin its convolutions' names."""
    names = [node.name for node in onnx.load(weights).graph.node if node.op_type == "Conv"]
    return list(dict.fromkeys("/".join(name.split("/")[:3]) + "/" for name in names))


def _tell_sensitivity(
    console: Console, weights: Path, feeds: Sequence[Feed], val: Sequence[Scene]
) -> None:
    with tempfile.TemporaryDirectory(prefix="unvisor-int8-") as folder:
        target = Path(folder) / "trial.onnx"
        original = json.loads(manifest_path(weights).read_text())
        for part in ["", *_parts(weights)]:
            quantise_feed_forward(weights, target, feeds, [part] if part else [])
            _write(target, {**original, "sha256": sha256(target)})
            _, score = _judged(weights, target, val)
            console.print(
                f"{part or 'nothing'} in float: mesh moved by {score.moved_px:.3f} px, "
                f"IoU {score.mask_iou:.4f}, error {score.mesh_nme:.2%}"
            )


def _write(target: Path, manifest: dict[str, object]) -> None:
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    manifest_path(target).write_text(text, encoding="utf-8")


def _tell(console: Console, before: SceneScores, after: SceneScores) -> None:
    console.print(
        f"{after.scenes} scenes of val: IoU {before.mask_iou:.4f} → {after.mask_iou:.4f}, error "
        f"{before.mesh_nme:.2%} → {after.mesh_nme:.2%}, mesh moved by {after.moved_px:.2f} px"
    )
    lost, gained = before.mask_iou - after.mask_iou, after.mesh_nme - before.mesh_nme
    # Scores of nothing are no numbers, and must not pass.
    if not (lost <= LARGEST_IOU_LOSS and gained <= LARGEST_NME_GAIN):
        raise UserError(
            "INT8 costs more than it may; it was not kept.",
            "Find the parts that it hurts with `--sensitivity` and leave them out with `--keep`.",
        )
