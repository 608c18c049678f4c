"""The engine cache: plan and manifest per network, precision, TensorRT and GPU.

What is read is compared with its manifest byte for byte, and the manifest with what is wanted:
anything that does not fit is as good as missing. What is written appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.engine.plans.manifest import BadManifest, EngineIdentity, EngineManifest

log = logging.getLogger(__name__)

KEPT_PLANS = 12  # some networks at some precisions; older ones are of versions that are gone


PARTIAL = ".partial"  # suffix of what is being written
STALE_S = 3600.0  # no file takes this long to write
OPENING = ".opening"  # suffix of the mark that lies beside a plan while it is being opened


class Unusable(Exception):
    """There is no engine that fits; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class StoredPlan:
    """A plan that fits, and its manifest."""

    path: Path
    plan: bytes
    manifest: EngineManifest


def default_folder() -> Path:
    """`unvisor/engines` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "unvisor" / "engines"


class EngineStore:
    """A folder of engines; several processes may use it at once."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use `folder`, which need not exist, or the user's own."""
        self.folder = default_folder() if folder is None else folder
        self._sweep()

    def path(self, identity: EngineIdentity) -> Path:
        """Where the plan for an identity belongs."""
        return self.folder / f"{identity.network}-{identity.precision}-{identity.key}.plan"

    def load(self, wanted: EngineIdentity) -> StoredPlan:
        """The engine for exactly `wanted`.

        Raises:
            Unusable: it is missing, damaged, or was built for something else.
        """
        path = self.path(wanted)
        if not path.is_file():
            raise Unusable(self._why_missing(wanted))
        try:
            manifest = EngineManifest.from_json(path.with_suffix(".json").read_text())
            plan = path.read_bytes()
        except (OSError, UnicodeDecodeError, BadManifest) as error:
            raise Unusable(f"its manifest is unusable: {error}") from error
        differences = manifest.identity.differences(wanted)
        if differences:
            raise Unusable(f"it was built for {', '.join(differences)}")
        if len(plan) != manifest.plan_bytes:
            raise Unusable(f"the file has {len(plan)} bytes instead of {manifest.plan_bytes}")
        if hashlib.sha256(plan).hexdigest() != manifest.plan_sha256:
            raise Unusable("the file was changed since it was built")
        return StoredPlan(path, plan, manifest)

    def save(self, plan: bytes, manifest: EngineManifest) -> Path:
        """Write both, atomically, and forget the oldest of too many; raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.path(manifest.identity)
        # In this order: a plan without its manifest, or with another's, is unusable, never wrong.
        write_whole(path, plan)
        write_whole(path.with_suffix(".json"), manifest.to_json().encode())
        path.with_suffix(OPENING).unlink(missing_ok=True)  # a new engine gets a new chance
        self._forget_oldest()
        return path

    def forget(self, identity: EngineIdentity) -> None:
        """Remove an engine that turned out to be no good."""
        for suffix in (".plan", ".json", OPENING):
            self.path(identity).with_suffix(suffix).unlink(missing_ok=True)

    def has_any(self, network: str, precision: str) -> bool:
        """Whether an engine of a network was ever built here, for whatever TensorRT or GPU."""
        return any(
            (manifest.identity.network, manifest.identity.precision) == (network, precision)
            for manifest in self._manifests()
        )

    def read_timing_cache(self, identity: EngineIdentity) -> bytes:
        """Kernel times measured by earlier builds on this device; empty without."""
        try:
            return self._timing_cache(identity).read_bytes()
        except OSError:
            return b""

    def save_timing_cache(self, identity: EngineIdentity, content: bytes) -> None:
        """Keep kernel times for the next build; only worth a log line if that fails."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._timing_cache(identity), content)
        except OSError as error:
            log.warning("the timing cache cannot be kept in %s: %s", self.folder, error)

    def _sweep(self) -> None:
        """Remove what killed processes left half written; what is young may still be written."""
        for path in self.folder.glob(f".*{PARTIAL}"):
            try:
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()
            except OSError as error:  # gone meanwhile, or a read-only cache
                log.debug("%s stays: %s", path.name, error)

    def _timing_cache(self, identity: EngineIdentity) -> Path:
        words = (identity.flavour, identity.tensorrt, identity.gpu, identity.compute_capability)
        name = "-".join("".join(c if c.isalnum() else "_" for c in word) for word in words)
        return self.folder / f"timing-{name}.cache"

    def _manifests(self) -> Iterator[EngineManifest]:
        for path in sorted(self.folder.glob("*.json")):
            try:
                yield EngineManifest.from_json(path.read_text())
            except (OSError, UnicodeDecodeError, BadManifest):
                continue

    def _why_missing(self, wanted: EngineIdentity) -> str:
        """Whether one for something similar is here: users want to know what changed."""
        similar = [
            manifest.identity.differences(wanted)
            for manifest in self._manifests()
            if manifest.identity.network == wanted.network
            and manifest.identity.precision == wanted.precision
        ]
        if not similar:
            return "none was built yet"
        nearest = min(similar, key=lambda differences: len(differences))
        return f"it was built for {', '.join(nearest)}"

    def _forget_oldest(self) -> None:
        plans = sorted(self.folder.glob("*.plan"), key=lambda path: path.stat().st_mtime)
        for path in plans[:-KEPT_PLANS]:
            for suffix in (".plan", ".json", OPENING):
                path.with_suffix(suffix).unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, for its owner only; raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
