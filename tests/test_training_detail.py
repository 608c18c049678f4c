"""Pairs of portraits, drawn: one person with two photos, one with a single one, one to train on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from conftest import MeshMaker
from typer.testing import CliRunner

from models import preparation
from models.filling import Reference
from streaming.errors import UserError
from training.detail.portraits import sitters
from training.evaluation.evaluate_command import evaluate
from training.scenes.bare_faces import is_held_back

PHOTO_PX = 128
NAMES = [f"p{index:03}" for index in range(64)]
TWICE, ONCE = [name for name in NAMES if is_held_back(name)][:2]
TRAINED = next(name for name in NAMES if not is_held_back(name))


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory, posed_mesh: MeshMaker) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    noise = np.random.default_rng(0).normal(0, 30, (43, 43, 3)).astype(np.float32)
    skin = np.clip(130 + cv2.resize(noise, (PHOTO_PX, PHOTO_PX)), 0, 255).astype(np.uint8)
    place = {"centre": (PHOTO_PX / 2, PHOTO_PX / 2), "span_px": PHOTO_PX / 3.2}
    face = Reference(skin, posed_mesh(**place))
    rows, meshes = [], []
    for index, (who, yaw) in enumerate(((TWICE, 0), (ONCE, 0), (TWICE, 8), (TRAINED, 4))):
        meshes.append(posed_mesh(yaw_deg=yaw, **place))
        rows.append({"name": f"f{index}", "identity": who, "file": f"f{index}.png"})
        photo = preparation.warp_reference(face, meshes[-1])
        cv2.imwrite(str(folder / f"f{index}.png"), photo)
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    shares = np.stack(meshes).astype(np.float32) / PHOTO_PX
    np.savez(folder / "landmarks.npz", names=np.array([row["name"] for row in rows]), lm=shares)
    return folder


def ran(*words: str | Path) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(evaluate)
    options = [*words, "--protocol", "detail", "--no-lpips", "--filler-size", "32"]
    result = CliRunner().invoke(app, [str(word) for word in options])
    return result.exit_code, str(result.exception or result.output)


def test_each_photo_of_a_person_is_restored_from_the_next(stills: Path) -> None:
    found = sitters(stills, "test")
    assert [(sitter.identity, len(sitter.photos)) for sitter in found] == [(TWICE, 2)]
    (first, known), (last, again) = found[0].pairs(64)
    assert first.image.shape == (64, 64, 3)
    assert np.array_equal(known.mesh, last.mesh)
    assert np.array_equal(again.image, first.image)


def test_the_command_scores_detail_against_plain_enlargement(stills: Path, tmp_path: Path) -> None:
    files = tmp_path / "detail.json", tmp_path / "detail.md"
    words = ("--json", files[0], "--markdown", files[1], "--strips", tmp_path / "strips")
    code, said = ran("--data", stills, *words)
    assert code == 0, said
    told = json.loads(files[0].read_text())
    assert (told["people"], told["frames"], told["size_px"]) == (1, 2, 32)
    assert told["photo_px"] == {"min": PHOTO_PX, "max": PHOTO_PX}
    sides = told["methods"]["warp-register"]
    assert set(sides) == {"64", "128"}
    for ways in sides.values():
        assert ways["detail"]["gradient_ratio"] > ways["bicubic"]["gradient_ratio"] + 0.2
        assert ways["detail"]["psnr_db"] > ways["bicubic"]["psnr_db"]
        assert ways["per_person"][TWICE]["detail"] == ways["detail"]
    assert "| warp-register to 128 px, detail |" in files[1].read_text()
    strip = cv2.imread(str(tmp_path / "strips" / f"{TWICE}-warp-register-128.png"))
    assert strip.shape == (2 * 128, 5 * 128, 3)


def test_what_cannot_be_scored_is_said(stills: Path) -> None:
    with pytest.raises(UserError, match="no split 'val'"):
        sitters(stills, "val")
    with pytest.raises(UserError, match="nobody with two portraits in split 'train'"):
        sitters(stills, "train")
    code, said = ran("--data", stills, "--method", "paste")
    assert code == 1
    assert "'paste' has no detail" in said
