"""The contestants of `export_speed.py`: of every architecture our graph and its peers', holding the same weights.

A row is (its name, the contestant that the others are divided by, the contestants by name). What a contestant gives is
an array, equal in all of a row but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
import torchaudio
from torch import Tensor, nn
from tsuite.core.conformer import Conformer
from tsuite.core.engines.onnxruntime import SLOW
from tsuite.core.export.graph import Graph, Method, OfBatch, write_onnx
from tsuite.core.export.narrow import narrow
from tsuite.core.export.steps import Step, decoder_graph, language_graphs
from tsuite.core.language import LanguageModel
from tsuite.core.masks import padding_mask
from tsuite.core.pretrained import Located, read_foreign_tensors, read_json
from tsuite.core.weights import load_into
from tsuite.domains.audio import torchaudio_conformer
from tsuite.domains.audio.asr.exported import graphs as recogniser_graphs
from tsuite.domains.audio.tokenizer import Labels
from tsuite.domains.audio.wav2vec2 import pretrained as wav2vec2_there
from tsuite.domains.audio.whisper import Whisper, WhisperConfig
from tsuite.domains.audio.whisper import exported as whispers
from tsuite.domains.audio.whisper import tables as whisper_there
from tsuite.domains.control.decision_transformer import transformers as decisions_there
from tsuite.domains.molecules.smiles_gpt.config import SmilesGPTConfig
from tsuite.domains.molecules.smiles_gpt.exported import graphs as molecule_graphs
from tsuite.domains.molecules.smiles_gpt.model import SmilesGPT
from tsuite.domains.text import families
from tsuite.domains.timeseries.patchtst import transformers as patchtst_there
from tsuite.domains.timeseries.windows import batch_of_values
from tsuite.domains.vision.vit import ViT, ViTConfig
from tsuite.domains.vision.vit.config import SIZES
from tsuite.domains.vision.vit.families import TIMM

Work = Callable[[], Any]
Row = tuple[str, str, dict[str, Work]]
PEER = "optimum"


class Session:
    """A graph in ONNX Runtime, as we run it and without those of its optimisations; the peers' alike."""

    def __init__(self, path: Path, without: Sequence[str] = ()) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        # Threads that wait for work in a loop would otherwise go on doing so while the next contestant runs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=[*SLOW, *without]
        )
        self.inputs = [one.name for one in self.session.get_inputs()]

    def run(self, given: Mapping[str, Any]) -> list[Any]:
        """What it gives for these tensors, of which it takes those that it knows."""
        arrays = {name: np.ascontiguousarray(given[name]) for name in self.inputs}
        return list(self.session.run(None, arrays))

    def with_(self, given: Mapping[str, Any], output: str | int = 0) -> Work:
        """The same as work; the output of that name or number counts."""
        arrays = {name: np.ascontiguousarray(given[name]) for name in self.inputs}
        names = [one.name for one in self.session.get_outputs()]
        number = names.index(output) if isinstance(output, str) else output
        return lambda: self.session.run(None, arrays)[number]


def ours(graph: Graph, folder: Path, *, int8: bool = False) -> Session:
    """Our export of a graph."""
    path = folder / f"{graph.name}.onnx"
    write_onnx(graph, path)
    if int8:
        narrow(path, "int8")
    return Session(path)


def eager(network: nn.Module, *given: Tensor) -> Work:
    def run() -> Any:
        with torch.inference_mode():
            return network(*given).numpy()

    return run


def vit(folder: Path) -> Iterator[Row]:
    """ViT-S/16 with timm's random weights."""
    torch.manual_seed(0)
    theirs = timm.create_model("vit_small_patch16_224", pretrained=False).eval()
    network = ViT(ViTConfig(**SIZES["small"])).eval()  # type: ignore[arg-type]
    load_into(network, TIMM.to_ours(theirs.state_dict()))
    pixels = torch.randn(8, 3, 224, 224)
    graph = Graph(name="vit", owner="network", method="look", module=Method(network, "look"),
                  inputs={"pixels": pixels[:2]}, outputs=("logits", "features", "texture"),
                  free={"pixels": (0,)})  # fmt: skip
    sessions = {"ours, float32": ours(graph, folder), "ours, int8": ours(graph, folder, int8=True)}
    free: Any = {"traced": {"dynamic_axes": {"pixels": {0: "batch"}, "logits": {0: "batch"}}},
                 "dynamo": {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}}  # fmt: skip
    for name, axes in free.items():
        path = folder / f"timm_{name}.onnx"
        torch.onnx.export(theirs, (pixels[:2],), str(path), input_names=["pixels"], output_names=["logits"],
                          dynamo=name == "dynamo", verbose=False, **axes)  # fmt: skip
        sessions[f"timm {name}, float32"] = Session(path)
        narrow(path, "int8")
        sessions[f"timm {name}, int8"] = Session(path)
    for batch in (1, 8):
        some = pixels[:batch]
        who = {"ours, eager": eager(network, some), "timm, eager": eager(theirs, some)}
        who |= {name: session.with_({"pixels": some}) for name, session in sessions.items()}
        yield f"ViT-S/16, batch {batch}", "ours, eager", who


class Framed(nn.Module):
    """Our Conformer or torchaudio's as a function of frames [B, T, C] and lengths [B] -> [B, T, C]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        if isinstance(self.network, Conformer):
            return self.network(frames, real=padding_mask(lengths, frames.shape[1]))
        return self.network(frames, lengths)[0]


def conformer(folder: Path) -> Iterator[Row]:
    """The Conformer of our recogniser's size over ten seconds of frames, after subsampling."""
    torch.manual_seed(0)
    theirs = torchaudio.models.Conformer(144, 4, 504, 8, 15).eval()
    network = torchaudio_conformer.load(theirs.state_dict(), heads=4).eval()
    frames, lengths = torch.randn(1, 250, 144), torch.tensor([250])

    given, path = {"frames": frames, "lengths": lengths}, folder / "torchaudio.onnx"
    two = {"frames": frames.repeat(2, 1, 1), "lengths": lengths.repeat(2)}
    own = Graph(name="conformer", owner="", method="", module=Framed(network), inputs=two, outputs=("x",),
                free={"frames": (0, 1), "lengths": (0,)})  # fmt: skip
    axes = {"frames": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}
    torch.onnx.export(Framed(theirs), tuple(given.values()), str(path), input_names=list(given), output_names=["x"],
                      dynamo=False, dynamic_axes=axes)  # fmt: skip
    yield "Conformer, 10 s", "torchaudio", {
        "ours": ours(own, folder).with_(given), "torchaudio": Session(path).with_(given),
        "ours, eager": eager(own.module, frames, lengths),
    }  # fmt: skip


def language(name: str, graphs: list[Graph], folder: Path, peers: Path, sizes: tuple[int, int]) -> Iterator[Row]:
    """A language model's step after a past, and a prompt, of these sizes; logits for every token on both sides."""
    step, head = (ours(graph, folder) for graph in graphs)
    theirs = Session(peers / "model.onnx")
    _, heads, _, width = graphs[0].inputs["keys_0"].shape
    layers = sum(one.startswith("keys_") for one in graphs[0].inputs)
    for what, new, past in (("step", 1, sizes[0]), ("prompt", sizes[1], 0)):
        given, asked = _after(past, new, (layers, heads, width))
        given["told"] = torch.zeros(1, graphs[1].inputs["hidden"].shape[-1])
        yield f"{name}, {what} of {new} after {past}", PEER, {
            "ours": _both(step, head, given), PEER: theirs.with_(asked),
        }  # fmt: skip


def _after(past: int, new: int, shape: tuple[int, int, int], kind: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """What our step and optimum's are given where `new` tokens follow `past`; shape: layers, heads, width of a head."""
    layers, heads, width = shape
    keys, values = torch.randn(2, layers, 1, heads, past, width).unbind()
    tokens, positions = torch.randint(3, 60, (1, new)), torch.arange(past, past + new)[None]
    keep = torch.ones(1, past + new, dtype=torch.bool)
    given = {"tokens": tokens, "positions": positions, "keep": keep, **_held(keys, values)}
    asked = {"input_ids": tokens, "attention_mask": keep.long(), "position_ids": positions}
    for layer, (key, value) in enumerate(zip(keys, values, strict=True)):
        asked[f"past_key_values.{layer}{kind}.key"], asked[f"past_key_values.{layer}{kind}.value"] = key, value
    return given, asked


def _held(keys: Any, values: Any) -> dict[str, Any]:
    """Keys and values [L, B, K, S, D] as our steps take them."""
    kinds = {"keys": keys, "values": values}
    return {f"{kind}_{layer}": one for kind, block in kinds.items() for layer, one in enumerate(block)}


def _both(step: Session, head: Session, given: Mapping[str, Any]) -> Work:
    first = step.with_(given)
    return lambda: head.run({"hidden": first()})[0]


def smollm2(folder: Path, peers: Path) -> Iterator[Row]:
    network, tensors = _family(peers)
    load_into(network, tensors)
    yield from language("smollm2", language_graphs("", network, Step(network)), folder, peers, (256, 128))


def molecules(folder: Path, peers: Path) -> Iterator[Row]:
    network = SmilesGPT(SmilesGPTConfig(vocabulary=64, learned=True, bias=True)).eval()
    load_into(network, _family(peers)[1])
    yield from language("molecules", molecule_graphs(network), folder, peers, (64, 64))


def _family(peers: Path) -> tuple[LanguageModel, dict[str, Tensor]]:
    config = families.from_hf(read_json(peers / "config.json"))
    return config.network().eval(), config.read_hf(read_foreign_tensors(peers), source=PEER)


def patchtst(folder: Path, peers: Path) -> Iterator[Row]:
    network, _ = patchtst_there.load(Located(path=peers, source="optimum"))
    names = ("values", "observed", "past", "ahead", "known", "window", "static")
    two = batch_of_values(torch.randn(2, 336, 7), horizon=96)
    graph = Graph(name="patchtst", owner="network", method="forward", module=OfBatch(network, two, names),
                  inputs={name: getattr(two, name) for name in names}, free=dict.fromkeys(names, (0,)),
                  outputs=("y_hat",), kind="batch")  # fmt: skip
    session, theirs = ours(graph, folder), Session(peers / "model.onnx")
    for windows in (1, 32):
        x = torch.randn(windows, 336, 7)
        batch = batch_of_values(x, horizon=96)
        own = session.with_({name: getattr(batch, name) for name in names})
        yield f"patchtst, {windows} windows of 7 series", PEER, {
            "ours": lambda own=own, windows=windows: own().reshape(windows, 7, 96).transpose(0, 2, 1),
            PEER: theirs.with_({"past_values": x}, "prediction_outputs"),
        }  # fmt: skip


def decisions(folder: Path, peers: Path) -> Iterator[Row]:
    """Twenty steps of three tokens. Ours: the decoder is a graph, what stands around it is torch's; and, as it acts,
    one step after nineteen that the cache holds, where theirs reads all of them again."""
    network, _ = decisions_there.load(Located(path=peers, source=PEER), {})
    session = ours(decoder_graph("network.decoder", network.decoder), folder)
    torch.manual_seed(0)
    states, actions, returns = torch.randn(1, 20, 17), torch.rand(1, 20, 6) * 2 - 1, torch.randn(1, 20)
    steps, mask = torch.arange(20)[None], torch.ones(60, 60, dtype=torch.bool)[None]
    empty = np.zeros((len(network.decoder.blocks), 1, 1, 0, 128), np.float32)
    told = {"states": states, "actions": actions, "returns_to_go": returns[..., None], "timesteps": steps,
            "attention_mask": torch.ones(1, 20)}  # fmt: skip

    @torch.inference_mode()
    def act(first: int, keys: Any, values: Any) -> list[Any]:
        tokens = network.embed(returns[:, first:], states[:, first:], actions[:, first:], steps[:, first:]).flatten(
            1, 2
        )
        x, *new = session.run({
            "x": tokens, "positions": torch.arange(3 * first, 60)[None], "mask": mask[:, 3 * first :],
            **_held(keys, values),
        })  # fmt: skip
        said = network.say(torch.from_numpy(x).unflatten(1, (-1, 3))[:, :, -2]).raw[:, :, 0]
        return [network.head.decode(said).numpy(), *new]

    _, keys, values = act(0, empty, empty)
    held = keys[:, :, :, :57], values[:, :, :, :57]
    # ONNX Runtime 1.32 turns optimum's graph into one that fails, unless it leaves its reshapes alone.
    theirs = Session(peers / "model.onnx", ["ReshapeFusion"]).with_(told, "action_preds")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as beside any graph: its threads and the runtime's would take the cores from each other
    yield "decisions, all of 20 steps", PEER, {"ours": lambda: act(0, empty, empty)[0], PEER: theirs}
    yield "decisions, the last of 20 steps", PEER, {"ours": lambda: act(19, *held)[0], PEER: lambda: theirs()[:, -1:]}
    torch.set_num_threads(threads)


def wav2vec2(folder: Path, peers: Path) -> Iterator[Row]:
    labels = Labels(texts=["", *(chr(96 + number) for number in range(1, 32))])
    theirs = Session(peers / "model.onnx")
    network, _ = wav2vec2_there.load(peers, source=PEER, labels=labels)  # the head is another, which costs as much
    graph = recogniser_graphs(network)[0]
    waveforms = 0.1 * torch.randn(1, 5 * 16_000)
    given = {"waveforms": waveforms, "lengths": torch.tensor([waveforms.shape[1]])}
    yield "wav2vec2, 5 s", PEER, {
        "ours": ours(graph, folder).with_(given), PEER: theirs.with_({"input_values": waveforms}),
    }  # fmt: skip


def whisper(folder: Path, peers: Path) -> Iterator[Row]:
    """The encoder from the mel spectrogram on; a step of the decoder after 64 tokens."""
    config = WhisperConfig.from_hf(read_json(peers / "config.json"), {})
    network = Whisper(config).eval()
    load_into(network, whisper_there.to_ours(read_foreign_tensors(peers), source=PEER))
    mel, past = torch.randn(1, 80, 3000), 64
    two = mel.transpose(1, 2).repeat(2, 1, 1)
    encoder = Graph(name="mel_encoder", owner="", method="", module=Method(network, "encode"), inputs={"mel": two},
                    free={"mel": (0,)}, outputs=("context",))  # fmt: skip
    yield "whisper, encoder of 30 s", PEER, {
        "ours": ours(encoder, folder).with_({"mel": two[:1]}),
        PEER: Session(peers / "encoder_model.onnx").with_({"input_features": mel}),
    }  # fmt: skip
    _, *parts = whispers.graphs("network", network)
    step, head = (ours(graph, folder) for graph in parts)
    heads, width = config.text_heads, config.dim // config.text_heads
    given, asked = _after(past, 1, (config.text_depth, heads, width), ".decoder")
    for layer in range(config.text_depth):
        for kind, name in (("key", "keys"), ("value", "values")):
            heard = torch.randn(1, heads, config.length, width)
            given[f"cross_{name}_{layer}"] = asked[f"past_key_values.{layer}.encoder.{kind}"] = heard
    yield "whisper, step of 1 after 64", PEER, {
        "ours": _both(step, head, given), PEER: Session(peers / "decoder_with_past_model.onnx").with_(asked),
    }  # fmt: skip


ALONE = {"vit": vit, "conformer": conformer}
"""Rows that need nothing else."""
BESIDE = {"smollm2": smollm2, "molecules": molecules, "patchtst": patchtst, "decisions": decisions,
          "wav2vec2": wav2vec2, "whisper": whisper}  # fmt: skip
"""Those beside what optimum made, in a folder of that name."""
