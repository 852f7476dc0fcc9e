"""Where packages for a board's GPU come from. PyPI's are for servers, and what fits changes with each JetPack.

Kept as sentences, because a person reads them and then decides. All of it is what others have published: none of it was
tried by us.
"""

from __future__ import annotations

from .boards import Board
from .releases import Release

PARTS = ("torch", "torchvision", "onnxruntime-gpu", "bitsandbytes", "tensorrt")

_TENSORRT = (
    "TensorRT's Python module comes with apt of JetPack (python3-libnvinfer): make the environment with "
    "python -m venv --system-site-packages, so that it is seen."
)
_FIVE = (
    "JetPack 5's packages are for Python 3.8, and tsuite needs 3.10 or later: update the board to JetPack 6.2 or 7.2 "
    "(on a Xavier, which stays at 5, only the CPU is left)."
)
_SIX_0 = (
    "For JetPack 6.0 (CUDA 12.2) no source is known here: update to JetPack 6.2, which keeps Python 3.10, "
    "and take its packages."
)
_SIX = {
    "torch": "Take torch for JetPack 6 (Python 3.10, CUDA 12.6) from the jetson-ai-lab package index, jp6/cu126, "
    "or torch 2.5.0a0 from NVIDIA's download site, redist/jp/v61.",
    "torchvision": "Take torchvision from the source of your torch, the jetson-ai-lab package index, jp6/cu126, "
    "with pip install --no-deps.",
    "onnxruntime-gpu": "Take onnxruntime-gpu from the jetson-ai-lab package index, jp6/cu126: PyPI has none for "
    "Python 3.10 on aarch64.",
    "bitsandbytes": "Take bitsandbytes from the jetson-ai-lab package index, jp6/cu126, or build it with "
    "-DCOMPUTE_CAPABILITY=87; tsuite's own 4-bit weights need neither.",
}
_THOR = {
    "torch": "Take torch for Python 3.12 and CUDA 13.0 from the jetson-ai-lab package index, sbsa/cu130 (2.9.1), or "
    "2.11 or later from PyPI, whose builds name Thor's compute capability 11.0.",
    "torchvision": "Take torchvision from where torch came from, the jetson-ai-lab package index, sbsa/cu130, or PyPI, "
    "with pip install --no-deps.",
    "onnxruntime-gpu": "PyPI's onnxruntime-gpu for Python 3.12 on aarch64 is for servers: if it fails here, build it "
    "from source for compute capability 11.0.",
    "bitsandbytes": "PyPI's bitsandbytes on aarch64 is for servers: if it fails here, build it with "
    "-DCOMPUTE_CAPABILITY=110; tsuite's own 4-bit weights do without.",
}
_SEVEN_ORIN = {
    "torch": "Take torch for Python 3.12 from the jetson-ai-lab package index, sbsa/cu129 (2.8.0, which others ran on "
    "an AGX Orin), or build it with TORCH_CUDA_ARCH_LIST=8.7.",
    "torchvision": "Take torchvision from the source of your torch (the jetson-ai-lab package index, sbsa/cu129), "
    "with pip install --no-deps.",
    "onnxruntime-gpu": "Build onnxruntime-gpu from source for compute capability 8.7, or look at the community's "
    "Jetson-Orin-Wheels (1.28, one maintainer): PyPI's is for servers.",
    "bitsandbytes": "Build bitsandbytes with -DCOMPUTE_CAPABILITY=87, since PyPI's is for servers; tsuite's own 4-bit "
    "weights do without.",
}
_UNKNOWN = "Which JetPack this is could not be read, so look up its package source by: apt show nvidia-jetpack."

_CAUTIONS = {
    ("6", "torch"): (
        "torch 2.5.0a0 needs libcusparseLt, and pip counts it as older than 2.5: a package that asks for torch>=2.5 "
        "replaces it.",
        "Indexes go away at times: keep a copy of the wheels that work.",
    ),
    ("6", "bitsandbytes"): ("PyPI's wheel imports here and then fails at its first 4-bit kernel.",),
    ("7", "torch"): (
        "The sbsa wheels need libraries that they do not declare: NVPL and cuDSS.",
        "The index jp7/cu132 is missing or incomplete.",
    ),
    ("7", "onnxruntime-gpu"): ("The community's wheels ask for numpy below 2.",),
    ("", "torchvision"): ("PyPI's torchvision asks for one certain torch, and pip replaces the board's to please it.",),
}


def source(release: Release | None, part: str, *, board: Board | None = None) -> str:
    """One sentence: where `part` (of PARTS) for this JetPack comes from.

    board: tells Thor from Orin where a JetPack runs on both. ValueError for another part.
    """
    if part not in PARTS:
        raise ValueError(f"{part!r} is none of {PARTS}")
    if part == "tensorrt":
        return _TENSORRT
    if release is None:
        return _UNKNOWN
    main = release.jetpack.split(".")[0]
    if main == "5":
        return _FIVE
    if main == "6":
        return _SIX_0 if release.line == "6.0" else _SIX[part]
    thor = board.name == "thor" if board else release.line in ("7.0", "7.1")
    return (_THOR if thor else _SEVEN_ORIN)[part]


def cautions(release: Release | None, part: str) -> tuple[str, ...]:
    """Sentences on what goes wrong with `part` on this JetPack; empty where nothing is known to."""
    main = release.jetpack.split(".")[0] if release else ""
    return _CAUTIONS.get((main, part), ()) + _CAUTIONS.get(("", part), ())
