"""The peers of `export_speed.py`: transformers' models as optimum exports them, with random weights.

    python -m venv peers && peers/bin/pip install optimum-onnx==0.1.0 torch torchvision "transformers<4.58" onnxruntime
    peers/bin/python benchmarks/export_optimum.py --output optimum/

optimum-onnx 0.1.0 takes transformers only below 4.58, so it has an environment of its own, and what it makes is given
to the benchmark: `python benchmarks/export_speed.py --optimum optimum/`. Takes about five minutes and 2 GB of disk.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import onnxruntime
import optimum.version  # pyright: ignore[reportMissingImports]
import torch
import transformers
from optimum.exporters.onnx import onnx_export_from_model  # pyright: ignore[reportMissingImports]

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "smollm2": ("LlamaForCausalLM", "text-generation-with-past", {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192, "rope_theta": 100000.0,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    }),
    "molecules": ("GPT2LMHeadModel", "text-generation-with-past", {
        "vocab_size": 64, "n_positions": 102, "n_embd": 192, "n_layer": 6, "n_head": 6, "activation_function": "gelu",
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
    }),
    "patchtst": ("PatchTSTForPrediction", "time-series-forecasting", {
        "num_input_channels": 7, "context_length": 336, "prediction_length": 96, "patch_length": 16,
        "patch_stride": 8, "d_model": 128, "num_hidden_layers": 3, "num_attention_heads": 16, "ffn_dim": 256,
        "norm_type": "batchnorm", "scaling": "std", "loss": "mse",
    }),
    "decisions": ("DecisionTransformerModel", "reinforcement-learning", {
        "state_dim": 17, "act_dim": 6, "hidden_size": 128, "n_layer": 3, "n_head": 1, "n_inner": 512,
        "max_ep_len": 1000, "n_positions": 1024, "activation_function": "relu",
    }),
    "whisper": ("WhisperForConditionalGeneration", "automatic-speech-recognition-with-past", {
        "vocab_size": 51865, "d_model": 384, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 6,
        "decoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536,
    }),
    "wav2vec2": ("Wav2Vec2ForCTC", "automatic-speech-recognition", {"vocab_size": 32}),
}  # fmt: skip
"""The class, optimum's name for its task, and the settings where they are not the class's own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to be made")
    parser.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS))
    options = parser.parse_args()
    for name in options.only:
        kind, task, settings = MODELS[name]
        torch.manual_seed(0)
        model = getattr(transformers, kind)
        model = model(model.config_class(**settings)).eval()
        onnx_export_from_model(model, options.output / name, task=task, do_validation=False)
        model.save_pretrained(options.output / name)  # the same weights for ours
    versions = {
        "optimum": optimum.version.__version__, "optimum-onnx": _version("optimum-onnx"),
        "transformers": transformers.__version__, "torch": torch.__version__, "onnxruntime": onnxruntime.__version__,
    }  # fmt: skip
    (options.output / "versions.json").write_text(json.dumps(versions), encoding="utf-8")


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    main()
