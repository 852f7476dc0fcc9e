"""Names of ImageNet's 1,000 classes, for checkpoints whose files do not say: plain text out of timm's own wheel."""

from __future__ import annotations

from functools import lru_cache

from ...core.sources import Source, Unreachable

SYNSETS = (
    "pypi://timm==1.0.31/timm/data/_info/imagenet_synsets.txt"
    "#70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"
)
LEMMAS = (
    "pypi://timm==1.0.31/timm/data/_info/imagenet_synset_to_lemma.txt"
    "#1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f"
)


@lru_cache(maxsize=1)
def imagenet_names() -> tuple[str, ...]:
    """The classes in the order of the usual 1,000 logits; empty where the wheel cannot be had."""
    try:
        synsets, lemmas = (Source.parse(text).fetch().read_text(encoding="utf-8") for text in (SYNSETS, LEMMAS))
    except Unreachable:
        return ()
    words = dict(line.split("\t", 1) for line in lemmas.splitlines() if "\t" in line)
    return tuple(words.get(name, name) for name in synsets.split())
