"""The shape of a Whisper model, read from whatever describes it: transformers' config.json, or the weights alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ....core.errors import UserError, near
from ....core.layers import ACTIVATIONS

SAMPLE_RATE = 16_000
HOP = 160
"""Samples from one mel frame to the next: 10 ms."""
SAMPLES_A_POSITION = 2 * HOP
"""Samples for each position of the encoder, whose second convolution halves the frames: 20 ms."""
HEAD_WIDTH = 64
"""Of all models OpenAI made; their own files do not say."""


@dataclass(frozen=True, kw_only=True)
class WhisperConfig:
    """Whisper (Radford et al. 2022, arXiv 2212.04356); the defaults are those of tiny.en.

    mels: bands of the front end. length: positions of the encoder (20 ms each: 1500 are 30 s). text_length: those of
    the decoder. alignment: (layer, head) of the cross-attentions that follow the sound, for the times of words; empty
    where nobody found them out.
    """

    vocabulary: int = 51864
    mels: int = 80
    dim: int = 384
    depth: int = 4
    heads: int = 6
    hidden: int = 1536
    text_depth: int = 4
    text_heads: int = 6
    text_hidden: int = 1536
    length: int = 1500
    text_length: int = 448
    activation: str = "gelu"
    multilingual: bool = False
    alignment: tuple[tuple[int, int], ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        counts = ("vocabulary", "mels", "dim", "depth", "heads", "hidden", "text_depth", "text_heads", "text_hidden")
        for name in (*counts, "length", "text_length"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise UserError(f"{name} of a Whisper model must be a number from 1 on, not {getattr(self, name)!r}.")
        for heads in (self.heads, self.text_heads):
            if self.dim % heads or self.dim % 2:
                raise UserError(f"A width of {self.dim} does not divide into {heads} heads.")
        if self.activation not in ACTIVATIONS:
            raise UserError(f"There is no activation {self.activation!r}.", near(self.activation, ACTIVATIONS))
        for layer, head in self.alignment:
            if not (0 <= layer < self.text_depth and 0 <= head < self.text_heads):
                raise UserError(f"The alignment head {head} of layer {layer} lies outside of the decoder.")

    @property
    def seconds(self) -> float:
        """The longest window that the encoder hears at once."""
        return self.length * SAMPLES_A_POSITION / SAMPLE_RATE

    @property
    def following(self) -> tuple[tuple[int, int], ...]:
        """(layer, head) of the cross-attentions that tell when a word was said: those that are known to follow the
        sound, else all of the later half of the layers."""
        later = range(self.text_depth // 2, self.text_depth)
        return self.alignment or tuple((layer, head) for layer in later for head in range(self.text_heads))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> WhisperConfig:
        """Back from `dataclasses.asdict`, also by way of JSON."""
        pairs = tuple((int(layer), int(head)) for layer, head in fields.get("alignment", ()))
        return cls(**{**fields, "alignment": pairs})

    @classmethod
    def from_hf(cls, config: Mapping[str, Any], generation: Mapping[str, Any]) -> WhisperConfig:
        """From config.json and generation_config.json (or {}) as transformers writes them.

        Raises UserError for another kind of model, or a field that is missing or of no use.
        """
        if config.get("model_type") != "whisper":
            raise UserError(f"This is a checkpoint of {config.get('model_type')!r}, not of Whisper.")
        if config.get("scale_embedding"):
            raise UserError("A Whisper model with scale_embedding is not supported.")
        names = {
            "vocabulary": "vocab_size", "mels": "num_mel_bins", "dim": "d_model", "depth": "encoder_layers",
            "heads": "encoder_attention_heads", "hidden": "encoder_ffn_dim", "text_depth": "decoder_layers",
            "text_heads": "decoder_attention_heads", "text_hidden": "decoder_ffn_dim",
            "length": "max_source_positions", "text_length": "max_target_positions",
        }  # fmt: skip
        missing = [theirs for theirs in names.values() if theirs not in config]
        if missing:
            raise UserError(f"The config.json of a Whisper model must have {missing[0]!r}.", near(missing[0], config))
        return cls(
            **{ours: config[theirs] for ours, theirs in names.items()},
            activation=config.get("activation_function", "gelu"),
            multilingual=bool(generation.get("is_multilingual", config["vocab_size"] >= 51865)),
            alignment=_pairs(generation.get("alignment_heads")),
            dropout=float(config.get("dropout", 0.0)),
        )

    @classmethod
    def from_tensors(
        cls,
        ours: Mapping[str, Tensor],
        *,
        heads: int | None = None,
        text_heads: int | None = None,
        alignment: Sequence[Any] | None = None,
    ) -> WhisperConfig:
        """From tensors under our names: everything but the heads can be counted. For files that say no more."""
        frames, tokens, texts = (ours[f"{key}.weight"] for key in ("frames.layers.0", "text.tokens", "text.positions"))
        dim, vocabulary = int(frames.shape[0]), int(tokens.shape[0])
        return cls(
            vocabulary=vocabulary,
            mels=int(frames.shape[1]),
            dim=dim,
            depth=_layers(ours, "encoder.blocks."),
            heads=heads or max(1, dim // HEAD_WIDTH),
            hidden=int(ours["encoder.blocks.0.mlp.up.weight"].shape[0]),
            text_depth=_layers(ours, "text.decoder.blocks."),
            text_heads=text_heads or max(1, dim // HEAD_WIDTH),
            text_hidden=int(ours["text.decoder.blocks.0.mlp.up.weight"].shape[0]),
            length=int(ours["positions"].shape[0]),
            text_length=int(texts.shape[0]),
            multilingual=vocabulary >= 51865,
            alignment=_pairs(alignment),
        )


def _layers(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(key[len(prefix) :].partition(".")[0]) for key in tensors if key.startswith(prefix))


def _pairs(heads: Sequence[Any] | None) -> tuple[tuple[int, int], ...]:
    try:
        return tuple((int(layer), int(head)) for layer, head in heads or ())
    except (TypeError, ValueError):
        raise UserError(f"alignment_heads must be pairs of layer and head, not {heads!r}.") from None
