from __future__ import annotations

import json
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.profile import (
    DOCUMENT,
    STORED_PX,
    EyeCalibration,
    SessionProfile,
    load_profile,
    profile_path,
    save_profile,
)
from models.filling import Reference
from streaming.errors import UserError


def make_profile(views: int = 1) -> SessionProfile:
    rng = np.random.default_rng(3)
    references = tuple(
        Reference(
            rng.integers(0, 256, (STORED_PX, STORED_PX, 3), np.uint8),
            rng.random((478, 3), np.float32) * STORED_PX,
        )
        for _ in range(views)
    )
    eyes = (EyeCalibration(0.1, 0.3, (0.01, -0.02)), EyeCalibration(0.12, 0.33, (0.0, 0.0)))
    return SessionProfile(references, eyes, {"sharpness": 30.5})


@pytest.mark.parametrize("views", [1, 3])
def test_a_profile_comes_back_as_it_was_saved(tmp_path: Path, views: int) -> None:
    profile = make_profile(views)
    save_profile(profile, tmp_path / "anna")
    loaded = load_profile(tmp_path / "anna")
    assert loaded.eyes == profile.eyes
    assert loaded.quality == profile.quality
    assert len(loaded.references) == views
    for ours, theirs in zip(profile.references, loaded.references, strict=True):
        assert (ours.image == theirs.image).all()
        assert (ours.mesh == theirs.mesh).all()


def test_only_the_owner_can_read_a_profile(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    save_profile(make_profile(), folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_saving_again_replaces_the_profile_and_leaves_nothing_behind(tmp_path: Path) -> None:
    save_profile(make_profile(3), tmp_path / "anna")
    save_profile(make_profile(1), tmp_path / "anna")
    assert len(load_profile(tmp_path / "anna").references) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["anna"]


def test_the_reference_is_scaled_together_with_its_mesh() -> None:
    reference = make_profile().reference(128)
    assert reference.image.shape == (128, 128, 3)
    assert reference.mesh == pytest.approx(make_profile().references[0].mesh / 2)


def test_a_missing_profile_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="calibrate-reference"):
        load_profile(tmp_path / "nobody")


@pytest.mark.parametrize("name", ["reference_0.png", "reference_0.npz"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    content = bytearray((tmp_path / "anna" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "anna" / name).write_bytes(content)
    with pytest.raises(UserError, match="checksum"):
        load_profile(tmp_path / "anna")


def test_a_lost_file_is_told(tmp_path: Path) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    (tmp_path / "anna" / "reference_0.npz").unlink()
    with pytest.raises(UserError, match=r"reference_0\.npz"):
        load_profile(tmp_path / "anna")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 99}, "schema 99"),
        ({"references": []}, "no reference"),
        ({"eyes": []}, "incomplete"),
        ({"quality": 3}, "incomplete|quality"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    path = tmp_path / "anna" / DOCUMENT
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=told):
        load_profile(tmp_path / "anna")


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_damaged_document_is_refused(tmp_path: Path, text: str) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    (tmp_path / "anna" / DOCUMENT).write_text(text)
    with pytest.raises(UserError, match="calibrate-reference"):
        load_profile(tmp_path / "anna")


def test_names_live_in_the_users_data_folder_and_paths_where_they_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert profile_path("anna") == tmp_path / "unvisor" / "profiles" / "anna"
    assert profile_path("./anna") == Path("anna")


def test_the_document_cannot_name_files_outside_the_profile(tmp_path: Path) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    cv2.imwrite(str(tmp_path / "other.png"), np.zeros((4, 4, 3), np.uint8))
    path = tmp_path / "anna" / DOCUMENT
    path.write_text(path.read_text().replace('"image": "ref', '"image": "../ref'))
    assert load_profile(tmp_path / "anna").references  # the name alone counts
