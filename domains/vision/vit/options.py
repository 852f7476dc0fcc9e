"""What `run` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, option


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CoreRunOptions):
    """Options of `tsuite evaluate vision.vit`."""

    top: int = option(5, "labels to name for each picture")
    picture: bool = option(True, "save a PNG of pictures, predictions and attention maps")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.top > 0, f"--top must be at least 1, not {self.top}.")


@dataclass(frozen=True, kw_only=True)
class RunOptions(EvaluateOptions):
    """Options of `tsuite run vision.vit` and of a loaded model's call."""

    source: str = option("", "look at frames instead: a camera (0, /dev/video0), a film, rtsp://…, http://…")
    frames: int = option(0, "of --source: stop after so many (0: when it ends, or at Ctrl-C)")
    fps: float = option(0.0, "of --source: look at no more than so many frames a second (0: as they come)")
    reconnect: float = option(60.0, "of --source: seconds to go on trying a camera or stream that vanished")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("frames", "fps", "reconnect")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune vision.vit`."""

    size: str = option(
        "micro", "width and depth when training from scratch", choices=("micro", "tiny", "small", "base", "large")
    )
    validation: float = option(0.1, "share of the training pictures to choose the best by, where the data names none")
    augment: str = option(
        "auto",
        "changes to training pictures: symbols (turn, shift, scale, bend), photos (crop, flip, colour), auto: by size",
        choices=("auto", "none", "symbols", "photos"),
    )
    label_smoothing: float = option(0.1, "share of the target spread over all classes")
    mixup: float = option(0.0, "alpha of mixup's Beta distribution (0: pictures are not mixed)")
    layer_decay: float = option(1.0, "learning rate of each layer relative to the one above it")
    freeze: str = option(
        "none", "none, all (train the head alone, on cached features), or N: all but the last N blocks"
    )
    layers: int = option(0, "last layers whose features a new head sees (0: 4 of a frozen backbone, else 1)")
    lora: int = option(0, "rank of LoRA adapters on attention and MLP, merged at the end (0: none)")
    class_weights: str = option(
        "auto",
        "weigh rare classes up (auto: where one class is 1.5 times as common as another)",
        choices=("auto", "none", "balanced"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("validation", "label_smoothing"):
            value = getattr(self, name)
            self.require(0 <= value < 1, f"--{name.replace('_', '-')} is a share from 0 to 1, not {value}.")
        self.require(0 < self.layer_decay <= 1, f"--layer-decay lies in (0, 1], not at {self.layer_decay}.")
        self.require(min(self.mixup, self.lora, self.layers) >= 0, "--mixup, --lora and --layers cannot be negative.")
        self.require(
            self.freeze in ("none", "all") or self.freeze.isdigit(),
            f"--freeze takes none, all or a number of blocks, not {self.freeze!r}.",
        )
        self.require(not (self.lora and self.freeze != "none"), "--lora freezes what it must; leave --freeze out.")
        self.require(
            not (self.mixup and self.freeze == "all"), "--mixup needs pictures; a frozen backbone is fed features."
        )
