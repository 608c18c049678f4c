"""Exported profiles as an attacker would make them."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_profiles import OLD, small_profile

from calibration.profiles.transfer import exported, imported
from edge.profile import DOCUMENT
from edge.profile.archive import unpack
from edge.profile.document import as_document, content_of
from edge.profile.part_files import decode_npz, decode_png
from streaming.errors import UserError

GOOD = exported(small_profile(OLD), None)


def taken(content: bytes) -> None:
    imported(content, lambda: "no passphrase")


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_the_untouched_export_is_taken() -> None:
    assert imported(GOOD, lambda: "").quality == {"sharpness": OLD}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_byte_can_change_so_that_another_profile_is_taken(data: st.DataObject) -> None:
    """A changed byte is refused, or is one that says nothing (a date in the archive, say)."""
    changed = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(GOOD) - 1))] ^= data.draw(st.integers(1, 255))
    refused_or_same(bytes(changed))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=400), cut=st.integers(0, len(GOOD)), at_end=st.booleans())
def test_rubbish_and_torn_files_are_refused(content: bytes, cut: int, at_end: bool) -> None:
    with pytest.raises(UserError, match="cannot be imported"):
        taken(content)
    if cut < len(GOOD):
        refused_or_same(GOOD[:cut] + content if at_end else content[:20] + GOOD[cut + 20 :])


NAMES = st.one_of(
    st.sampled_from(
        ["../evil.png", "/etc/passwd", "..\\evil.png", "C:\\evil.png", "a/b.png", "", ".", "\x00"]
    ),
    st.text(max_size=40),
)


@settings(max_examples=60, deadline=None)
@given(name=NAMES, in_document=st.booleans(), in_place=st.booleans())
def test_names_that_lead_elsewhere_are_refused(
    name: str, in_document: bool, in_place: bool
) -> None:
    members = members_of(GOOD)
    victim = next(key for key in members if key.endswith(".png"))
    if in_document:
        content = content_of(members[DOCUMENT])
        text = json.dumps(content).replace(json.dumps(victim), json.dumps(name))
        members[DOCUMENT] = as_document(json.loads(text))
    listed = [
        (name if key == victim and in_place else key, value) for key, value in members.items()
    ]
    if not in_place:
        listed.append((name, b"extra"))
    try:
        hostile = packed(listed)
    except (ValueError, IndexError):
        return  # Python's own ZIP writer will not write such a name
    with pytest.raises(UserError, match="cannot be imported"):
        taken(hostile)


def test_a_file_twice_is_refused() -> None:
    members = list(members_of(GOOD).items())
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = packed([*members, members[1]])
    with pytest.raises(UserError, match="twice"):
        taken(twice)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused_before_they_unpack(compression: int) -> None:
    bomb = packed([(DOCUMENT, bytes(4 << 20))], compression)
    assert peak_mib(lambda: refused(bomb, "compressed")) < 1


def test_members_that_overlap_cannot_grow_beyond_the_file() -> None:
    """Many directory entries that point to the same bytes."""
    one = packed([("a" * 8, bytes(1 << 20))])
    local, directory = one[: one.index(b"PK\x01\x02")], one[one.index(b"PK\x01\x02") :]
    entry = directory[: directory.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"a" * 8, b"%08d" % i) for i in range(400))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 400, 400, len(entries), len(local), 0)
    bomb = local + entries + end
    assert peak_mib(lambda: refused(bomb, "cannot be imported")) < 8


@pytest.mark.parametrize("size", [30_000, 1 << 31])
def test_a_picture_that_promises_much_is_refused_before_it_is_decoded(size: int) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, b"IDAT" + body, b"IEND")
    )
    with pytest.raises(ValueError, match="px"):
        decode_png(bomb)


def test_arrays_that_unpack_to_much_are_refused_before_they_do() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, mesh=np.zeros((100 << 20,), np.uint8))
    assert len(buffer.getvalue()) < 1 << 20

    def refuse() -> None:
        with pytest.raises(ValueError, match="arrays of"):
            decode_npz(buffer.getvalue())

    assert peak_mib(refuse) < 4


def test_an_archive_that_lies_about_an_arrays_size_is_not_unpacked_beyond_it() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, mesh=np.zeros((100 << 20,), np.uint8))
    content = buffer.getvalue()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        true_size = archive.infolist()[0].file_size
    lie = content.replace(struct.pack("<I", true_size), struct.pack("<I", 2000))
    assert lie != content

    def refuse() -> None:
        with pytest.raises(ValueError, match="array"):
            decode_npz(lie)

    assert peak_mib(refuse) < 4


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_hostile_array_headers_are_refused_or_read_as_numbers(data: st.DataObject) -> None:
    shapes = ["(3,)", "(1000000000000,)", "(-1,)", "(2, 0)", "()", "3", "(1e9,)"]
    shape = data.draw(st.sampled_from(shapes))
    kind = data.draw(st.sampled_from(["'<f4'", "'|O'", "'<U9'", "[('a', '<f4')]", "'|V4'", "x"]))
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    content = packed([("mesh.npy", header + data.draw(st.binary(max_size=24)))])
    try:
        arrays = decode_npz(content)
    except ValueError:
        return
    assert arrays["mesh"].dtype.kind == "f"
    assert arrays["mesh"].nbytes <= 24


@settings(max_examples=100, deadline=None)
@given(
    tree=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["minor", "made", "eyes", "quality", "parts", "files", "references", "document"]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_documents_of_any_shape_are_refused(tree: object) -> None:
    document = json.dumps({"schema": 2, "sha256": "", "content": tree}).encode()
    refused(packed([(DOCUMENT, document)]), "cannot be imported")
    if isinstance(tree, dict):
        try:
            document = as_document(tree)  # with the right checksum
        except ValueError:
            return  # JSON has no NaN
        refused(packed([(DOCUMENT, document)]), "cannot be imported")


def test_a_number_beyond_all_bounds_is_refused() -> None:
    """It ended in a traceback."""
    members = members_of(GOOD)
    content = content_of(members[DOCUMENT]) | {"quality": {"sharpness": 10**400}}
    members[DOCUMENT] = as_document(content)
    refused(packed(list(members.items())), "cannot be imported: a number in it is too large")


def test_nothing_is_written_while_a_hostile_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    members = members_of(GOOD)
    hostile = packed([*members.items(), ("../outside.png", b"x"), ("inside.png", b"x")])
    refused(hostile, "cannot be imported")
    assert os.listdir(tmp_path) == []


def test_an_archive_with_just_what_it_names_is_required() -> None:
    members = members_of(GOOD)
    missing = dict(members)
    missing.pop(next(key for key in members if key.endswith(".png")))
    with pytest.raises(ValueError, match="just the files"):
        unpack(packed(list(missing.items())))


def refused_or_same(content: bytes) -> None:
    try:
        made = imported(content, lambda: "")
    except UserError as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert "cannot be imported" in told
        return
    good = small_profile(OLD)
    assert made.quality == good.quality
    for ours, theirs in zip(good.references, made.references, strict=True):
        assert (ours.image == theirs.image).all()
        assert (ours.mesh == theirs.mesh).all()


def refused(content: bytes, told: str) -> None:
    with pytest.raises(UserError, match=told):
        taken(content)


def peak_mib(act: object) -> float:
    tracemalloc.start()
    try:
        act()  # type: ignore[operator]
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
