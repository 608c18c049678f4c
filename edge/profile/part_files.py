"""A part as files and back: PNG pictures, one NPZ of arrays, everything bounded when read.

Files are named by their content, so a file never changes under its name, and what did not change
need not be written again.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge.profile.parts import Array, Part

Files = dict[str, bytes]
Read = Callable[[str], bytes]  # content of a named file, its checksum already compared

FILE_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}(\.[a-z][a-z0-9_]{0,31})?\.[0-9a-f]{16}\.(png|npz)")
MAX_SIDE_PX = 4096
MAX_ARRAYS, MAX_PICTURES = 256, 256
MAX_ARRAY_BYTES = 64 << 20  # of one part, unpacked

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
DAMAGED = (  # what reading a foreign archive raises
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
)
_NUMBERS = "biuf"  # numpy's kinds: bool, signed, unsigned, float


def to_files(name: str, part: Part) -> tuple[dict[str, Any], Files]:
    """The part's entry in the profile's document, and its files.

    Raises:
        ValueError: a name, an array or a picture cannot be stored.
    """
    files: Files = {}
    check_name(name)
    arrays = None
    if part.arrays:
        arrays = _add(files, name, "npz", _npz(part.arrays))
    pictures = {}
    for key, image in part.pictures.items():
        pictures[check_name(key)] = _add(files, f"{name}.{key}", "png", _png(key, image))
    entry = {"version": part.version, "document": dict(part.document), "pictures": pictures}
    return {**entry, "arrays": arrays}, files


def from_files(entry: Mapping[str, Any], read: Read) -> Part:
    """Inverse of `to_files`.

    Raises:
        KeyError, TypeError, ValueError: the entry or a file does not fit.
    """
    document, version = entry["document"], entry["version"]
    if not isinstance(document, dict) or type(version) is not int:
        raise ValueError("a part without document or version")
    named = dict(entry["pictures"])
    if len(named) > MAX_PICTURES:
        raise ValueError(f"{len(named)} pictures in one part")
    pictures = {check_name(key): decode_png(read(file)) for key, file in named.items()}
    arrays = {} if entry["arrays"] is None else decode_npz(read(entry["arrays"]))
    return Part(document, arrays, pictures, version)


def check_name(name: str) -> str:
    """`name` itself; raises ValueError unless it is fit for a part, an array or a picture."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a part, an array or a picture")
    return name


def decode_png(content: bytes) -> NDArray[np.uint8]:
    """A PNG of 8 bits as (H,W,3) BGR, (H,W,4) BGRA or (H,W); its size is checked first.

    Raises:
        ValueError: another format, too large, or damaged.
    """
    if len(content) < 33 or not content.startswith(_PNG_START):
        raise ValueError("not a PNG picture")
    width, height, depth = struct.unpack(">IIB", content[16:25])
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and depth == 8):
        raise ValueError(f"a picture of {width}x{height} px and {depth} bits")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("a damaged PNG picture")
    return np.asarray(image, np.uint8)


def decode_npz(content: bytes) -> dict[str, Array]:
    """Named arrays of numbers from an uncompressed or deflated NPZ, never unpickled.

    Raises:
        ValueError: damaged, too large, or something other than numbers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            members = packed.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > MAX_ARRAYS or total > MAX_ARRAY_BYTES:
                raise ValueError(f"{len(members)} arrays of {total} bytes")
            arrays = {}
            for member in members:
                name = check_name(member.filename.removesuffix(".npy"))
                with packed.open(member) as file:  # reads no more than it was told
                    arrays[name] = _array(file.read(member.file_size))
            return arrays
    except DAMAGED as error:
        raise ValueError(f"damaged arrays ({error})") from error


def _array(content: bytes) -> Array:
    """One NPY file; the room that its header asks for must be what there is."""
    file = io.BytesIO(content)
    if npy.read_magic(file) != (1, 0):  # type: ignore[no-untyped-call]
        raise ValueError("an NPY file of another version")
    header = npy.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
    shape, is_fortran, dtype = header
    begin = file.tell()
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if dtype.kind not in _NUMBERS or count * dtype.itemsize != len(content) - begin:
        raise ValueError(f"an array {shape} of {dtype} in {len(content) - begin} bytes")
    values = np.frombuffer(content, dtype, offset=begin)
    return values.reshape(shape, order="F" if is_fortran else "C").copy()


def _npz(arrays: Mapping[str, Array]) -> bytes:
    for name, array in arrays.items():
        check_name(name)
        if np.asarray(array).dtype.kind not in _NUMBERS:
            raise ValueError(f"the array {name} of {np.asarray(array).dtype} cannot be stored")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(array) for name, array in arrays.items()})
    return buffer.getvalue()


def _png(name: str, image: NDArray[np.uint8]) -> bytes:
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    fits = fits and image.size > 0 and max(image.shape) <= MAX_SIDE_PX
    if not fits or image.dtype != np.uint8:
        raise ValueError(f"{name} of {image.shape} and {image.dtype} cannot be stored as PNG")
    is_encoded, buffer = cv2.imencode(".png", image)
    if not is_encoded:
        raise ValueError(f"{name} of shape {image.shape} cannot be stored as PNG")
    return buffer.tobytes()


def _add(files: Files, stem: str, suffix: str, content: bytes) -> str:
    name = f"{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
    files[name] = content
    return name
