"""Where packages come from: one sentence each, fit for the board."""

from __future__ import annotations

import re

import pytest
from tsuite.core.jetson.boards import BOARDS
from tsuite.core.jetson.packages import PARTS, cautions, source
from tsuite.core.jetson.releases import RELEASES, release_of


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("release", [*RELEASES, None], ids=lambda release: release.l4t if release else "none")
def test_one_sentence_without_hosts(release: object, part: str) -> None:
    for board in (*BOARDS.values(), None):
        said = (source(release, part, board=board), *cautions(release, part))  # type: ignore[arg-type]
        for sentence in said:
            assert sentence.endswith(".")
            assert not re.search(r"https?:|www\.|\.(com|io|org|dev)\b", sentence)
        assert not re.search(r"[a-z]\. [A-Z]", said[0])  # one


@pytest.mark.parametrize(
    ("l4t", "board", "part", "words"),
    [
        ("35.4.1", "agx-orin-64gb", "torch", "update the board to JetPack 6.2"),
        ("36.3.0", "agx-orin-64gb", "torch", "update to JetPack 6.2"),
        ("36.4.0", "orin-nx-16gb", "torch", "jp6/cu126, or torch 2.5.0a0"),
        ("36.4.3", "orin-nano-8gb", "onnxruntime-gpu", "jp6/cu126"),
        ("36.4.3", "orin-nano-8gb", "bitsandbytes", "-DCOMPUTE_CAPABILITY=87"),
        ("38.2.0", "thor", "torch", "sbsa/cu130"),
        ("39.2.0", "thor", "torch", "sbsa/cu130"),
        ("39.2.0", "agx-orin-64gb", "torch", "TORCH_CUDA_ARCH_LIST=8.7"),
        ("39.2.0", "agx-orin-64gb", "torchvision", "sbsa/cu129"),
        ("39.2.0", "agx-orin-64gb", "tensorrt", "--system-site-packages"),
    ],
)
def test_what_fits_the_board(l4t: str, board: str, part: str, words: str) -> None:
    assert words in source(release_of(l4t), part, board=BOARDS[board])


def test_cautions_belong_to_their_jetpack() -> None:
    six, seven = release_of("36.4.3"), release_of("39.2.0")
    assert any("libcusparseLt" in caution for caution in cautions(six, "torch"))
    assert any("NVPL" in caution for caution in cautions(seven, "torch"))
    assert any("replaces the board's" in caution for caution in cautions(six, "torchvision"))
    assert cautions(release_of("35.4.1"), "torch") == ()


def test_an_unknown_part() -> None:
    with pytest.raises(ValueError, match="'numpy' is none of"):
        source(release_of("36.4.3"), "numpy")
