"""What every family of language models says of itself: its shape, how to build it, and what others call its parts.

config.json (Hugging Face) --from_hf--> FamilyConfig --network()--> LanguageModel
GGUF metadata -----------from_gguf-->        |       --table(), gguf_table()--> names of weights
config.json, metadata  <--to_hf, to_gguf-----+
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from torch import Tensor

from ....core.errors import UserError
from ....core.language import LanguageModel
from ....core.layers import ACTIVATIONS
from ....core.weights import KeyTable, Lazy, Row
from .rope import Rope

if TYPE_CHECKING:
    from typing_extensions import Self

Held = TypeVar("Held")
HEAD, EMBEDDING = "head.projection.weight", "tokens.weight"
BLOCK = "decoder.blocks.{}"


@dataclass(frozen=True, kw_only=True)
class FamilyConfig(ABC):
    """The shape of a language model.

    vocabulary: rows of the embedding. dim: width. depth: layers. heads: of the queries. hidden: width of the
    feed-forward network. length: positions the model was made for. tied: the head's weights are the embedding's.
    """

    family: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    """`model_type` in a config.json of Hugging Face."""
    architectures: ClassVar[tuple[str, ...]]
    """`general.architecture` of a GGUF file."""
    prefix: ClassVar[str] = "model."
    """What Hugging Face puts before every key but the head's, and leaves out in files of the bare backbone."""

    vocabulary: int
    dim: int
    depth: int
    heads: int
    hidden: int
    length: int
    eps: float = 1e-5
    activation: str = "gelu_new"
    tied: bool = False

    def __post_init__(self) -> None:
        for name in ("vocabulary", "dim", "depth", "heads", "hidden", "length"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"The configuration sets {name} to {value!r}; it has to be a positive whole number.")
        if self.activation not in ACTIVATIONS:
            raise UserError(
                f"The configuration sets the activation {self.activation!r}, which is not supported.",
                f"Known are: {', '.join(ACTIVATIONS)}.",
            )

    def fields(self) -> dict[str, Any]:
        """The configuration as plain JSON values; `families.build(config.family, fields)` gives it back."""
        return dataclasses.asdict(self)

    @classmethod
    def restore(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse of `fields`. Raises UserError for a field that is missing or unknown."""
        values = dict(fields)
        if isinstance(values.get("rope"), Mapping):
            values["rope"] = Rope.restore(values["rope"])
        try:
            return cls(**values)
        except TypeError as error:
            raise UserError(f"The saved configuration is not one of {cls.family}: {error}.") from None

    @classmethod
    @abstractmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Self:
        """From a Hugging Face config.json. Raises UserError naming a setting that is not supported."""

    @abstractmethod
    def to_hf(self) -> dict[str, Any]:
        """The config.json that transformers 4 and 5 read."""

    @classmethod
    @abstractmethod
    def from_gguf(cls, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """From the metadata of a GGUF file and its tensors, which tell of biases and of a head of its own."""

    @abstractmethod
    def to_gguf(self) -> dict[str, int | float | str]:
        """Metadata by keys without the name of the architecture."""

    def gguf_sizes(self) -> dict[str, int | float | str]:
        """The part of `to_gguf` that all families share."""
        return {
            "context_length": self.length,
            "embedding_length": self.dim,
            "block_count": self.depth,
            "feed_forward_length": self.hidden,
            "attention.head_count": self.heads,
        }

    @abstractmethod
    def network(self) -> LanguageModel:
        """The network with fresh weights (or none at all inside `core.weights.without_weights`)."""

    @abstractmethod
    def table(self) -> KeyTable:
        """Hugging Face's names."""

    @abstractmethod
    def gguf_table(self, names: Collection[str] = ()) -> KeyTable:
        """GGUF's names; `names` are those of a file at hand, where there is more than one spelling."""

    @property
    def gguf_architecture(self) -> str:
        """What `general.architecture` is written as."""
        return self.architectures[0]

    def read_hf(self, theirs: Mapping[str, Tensor], *, source: str = "the checkpoint") -> dict[str, Tensor]:
        """Hugging Face's tensors under our names. Raises UserError for missing or unknown ones."""
        if not any(key.startswith(self.prefix) for key in theirs):
            theirs = {key if key.startswith("lm_head.") else self.prefix + key: value for key, value in theirs.items()}
        return self._tie(self.table().to_ours(theirs, source=source))

    def write_hf(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors under Hugging Face's names, a tied head left out."""
        return self.table().to_theirs(self._untie(ours))

    def read_gguf(self, theirs: Mapping[str, Tensor], *, source: str = "the file") -> Lazy:
        """GGUF's tensors (dequantised) under our names, read when they are asked for. Raises UserError for missing or
        unknown ones."""
        ours = self.gguf_table(theirs).lazily(theirs, source=source).makers
        return Lazy(self._tie(ours))

    def write_gguf(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors as GGUF has them, a tied head left out."""
        return self.gguf_table().to_theirs(self._untie(ours))

    def _tie(self, ours: dict[str, Held]) -> dict[str, Held]:
        return ours | {HEAD: ours[EMBEDDING]} if self.tied else ours

    def _untie(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: value for key, value in ours.items() if not (self.tied and key == HEAD)}


# -- tables -----------------------------------------------------------------------------------------------------------


def copies(ours: str, theirs: str, *kinds: str, transpose: bool = False) -> list[Row]:
    """Rows for the weight and the bias (or the `kinds`) of one place; only the weight is ever transposed."""
    return [
        Row(f"{ours}.{kind}", f"{theirs}.{kind}", transpose=transpose and kind == "weight")
        for kind in kinds or ("weight", "bias")
    ]


def fused(ours: str, theirs: str, parts: str, *kinds: str, sizes: tuple[int, ...] | None = None) -> list[Row]:
    """Rows for a projection that they keep in several `parts` (named by words, put in place of `{part}`)."""
    return [
        Row(f"{ours}.{kind}", tuple(f"{theirs.replace('{part}', part)}.{kind}" for part in parts.split()), sizes=sizes)
        for kind in kinds or ("weight", "bias")
    ]
