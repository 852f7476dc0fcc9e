"""Exported models: what is left of the weights, graphs in place of methods, and ONNX Runtime beside torch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from tsuite.core import checkpoint, engines
from tsuite.core.engines import onnxruntime
from tsuite.core.errors import UserError
from tsuite.core.export import folder as folders
from tsuite.core.export.graph import Graph, Method, differences, write_onnx, write_torch
from tsuite.core.export.steps import Step, Stepping, language_graphs
from tsuite.core.generate import generate
from tsuite.core.language import LanguageModel
from tsuite.core.layers import MLP
from tsuite.core.sampling import Sampling
from tsuite.core.weights import load_into

from ..commands import tsuite
from .small import PROMPTS, pair


def by_torch(graph: Graph) -> Any:
    """A graph's function, run by torch as it is."""

    def run(*tensors: Tensor) -> Any:
        with torch.no_grad():
            return graph.module(*tensors)

    return run


def test_what_is_left_out_of_a_file_comes_back_as_a_shape(tmp_path: Path) -> None:
    own = MLP(dim=4, hidden=8)
    tensors = own.state_dict()
    left = {"up.weight": [8, 4]}
    kept = {name: value for name, value in tensors.items() if name not in left}
    checkpoint.save_tensors(tmp_path / "a.safetensors", kept, {checkpoint.HOLLOW: json.dumps(left), "note": "here"})
    found = checkpoint.load_tensors(tmp_path / "a.safetensors")
    assert found["up.weight"].is_meta
    assert found["up.weight"].shape == (8, 4)
    assert checkpoint.read_metadata(tmp_path / "a.safetensors") == {"note": "here"}
    with torch.device("meta"):
        hollow = MLP(dim=4, hidden=8)
    load_into(hollow, found)
    assert hollow(torch.randn(2, 4)).isnan().all()  # so that nobody takes it for a model
    assert hollow.up.weight.untyped_storage().nbytes() == 4
    assert torch.equal(hollow.down.weight, own.down.weight)


def test_a_manifest_keeps_what_it_says_besides_the_files(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "a.txt").write_text("a", encoding="utf-8")
        (folder / checkpoint.MANIFEST).write_text('{"exported": {"name": "x"}}', encoding="utf-8")

    checkpoint.write(tmp_path / "made", fill)
    told = json.loads((tmp_path / "made" / checkpoint.MANIFEST).read_text(encoding="utf-8"))
    assert list(told["files"]) == ["a.txt"]
    assert folders.exported(tmp_path / "made") == {"name": "x"}
    checkpoint.verify(tmp_path / "made")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": {}}', '{"exported": 3}'])
def test_other_folders_are_not_taken_for_exported_ones(tmp_path: Path, text: str) -> None:
    assert folders.exported(None) is None
    assert folders.exported(tmp_path / "nowhere") is None
    (tmp_path / checkpoint.MANIFEST).write_text(text, encoding="utf-8")
    assert folders.exported(tmp_path) is None


@pytest.mark.parametrize(
    ("facts", "engine", "said"),
    [
        (None, "onnxruntime", "tsuite export NAME"),
        (None, "tensorrt", "runs exported models"),
        ({"format": "onnx"}, "torch", "graphs, not weights"),
        ({"format": "torch"}, "auto", "exported programs"),
        (None, "tflite", "no engine 'tflite'"),
    ],
)
def test_engines_say_what_they_run(tmp_path: Path, facts: Any, engine: str, said: str) -> None:
    if facts is not None:
        (tmp_path / checkpoint.MANIFEST).write_text(json.dumps({"exported": facts}), encoding="utf-8")
    with pytest.raises(UserError, match=said):
        engines.graphs_of(engine, str(tmp_path) if facts else None)


def test_graphs_are_no_weights_to_learn_from_or_to_export(tmp_path: Path) -> None:
    engines.need_weights(None)
    engines.need_weights("embedded")
    (tmp_path / checkpoint.MANIFEST).write_text('{"exported": {"format": "onnx"}}', encoding="utf-8")
    for verb in ("finetune", "export"):
        said = tsuite(verb, "vision.vit", "--checkpoint", tmp_path, code=2)
        assert "graphs, not weights" in said.err


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return pair()[0]


def exported(model: LanguageModel) -> LanguageModel:
    """Another of the same shape without weights, whose graphs torch runs."""
    other = pair()[0]
    for value in other.parameters():
        value.data = torch.full_like(value, float("nan"))
    step, head = language_graphs("network", model, Step(model))
    task = SimpleNamespace(network=other, step_extras=lambda cache, batch: (), exported=lambda: None)
    facts = {"graphs": [step.facts(), head.facts()]}
    folders.attach(task, facts, {"step": by_torch(step), "head": by_torch(head)})  # type: ignore[arg-type]
    return other


@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS, PROMPTS[:1] * 3], ids=["one", "unequal", "equal"])
@pytest.mark.parametrize("sampling", [Sampling(max_new=9), Sampling(max_new=9, beams=3), Sampling(max_new=9, lookup=4)])
def test_steps_that_an_engine_runs_generate_the_same(model: LanguageModel, prompts: Any, sampling: Sampling) -> None:
    found = generate(exported(model), prompts, sampling)
    assert [reply.ids for reply in found] == [reply.ids for reply in generate(model, prompts, sampling)]


def test_whole_texts_are_read_by_the_step_too(model: LanguageModel) -> None:
    tokens = torch.tensor([PROMPTS[0] * 2])
    with torch.no_grad():
        assert torch.allclose(exported(model)(tokens), model(tokens), atol=1e-5)
        assert torch.allclose(exported(model)(tokens, last=True), model(tokens, last=True), atol=1e-5)


def test_a_step_takes_rows_that_are_padded(model: LanguageModel) -> None:
    step = Stepping(model, by_torch(language_graphs("network", model, Step(model))[0]), given=lambda cache, batch: ())
    tokens = torch.tensor([PROMPTS[0][:3], PROMPTS[0][:3]])
    keep = torch.tensor([[False, True, True], [True, True, True]])[:, None, None]
    with torch.no_grad():
        assert torch.allclose(step(tokens, mask=keep)[1:], model.hidden(tokens[1:]), atol=1e-5)


# -- written and read again -------------------------------------------------------------------------------------------


def perceptron() -> Graph:
    torch.manual_seed(0)
    return Graph(name="mlp", owner="network", method="forward", module=Method(MLP(dim=8, hidden=16), "forward"),
                 inputs={"x": torch.randn(2, 5, 8)}, free={"x": (0, 1)}, outputs=("y",))  # fmt: skip


def session(path: Path, graph: Graph) -> Any:
    runs, _ = onnxruntime.start(path.parent, {"graphs": [graph.facts()]}, device="cpu", threads=1)
    return runs[graph.name]


@pytest.mark.slow
def test_a_graph_as_onnx_gives_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    graph = perceptron()
    write_onnx(graph, tmp_path / "mlp.onnx")
    run = session(tmp_path / "mlp.onnx", graph)
    assert differences(graph, lambda given: (run(*given.values()),))["y"] < 1e-5
    other = torch.randn(7, 1, 8)
    assert torch.allclose(run(other), graph.module(other), atol=1e-5)


@pytest.mark.slow
def test_several_models_in_one_process(tmp_path: Path) -> None:
    """A second model, also one that asks for another number of threads, runs as the first does."""
    pytest.importorskip("onnxscript")
    graph = perceptron()
    write_onnx(graph, tmp_path / "mlp.onnx")
    x = torch.randn(3, 4, 8)
    for threads in (1, 2, 1):
        runs, _ = onnxruntime.start(tmp_path, {"graphs": [graph.facts()]}, device="cpu", threads=threads)
        assert torch.allclose(runs["mlp"](x), graph.module(x), atol=1e-5)


def test_a_disk_without_room_is_told_before(tmp_path: Path) -> None:
    with torch.device("meta"):
        endless = torch.nn.Linear(10**6, 10**9)  # four petabytes
    with pytest.raises(UserError, match=r"8,000,008,000 MB.*--output"):
        folders.need_room(tmp_path, torch.nn.Linear(2, 2), [endless])
    folders.need_room(tmp_path, torch.nn.Linear(2, 2), [torch.nn.Linear(2, 2)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_products_whose_weights_do_not_fit_stay(tmp_path: Path, kind: str) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from tsuite.core.export.narrow import narrow

    graph = Graph(name="mlp", owner="", method="forward", module=MLP(dim=64, hidden=128), outputs=("y",),
                  inputs={"x": torch.randn(2, 16, 64)}, free={"x": (0, 1)})  # fmt: skip
    graph.module.get_parameter("down.weight").data[:, 5] = 3.0  # far above the rest
    write_onnx(graph, tmp_path / "mlp.onnx")
    narrow(tmp_path / "mlp.onnx", kind)
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "mlp.onnx")).graph.node]
    assert kinds.count("MatMul") + kinds.count("Gemm") == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_narrow_weights_stay_near(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("onnxscript")
    from tsuite.core.export.narrow import narrow

    torch.manual_seed(0)
    graph = Graph(name="mlp", owner="", method="forward", module=MLP(dim=64, hidden=128), outputs=("y",),
                  inputs={"x": torch.randn(2, 16, 64)}, free={"x": (0, 1)})  # fmt: skip
    write_onnx(graph, tmp_path / "mlp.onnx")
    before = (tmp_path / "mlp.onnx").stat().st_size
    narrow(tmp_path / "mlp.onnx", kind)
    assert (tmp_path / "mlp.onnx").stat().st_size < before / 2
    run = session(tmp_path / "mlp.onnx", graph)
    with torch.no_grad():
        own = graph.module(*graph.inputs.values())
    found = run(*graph.inputs.values())
    assert 0 < (found - own).norm() / own.norm() < (0.02 if kind == "int8" else 0.15)


@pytest.mark.slow
def test_one_token_far_above_the_rest_does_not_drown_them(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from tsuite.core.export.narrow import narrow

    torch.manual_seed(0)
    x = torch.randn(1, 16, 64)
    x[0, 0] *= 300  # what a language model makes of its first token
    graph = Graph(name="step", owner="", method="forward", module=torch.nn.Linear(64, 128, bias=False), inputs={"x": x},
                  outputs=("y",), free={"x": (0, 1)}, kind="step")  # fmt: skip
    errors = {}
    for of in ("method", "step"):
        write_onnx(graph, tmp_path / "step.onnx")
        narrow(tmp_path / "step.onnx", "int8", of=of)
        with torch.no_grad():
            own = graph.module(x)[:, 1:]
        errors[of] = float((session(tmp_path / "step.onnx", graph)(x)[:, 1:] - own).norm() / own.norm())
    assert errors["step"] < 0.02
    assert errors["method"] > 0.2
    write_onnx(graph, tmp_path / "step.onnx")
    narrow(tmp_path / "step.onnx", "int4", of="rows")  # a head keeps 8 bits
    with torch.no_grad():
        own = graph.module(x)
    assert (session(tmp_path / "step.onnx", graph)(x) - own).norm() / own.norm() < 0.02


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_a_graph_as_torchs_program_gives_the_same(tmp_path: Path) -> None:
    graph = perceptron()
    write_torch(graph, tmp_path / "mlp.pt2")
    program = torch.export.load(str(tmp_path / "mlp.pt2")).module()
    other = torch.randn(3, 4, 8)
    assert torch.allclose(program(other), graph.module(other), atol=1e-6)


@pytest.mark.slow
def test_a_step_as_onnx_generates_the_same(tmp_path: Path, model: LanguageModel) -> None:
    pytest.importorskip("onnxscript")
    graphs = language_graphs("network", model, Step(model))
    for graph in graphs:
        write_onnx(graph, tmp_path / f"{graph.name}.onnx")
    runs, _ = onnxruntime.start(tmp_path, {"graphs": [one.facts() for one in graphs]}, device="cpu", threads=1)
    other = pair()[0]
    task: Any = SimpleNamespace(network=other, step_extras=lambda cache, batch: (), exported=lambda: None)
    folders.attach(task, {"graphs": [one.facts() for one in graphs]}, runs)
    sampling = Sampling(max_new=9)
    replies = [reply.ids for reply in generate(other, PROMPTS, sampling)]
    assert replies == [reply.ids for reply in generate(model, PROMPTS, sampling)]


@pytest.mark.slow
def test_what_cannot_be_exported_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")

    class Odd(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvals(x).real

    graph = Graph(name="odd", owner="network", method="eigen", module=Odd(), inputs={"x": torch.eye(3)}, outputs=("y",))
    with pytest.raises(UserError, match=r"odd \(network\.eigen\) cannot be exported.*linalg_eig"):
        write_onnx(graph, tmp_path / "odd.onnx")
    with pytest.raises(UserError, match="18 to 23"):
        write_onnx(graph, tmp_path / "odd.onnx", opset=9)


def test_an_old_torch_is_named_where_a_model_cannot_be_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsuite.core.export.graph import _to_try

    assert "--opset" in _to_try()
    monkeypatch.setattr(torch, "__version__", "2.5.0a0+872d972e41.nv24.8")
    assert "torch 2.8 or later" in _to_try()
