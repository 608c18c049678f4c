"""What HeadsetNet is trained to make small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.headset.contract import FACE, HEADSET, MAP_PX, MASK_PX
from models.headset.network import ANCHORS, LEAST_SPREAD, HeadsetOutputs
from training.scenes.worn_scenes import Scene

Float32Array = NDArray[np.float32]

OUTER_CORNERS = (RIGHT_EYE.outer_corner, LEFT_EYE.outer_corner)


@dataclass(frozen=True)
class HeadsetTargets:
    """A batch of labelled crops as tensors."""

    crop: Tensor  # (B,3,S,S) RGB uint8
    mask: Tensor  # (B,1,S/2,S/2) 0..1
    mesh: Tensor  # (B,478,3) shares of the crop's side; zeros where there is none
    has_mesh: Tensor  # (B,) bool
    presence: Tensor  # (B,2) 0 or 1
    heat: Tensor  # (B,2,M,M) 0..1, 1 at a head's centre
    geometry: Tensor  # (B,3,M,M) offset x, y in cells and log side, at the centre cells
    centres: Tensor  # (B,M,M) bool


def collate(scenes: Sequence[Scene]) -> HeadsetTargets:
    """Stack scenes; colours become RGB."""
    images = np.stack([scene.image[..., ::-1].transpose(2, 0, 1) for scene in scenes])
    meshes = [np.zeros((478, 3), np.float32) if s.mesh is None else s.mesh for s in scenes]
    maps = [_head_maps(scene) for scene in scenes]
    return HeadsetTargets(
        crop=torch.from_numpy(np.ascontiguousarray(images)),
        mask=torch.from_numpy(np.stack([coarse(scene.mask) for scene in scenes])[:, None]),
        mesh=torch.from_numpy(np.stack(meshes)),
        has_mesh=torch.tensor([scene.mesh is not None for scene in scenes]),
        presence=torch.tensor([_presence(scene) for scene in scenes], dtype=torch.float32),
        heat=torch.from_numpy(np.stack([m[0] for m in maps])),
        geometry=torch.from_numpy(np.stack([m[1] for m in maps])),
        centres=torch.from_numpy(np.stack([m[2] for m in maps])),
    )


def coarse(mask: Float32Array) -> Float32Array:
    """The share of headset (S,S) of a crop as HeadsetNet says it, (S/2,S/2)."""
    small = cv2.resize(mask, (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def headset_losses(said: HeadsetOutputs, wanted: HeadsetTargets) -> dict[str, Tensor]:
    """Each term, weighted; their sum is what the optimiser gets."""
    return {
        "mask": mask_loss(said.mask.float(), wanted.mask),
        "mesh": _mesh_loss(said, wanted),
        "presence": functional.binary_cross_entropy_with_logits(
            said.presence.float(), wanted.presence
        ),
        **_heads_losses(said.heads.float(), wanted),
    }


def mask_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy, heavier at the outline, and Dice, which small masks need."""
    near = functional.max_pool2d(wanted, 5, 1, 2) - (-functional.max_pool2d(-wanted, 5, 1, 2))
    weight = 1 + 4 * (near > 0.5)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, weight=weight)
    mask = torch.sigmoid(logits)
    overlap = 2 * (mask * wanted).sum((1, 2, 3)) + 20
    dice = 1 - overlap / (mask.sum((1, 2, 3)) + wanted.sum((1, 2, 3)) + 20)
    return 2 * entropy + dice.mean()


def _mesh_loss(said: HeadsetOutputs, wanted: HeadsetTargets) -> Tensor:
    """Error relative to the eye span, and the likelihood of it under the point's own spread."""
    if not bool(wanted.has_mesh.any()):
        return said.mesh.float().sum() * 0
    mesh, truth = said.mesh[wanted.has_mesh].float(), wanted.mesh[wanted.has_mesh]
    corners = truth[:, OUTER_CORNERS, :2]
    span = (corners[:, 0] - corners[:, 1]).norm(dim=1).clamp_min(0.1)[:, None]
    error = (mesh - truth)[..., :2].abs().sum(-1)
    depth = (mesh - truth)[..., 2].abs()
    spread = said.log_spread[wanted.has_mesh].float().exp() + LEAST_SPREAD
    # The spread learns from the error, not the error from the spread.
    likelihood = (error.detach() / (2 * spread) + spread.log()).mean()
    loss: Tensor = 10 * ((error + 0.3 * depth) / span).mean() + 0.1 * likelihood
    return loss + 5 * _anchor_loss(said, wanted, span)


def _anchor_loss(said: HeadsetOutputs, wanted: HeadsetTargets, span: Tensor) -> Tensor:
    """Error of the anchors that lie inside the crop: a heat map has no place for others."""
    truth = wanted.mesh[wanted.has_mesh][:, ANCHORS, :2]
    inside = ((truth > 0) & (truth < 1)).all(-1)
    off = (said.anchors[wanted.has_mesh].float() - truth).abs().sum(-1) / span
    loss: Tensor = (off * inside).mean()
    return loss


def _heads_losses(heads: Tensor, wanted: HeadsetTargets) -> dict[str, Tensor]:
    """Penalty-reduced focal loss on the centres (CenterNet, Zhou et al. 2019, eq. 1), and L1."""
    chance = torch.sigmoid(heads[:, :2]).clamp(1e-4, 1 - 1e-4)
    is_centre = wanted.heat >= 1
    hit = (1 - chance).pow(2) * chance.log() * is_centre
    miss = (1 - wanted.heat).pow(4) * chance.pow(2) * (1 - chance).log() * ~is_centre
    count = wanted.centres.sum().clamp_min(1)
    at_centres = wanted.centres[:, None].expand(-1, 3, -1, -1)
    off = (heads[:, 2:] - wanted.geometry).abs()[at_centres].sum() / count
    return {"centres": -(hit + miss).sum() / count, "places": 0.5 * off}


def _presence(scene: Scene) -> tuple[float, float]:
    """Whether the crop is about a face, and one with a headset: heads of a size to follow."""
    head = scene.main_head
    if head is None or scene.mesh is None:
        return 0.0, 0.0
    return 1.0, float(head.is_covered)


def _head_maps(
    scene: Scene,
) -> tuple[Float32Array, Float32Array, NDArray[np.bool_]]:
    heat = np.zeros((2, MAP_PX, MAP_PX), np.float32)
    geometry = np.zeros((3, MAP_PX, MAP_PX), np.float32)
    centres = np.zeros((MAP_PX, MAP_PX), bool)
    cells = np.arange(MAP_PX)
    for head in scene.heads:
        x, y = head.centre * MAP_PX
        column, row = (int(np.clip(v, 0, MAP_PX - 1)) for v in (x, y))
        width = max(0.6, 0.07 * head.side * MAP_PX)
        square = ((cells - row)[:, None] ** 2 + (cells - column)[None] ** 2) / (2 * width**2)
        bump = np.exp(-square).astype(np.float32)
        heat[FACE] = np.maximum(heat[FACE], bump)
        if head.is_covered:
            heat[HEADSET] = np.maximum(heat[HEADSET], bump)
        geometry[:, row, column] = x - column - 0.5, y - row - 0.5, np.log(max(head.side, 0.02))
        centres[row, column] = True
    return heat, geometry, centres
