"""`unvisor pack-clips`: a folder of face clips as shards that travel to a training machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from streaming.errors import UserError
from training.clips.faces import CLIP_PX, FaceClips
from training.clips.licences import LicenceClass
from training.shards.layout import FRAME_FORMATS, ShardIndex
from training.shards.pack import pack_clips

MIB = 1 << 20


def pack_clips_command(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    out: Annotated[Path, typer.Option(help="Folder to write shards and shards.json into.")],
    frames: Annotated[
        str, typer.Option(help="video: as they are, any size; or webp, jpg, png per frame.")
    ] = "video",
    size_px: Annotated[
        int, typer.Option(min=32, max=CLIP_PX, help="Side of webp, jpg and png frames.")
    ] = CLIP_PX,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of webp and jpg.")] = 90,
    shard_mib: Annotated[float, typer.Option(min=0.01, help="Largest shard, MiB.")] = 20,
    split: Annotated[
        list[str] | None, typer.Option(help="Repeat for several; default: train and val.")
    ] = None,
    licence_class: LicenceClass = None,
    limit_clips: Annotated[
        int, typer.Option(min=0, help="At most so many clips per split; 0 = all.")
    ] = 0,
) -> None:
    """Pack face clips into tar archives that train without PyAV, streamed in order."""
    kind = next((known for known in FRAME_FORMATS if known == frames), None)
    if kind is None:
        raise UserError(f"There is no frame format '{frames}'.", f"Use {', '.join(FRAME_FORMATS)}.")
    with Progress(transient=True) as progress:
        bar = progress.add_task("packing", total=None)
        index = pack_clips(
            FaceClips(data),
            out,
            splits=split or ("train", "val"),
            frames=kind,
            size_px=size_px,
            quality=quality,
            shard_bytes=int(shard_mib * MIB),
            licence_classes=licence_class or (),
            limit_clips=limit_clips,
            on_clip=lambda segment: progress.update(bar, advance=1, description=segment),
        )
    _tell(index, out)


def _tell(index: ShardIndex, out: Path) -> None:
    console = Console(highlight=False)
    for split in dict.fromkeys(shard.split for shard in index.shards):
        shards = index.of_split(split)
        clips = [clip for shard in shards for clip in shard.clips]
        size = sum(shard.bytes for shard in shards) / MIB
        people = len({clip.identity for clip in clips})
        console.print(
            f"{split}: {len(clips)} clips, {people} people, {sum(c.frames for c in clips)} frames "
            f"in {len(shards)} shards, {size:.1f} MiB"
        )
        licences = Counter(clip.licence_class or "(none)" for clip in clips)
        console.print("  licence classes: " + ", ".join(f"{k} {n}" for k, n in licences.items()))
    console.print(f"{out / 'shards.json'} written; train with `unvisor train --data {out}`.")
