"""What a recipe says: frozen records, one per TOML section. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from models.inpainting.inputs_choice import InputsChoice

BEST_JPEG_QUALITY = 85  # of compressed references, whatever a recipe says


@dataclass(frozen=True)
class NetworkChoice:
    """`[network]`: which architecture, and its settings (checked by its own record)."""

    architecture: str = "evi-hrnet"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskChoice:
    """`[masks]`: which holes are cut; a stream keeps one kind."""

    # Kind of hole and its share of the streams; names of `training.masks.MASKS`.
    kinds: dict[str, Any] = field(default_factory=lambda: {"headset": 1.0})
    jitter_share: float = 0.4  # of headset-shaped holes with other proportions


@dataclass(frozen=True)
class Augmentation:
    """`[augmentation]`: what the field does to references, landmarks and cameras; per stream."""

    far_reference_share: float = 0.5  # reference from anywhere in the clip, else the frame before
    other_clip_share: float = 0.0  # reference from another clip of the person, where there is one
    blink_share: float = 0.0  # streams that are chosen to hold a blink
    mirror_share: float = 0.5
    tint_share: float = 0.3  # other exposure or white balance in the reference
    largest_tint: float = 0.06  # per channel
    landmark_noise_share: float = 0.0  # streams whose hidden points are moved
    landmark_noise: float = 0.02  # σ of that, in face widths
    landmark_dropout_share: float = 0.0  # streams whose hidden points do not follow the face
    jpeg_share: float = 0.0  # compressed reference
    lowest_jpeg_quality: int = 40
    blur_share: float = 0.0  # soft reference
    largest_blur_px: float = 1.0  # σ at 128 px


@dataclass(frozen=True)
class LossWeights:
    """`[losses]`: weight of each term; 0 leaves it out."""

    l1: float = 1.0  # mean over the hole
    l1_frame: float = 0.0  # mean over the whole composite
    decibel: float = 0.01  # mean squared error per frame in dB: what PSNR averages
    perceptual: float = 0.1
    style: float = 0.0
    adversarial: float = 0.002
    expression: float = 0.0  # of a frozen expression network's probabilities
    identity: float = 0.0  # of a frozen face descriptor
    temporal: float = 0.0  # change from frame to frame against the truth's
    structure: float = 0.0  # L1 over the hole of what CombCN draws at half size first


@dataclass(frozen=True)
class LossSettings:
    """`[loss_settings]`: what the terms look at."""

    region: Literal["hole", "frame"] = "hole"  # of perceptual and style: around the hole, or all
    composited: bool = True  # False: known pixels are judged as drawn, not as the camera's
    perceptual_share: float = 0.125  # of the frames, in turn: VGG16 costs more than it teaches
    first_layer: int = 0  # of VGG16's relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
    layers: int = 3  # how many of them, from the first one on
    normalised: bool = True  # False: VGG16 sees RGB in 0..1 as it is
    style_halving: bool = False  # True: each deeper layer's style counts half as much, from 1/2 on
    expression_share: float = 0.125  # of the frames, also for identity
    expression_network: Literal["face-api", "hsemotion"] = "face-api"


@dataclass(frozen=True)
class AdversaryChoice:
    """`[adversary]`: what judges the fills; `kind` is a name in `training.adversaries`."""

    kind: str = "patch"  # "none": no adversary
    from_step: int = 600  # earlier fills are not worth judging
    learning_rate_ratio: float = 0.5  # to the network's
    settings: dict[str, Any] = field(default_factory=dict)  # checked by the adversary's own record


@dataclass(frozen=True)
class Optimisation:
    """`[optimiser]`: Adam, its schedule, and the average that is shipped."""

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    amsgrad: bool = False
    weight_decay: float = 0.0
    warm_up_steps: int = 50
    schedule: Literal["cosine", "constant"] = "cosine"  # down to a twentieth at the run's end
    steps: int = 2000  # where the run, and with it the schedule, ends
    average_decay: float = 0.995  # of the exponential moving average
    largest_gradient: float = 1.0  # norm; larger ones are scaled down
    bfloat16: bool = True
    compile: bool = False  # torch.compile: minutes before the first step, quicker ones after it


@dataclass(frozen=True)
class Batch:
    """`[batch]`: clips side by side, cut into chunks that follow each other, states carried."""

    streams: int = 8  # in all processes together
    chunk_frames: int = 4  # of each stream, per backward pass
    stream_frames: int = 32  # how long a stream plays before another begins
    accumulate: int = 1  # backward passes per optimiser step
    plays: int = 1  # how often a prepared stream is played before it is dropped
    kept_streams: int = 64  # prepared streams to choose repetitions from, on the device
    window_parts: int = 0  # shards that streams are made from at a time, in order; 0 = all


@dataclass(frozen=True)
class Watching:
    """`[watching]`: how often a run is scored and saved."""

    validate_every_steps: int = 200
    save_every_minutes: float = 2.0
    val_frame_step: int = 2  # score every n-th frame of the val clips


@dataclass(frozen=True)
class Recipe:
    """One training; `name` is the file's."""

    name: str = ""
    about: str = ""
    scale: str = ""  # what was laid over it, of `training/recipes/scales`; "": nothing
    network: NetworkChoice = field(default_factory=NetworkChoice)
    inputs: InputsChoice = field(default_factory=InputsChoice)
    masks: MaskChoice = field(default_factory=MaskChoice)
    augmentation: Augmentation = field(default_factory=Augmentation)
    losses: LossWeights = field(default_factory=LossWeights)
    loss_settings: LossSettings = field(default_factory=LossSettings)
    adversary: AdversaryChoice = field(default_factory=AdversaryChoice)
    optimiser: Optimisation = field(default_factory=Optimisation)
    batch: Batch = field(default_factory=Batch)
    watching: Watching = field(default_factory=Watching)
