from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import numpy as np
import pytest
from saved_profiles import write_schema1

from edge.profile import (
    DOCUMENT,
    MAX_STORED_PX,
    STORED_PX,
    EyeCalibration,
    Part,
    SessionProfile,
    load_profile,
    profile_path,
    save_profile,
)
from edge.profile.document import as_document, content_of
from edge.profile.parts import PARTS, part_class
from models.filling import Reference
from streaming.errors import UserError


def make_profile(views: int = 1, size_px: int = 64) -> SessionProfile:
    rng = np.random.default_rng(3)
    references = tuple(
        Reference(
            rng.integers(0, 256, (size_px, size_px, 3), np.uint8),
            rng.random((478, 3), np.float32) * size_px,
        )
        for _ in range(views)
    )
    eyes = (EyeCalibration(0.1, 0.3, (0.01, -0.02)), EyeCalibration(0.12, 0.33, (0.0, 0.0)))
    return SessionProfile(references, eyes, {"sharpness": 30.5})


def make_part() -> Part:
    rng = np.random.default_rng(5)
    return Part(
        {"focal_px": 812.5, "names": ["a", "b"], "none": None},
        {
            "gains": rng.random((3, 4), np.float32),
            "seen": np.array([True, False]),
            "one": np.float64(2.5) * np.ones(()),
            "counts": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        },
        {
            "room": rng.integers(0, 256, (30, 40, 3), np.uint8),
            "grey": rng.integers(0, 256, (8, 9), np.uint8),
            "cut_out": rng.integers(0, 256, (8, 9, 4), np.uint8),
        },
        version=3,
    )


def assert_same(ours: SessionProfile, theirs: SessionProfile) -> None:
    assert theirs.eyes == ours.eyes
    assert theirs.quality == ours.quality
    assert len(theirs.references) == len(ours.references)
    for our_view, their_view in zip(ours.references, theirs.references, strict=True):
        assert (our_view.image == their_view.image).all()
        assert (our_view.mesh == their_view.mesh).all()


def assert_same_part(ours: Part, theirs: Part) -> None:
    assert theirs.document == ours.document
    assert theirs.version == ours.version
    for our_named, their_named in ((ours.arrays, theirs.arrays), (ours.pictures, theirs.pictures)):
        assert their_named.keys() == our_named.keys()
        for name, array in our_named.items():
            assert their_named[name].dtype == array.dtype
            assert their_named[name].shape == array.shape
            assert (their_named[name] == array).all()


def edit_content(folder: Path, **changes: object) -> None:
    """Change the document as somebody would who knows how its checksum is made."""
    path = folder / DOCUMENT
    path.write_bytes(as_document({**content_of(path.read_bytes()), **changes}))


@pytest.mark.parametrize(("views", "size_px"), [(1, STORED_PX), (3, 64), (2, MAX_STORED_PX)])
def test_a_profile_comes_back_as_it_was_saved(tmp_path: Path, views: int, size_px: int) -> None:
    profile = make_profile(views, size_px)
    save_profile(profile, tmp_path / "anna")
    assert_same(profile, load_profile(tmp_path / "anna"))


def test_when_it_was_made_stays_when_it_is_changed(tmp_path: Path) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    first = load_profile(tmp_path / "anna")
    assert first.made.endswith("Z")
    made_before = dataclasses.replace(first, made="2025-01-02T03:04:05Z")
    save_profile(made_before, tmp_path / "anna")
    assert load_profile(tmp_path / "anna").made == "2025-01-02T03:04:05Z"


@pytest.mark.parametrize("name", PARTS)
def test_every_registered_part_has_a_field_and_a_class(name: str) -> None:
    assert getattr(make_profile(), name) is None
    assert callable(part_class(name).from_part)
    assert callable(part_class(name).to_part)


def test_a_part_of_a_newer_version_survives_loading_and_saving(tmp_path: Path) -> None:
    part = make_part()
    save_profile(dataclasses.replace(make_profile(), others={"dreams": part}), tmp_path / "anna")
    loaded = load_profile(tmp_path / "anna")
    assert_same_part(part, loaded.others["dreams"])
    save_profile(dataclasses.replace(loaded, quality={}), tmp_path / "anna")
    assert_same_part(part, load_profile(tmp_path / "anna").others["dreams"])


def test_files_that_did_not_change_are_not_written_again(tmp_path: Path) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    before = {path.name: path.stat().st_ino for path in (tmp_path / "anna").iterdir()}
    save_profile(
        dataclasses.replace(load_profile(tmp_path / "anna"), quality={}), tmp_path / "anna"
    )
    after = {path.name: path.stat().st_ino for path in (tmp_path / "anna").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {DOCUMENT}


@pytest.mark.parametrize(
    "part",
    [
        Part({"x": float("nan")}),
        Part(arrays={"x": np.array(["text"])}),
        Part(arrays={"x": np.array([{"a": 1}], dtype=object)}),
        Part(arrays={"../x": np.zeros(3)}),
        Part(pictures={"x": np.zeros((5000, 4, 3), np.uint8)}),
        Part(pictures={"x": np.zeros((4, 4, 2), np.uint8)}),
    ],
)
def test_what_cannot_be_stored_is_refused_and_the_old_profile_stays(
    tmp_path: Path, part: Part
) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    changed = dataclasses.replace(make_profile(2), others={"odd": part})
    with pytest.raises(ValueError, match=r"stored|name|compliant"):
        save_profile(changed, tmp_path / "anna")
    assert_same(make_profile(), load_profile(tmp_path / "anna"))


def test_only_the_owner_can_read_a_profile(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    folder.mkdir(mode=0o755)
    save_profile(make_profile(), folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_saving_again_replaces_the_profile_and_leaves_nothing_behind(tmp_path: Path) -> None:
    save_profile(make_profile(3), tmp_path / "anna")
    save_profile(make_profile(1), tmp_path / "anna")
    assert len(load_profile(tmp_path / "anna").references) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["anna"]
    assert len(list((tmp_path / "anna").iterdir())) == 3  # document, picture, mesh


def test_a_folder_with_other_files_is_not_taken_for_a_profile(tmp_path: Path) -> None:
    (tmp_path / "holidays.jpg").write_bytes(b"precious")
    with pytest.raises(UserError, match="holds other files"):
        save_profile(make_profile(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holidays.jpg"]


def test_a_profile_of_schema_1_is_read_and_becomes_schema_2(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    write_schema1(make_profile(2), folder)
    loaded = load_profile(folder)
    assert_same(make_profile(2), loaded)
    assert json.loads((folder / DOCUMENT).read_text())["schema"] == 1
    save_profile(loaded, folder)
    assert json.loads((folder / DOCUMENT).read_text())["schema"] == 2
    assert_same(make_profile(2), load_profile(folder))
    assert not list(folder.glob("reference_*"))


@pytest.mark.parametrize("name", ["reference_0.png", "reference_0.npz"])
def test_a_changed_file_of_schema_1_is_refused(tmp_path: Path, name: str) -> None:
    write_schema1(make_profile(), tmp_path / "anna")
    change_a_byte(tmp_path / "anna" / name)
    with pytest.raises(UserError, match="checksum"):
        load_profile(tmp_path / "anna")


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_reference_is_scaled_together_with_its_mesh() -> None:
    reference = make_profile(2, 256).reference(128)
    assert reference.image.shape == (128, 128, 3)
    assert reference.mesh == pytest.approx(make_profile(2, 256).references[0].mesh / 2)
    second = make_profile(2, 256).reference(128, index=1)
    assert second.mesh == pytest.approx(make_profile(2, 256).references[1].mesh / 2)


def test_a_missing_profile_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="calibrate-reference"):
        load_profile(tmp_path / "nobody")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="calibrate-reference"):
        load_profile(tmp_path / "empty")


@pytest.mark.parametrize("pattern", ["*.png", "*.npz", "profile.json"])
def test_a_changed_file_is_refused(tmp_path: Path, pattern: str) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    (path,) = (tmp_path / "anna").glob(pattern)
    if path.name == DOCUMENT:
        path.write_text(path.read_text().replace("30.5", "31.5"))
    else:
        change_a_byte(path)
    with pytest.raises(UserError, match="checksum"):
        load_profile(tmp_path / "anna")


def test_a_lost_file_is_told(tmp_path: Path) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    (path,) = (tmp_path / "anna").glob("*.npz")
    path.unlink()
    with pytest.raises(UserError, match=r"references\.[0-9a-f]{16}\.npz"):
        load_profile(tmp_path / "anna")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"parts": {}}, "references.*missing"),
        ({"eyes": []}, "damaged"),
        ({"eyes": [{"closed": 0, "open": 1, "rest": [0, 0], "version": 99}] * 2}, "version 99"),
        ({"quality": 3}, "damaged"),
        # These ended in a traceback: Python's integers know no bound, its floats do.
        ({"quality": {"sharpness": 10**400}}, "damaged: a number in it is too large.*Make it"),
        ({"eyes": [{"closed": 10**400, "open": 1, "rest": [0, 0]}] * 2}, "too large"),
        ({"files": {"../../.bashrc": {"sha256": "", "bytes": 1}}}, "bashrc"),
        ({"files": {}}, "missing"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    edit_content(tmp_path / "anna", **change)
    with pytest.raises(UserError, match=told):
        load_profile(tmp_path / "anna")


def test_a_number_beyond_all_bounds_in_schema_1_is_refused(tmp_path: Path) -> None:
    """It needs no checksum of its own: whoever edits it by hand can write 1e400."""
    write_schema1(make_profile(), tmp_path / "anna")
    document = tmp_path / "anna" / DOCUMENT
    tree = json.loads(document.read_text()) | {"quality": {"sharpness": 10**400}}
    document.write_text(json.dumps(tree))
    with pytest.raises(UserError, match=r"too large.*calibrate-reference"):
        load_profile(tmp_path / "anna")


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "[" * 100_000])
def test_a_damaged_document_is_refused(tmp_path: Path, text: str) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    (tmp_path / "anna" / DOCUMENT).write_text(text)
    with pytest.raises(UserError, match="calibrate-reference"):
        load_profile(tmp_path / "anna")


def test_a_profile_of_a_newer_schema_asks_for_an_update(tmp_path: Path) -> None:
    save_profile(make_profile(), tmp_path / "anna")
    (tmp_path / "anna" / DOCUMENT).write_text(json.dumps({"schema": 99}))
    with pytest.raises(UserError, match=r"schema 99.*Update"):
        load_profile(tmp_path / "anna")


def test_names_live_in_the_users_data_folder_and_paths_where_they_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert profile_path("anna") == tmp_path / "unvisor" / "profiles" / "anna"
    assert profile_path("./anna") == Path("anna")
