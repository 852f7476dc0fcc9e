"""The ledger counts what lives, to the byte."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from tsuite.core.plan.blueprint import Blueprint
from tsuite.core.plan.kernels import Decided
from tsuite.core.plan.ledger import Ledger
from tsuite.core.plan.work import weigh
from tsuite.core.rehearsal import again, arithmetic, note, place, rehearsal, rehearsing

META = torch.device("meta")


class Task:
    """As much of a task as a rehearsal asks for: one linear layer that learns squares."""

    def __init__(self, network: nn.Module) -> None:
        self.network = self.trainable = network

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return network(batch.x).square().sum()

    def parameter_groups(self, options: Options) -> list[dict[str, object]]:
        return [{"params": list(self.network.parameters())}]


class Batch:
    def __init__(self, size: int, inputs: int) -> None:
        self.x = torch.empty(size, inputs, device=META)


class Options:
    def __init__(self, accumulate: int = 1, clip: float = 0.0) -> None:
        self.accumulate, self.clip = accumulate, clip


def blueprint(command: str, *, size: int = 8, accumulate: int = 1, casts: bool = False) -> Blueprint:
    network = nn.Linear(300, 100, bias=False, device=META)
    task = Task(network)
    return Blueprint(
        command=command, task=task, options=Options(accumulate), batch=lambda count: Batch(count, 300),
        batch_size=size, predict=lambda batch: network(batch.x), casts=casts,
    )  # fmt: skip


def test_a_linear_layer_that_learns_is_counted_to_the_byte() -> None:
    found = weigh(lambda: blueprint("finetune"), device="cpu")
    weight, x, y = 4 * 300 * 100, 4 * 8 * 300, 4 * 8 * 100
    assert found.peak["weights"] == weight
    assert found.peak["optimiser"] == 2 * weight
    assert found.peak["batch"] == x
    # At the end of the backward pass: the gradient of y and that of the weight, which is kept.
    at_work = found.peak.get("gradients", 0) + found.peak["activations"]
    assert weight <= at_work <= weight + 4 * y
    assert found.needed == found.resident == sum(found.peak.values())


def test_running_keeps_weights_batch_and_result_alone() -> None:
    found = weigh(lambda: blueprint("run"), device="cpu")
    assert found.peak == {"weights": 4 * 300 * 100, "batch": 4 * 8 * 300, "activations": 4 * 8 * 100}


def test_parts_of_a_batch_take_less() -> None:
    whole, parts = (weigh(lambda n=n: blueprint("finetune", size=4096, accumulate=n), device="cpu") for n in (1, 8))
    assert parts.peak["batch"] * 8 == whole.peak["batch"]
    assert parts.needed < whole.needed


def test_the_peak_of_a_known_graph() -> None:
    ledger = Ledger()
    with rehearsal("cpu", ledger.mark), ledger:
        x = torch.empty(1000, device=META)  # 4,000 bytes
        y = x * 2
        z = y + 1  # 12,000 live here
        del y
        w = z.view(10, 100).t()  # the same memory
        assert ledger.total == 8_000
        del x, z
        assert ledger.total == 4_000
        assert w.shape == (100, 10)
    assert ledger.needed == 12_000


def test_saved_tensors_live_until_the_backward_pass() -> None:
    ledger = Ledger()
    with rehearsal("cpu", ledger.mark), ledger:
        x = torch.empty(1000, device=META, requires_grad=True)
        y = x.exp().sin().sum()  # exp keeps its result, sin its input: the same 4,000 bytes
        before = ledger.total
        torch.autograd.backward(y)
        after = ledger.total
    assert before == 4_000 + 4_000 + 4
    assert after == 4_000 + 4 + 4_000  # x, y, the gradient of x


def test_values_that_are_asked_for_are_zero() -> None:
    with rehearsal(), Ledger(), Decided():
        x = torch.empty(3, 4, device=META)
        assert float(x.sum()) == 0.0
        assert x.argmax(dim=1).tolist() == [0, 0, 0]
        assert not bool((x > 0).all())
        assert (x > 0).nonzero().shape == (12, 2)
        assert x[x > 0].shape == (12,)
        assert x[torch.tensor([True, False, True])].shape == (2, 4)  # of a mask with values they count
        with torch.inference_mode():
            assert F.linear(x, torch.empty(5, 4, device=META)).shape == (3, 5)


def test_the_fused_attention_keeps_no_weights() -> None:
    def of(length: int) -> int:
        ledger = Ledger()
        with rehearsal("cuda", ledger.mark), ledger, Decided():
            query = torch.empty(1, 2, length, 16, device=META, requires_grad=True)
            F.scaled_dot_product_attention(query, query, query, is_causal=True)
        return ledger.needed

    assert of(2048) < 2.1 * of(1024)  # and not four times


def test_half_precision_is_what_autocast_makes_of_it() -> None:
    with rehearsal(), Ledger(), Decided(), torch.autocast("cpu", torch.bfloat16):
        layer = nn.Linear(8, 8, device=META)
        assert layer(torch.empty(2, 8, device=META)).dtype == torch.bfloat16
    full, half = (
        weigh(lambda casts=casts: blueprint("finetune", casts=casts), device="cpu") for casts in (False, True)
    )
    assert half.peak["weights"] == full.peak["weights"]  # the master weights stay as they are


def test_outside_of_a_rehearsal_nothing_is_different() -> None:
    x = torch.zeros(2)
    assert not rehearsing()
    assert place(x) == "cpu"
    assert place(torch.empty(2, device=META)) == "meta"
    note("cache", x)
    assert arithmetic("cuda") == "cuda"
    with again()[0], again()[1]:
        pass
    with rehearsal("cuda"):
        assert rehearsing()
        assert place(torch.empty(2, device=META)) == "cuda"
        assert place(x) == "cpu"


def test_real_memory_agrees_with_the_rehearsal() -> None:
    """The same network counted with numbers and without: the same bytes are alive after the forward pass."""

    def alive(device: torch.device) -> int:
        ledger = Ledger()
        with rehearsal("cpu", ledger.mark), ledger, Decided():
            network = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 10)).to(device)
            ledger.mark("weights", network.parameters())
            targets = torch.zeros(16, dtype=torch.long, device=device)
            loss = F.cross_entropy(network(torch.zeros(16, 64, device=device)), targets)
            found = ledger.total
            del loss
        return found

    assert alive(META) == pytest.approx(alive(torch.device("cpu")), abs=64)
