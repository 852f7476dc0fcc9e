"""Which examples each step sees, in which order, and how the learning rate moves."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.core.options import build
from tsuite.core.train.data import MicroBatches, seed_of, steps
from tsuite.core.train.schedule import lr_factor

from .toy import Toy, ToyOptions, toy_splits, train_toy

# -- what each step sees --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (1, 4), (2, 1), (2, 3), (5, 2)])
def test_each_epoch_sees_every_example_once(world, accumulate):
    options = build(ToyOptions, {"accumulate": accumulate})
    ranks = [MicroBatches(Toy(), range(45), options, rank=rank, world=world) for rank in range(world)]
    orders = []
    for epoch in range(2):
        batches = range(epoch * 6 * accumulate, (epoch + 1) * 6 * accumulate)
        shares = [data.share(k) for k in batches for data in ranks]
        seen = [index for indices, size in shares if size for index in indices]
        assert sorted(seen) == list(range(45))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_shares_differ_by_at_most_one_and_may_be_empty():
    options = build(ToyOptions, {"batch_size": 3, "accumulate": 4})
    data = MicroBatches(Toy(), range(3), options, rank=0, world=1)
    assert [data.share(k)[1] for k in range(4)] == [0, 1, 1, 1]
    assert len(data.share(0)[0]) == 1  # a stand-in


@pytest.mark.parametrize("start", [0, 3])
def test_helper_processes_change_no_byte(start):
    examples = toy_splits().train.examples

    def batches(workers: int) -> list[torch.Tensor]:
        data = MicroBatches(Toy(), examples, build(ToyOptions, {"workers": workers, "accumulate": 2}), rank=0, world=1)
        return [part.batch.values for parts in steps(data, start, 8) for part in parts]

    alone, helped = batches(0), batches(2)
    assert len(alone) == (8 - start) * 2
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))


def test_preparing_a_batch_leaves_the_random_state_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    data = MicroBatches(Toy(), toy_splits().train.examples, ToyOptions(), rank=0, world=1)
    expected = torch.get_rng_state(), np.random.get_state()[1][:5].tolist()  # noqa: NPY002  # pyright: ignore
    data[0]
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert np.random.get_state()[1][:5].tolist() == expected[1]  # noqa: NPY002  # pyright: ignore


def test_a_mistake_in_a_helper_process_arrives_as_it_is():
    class Broken(Toy):
        def preprocess(self, examples, *, training=False):
            raise UserError("This picture is broken.")

    for workers in (0, 1):
        data = MicroBatches(Broken(), range(9), build(ToyOptions, {"workers": workers}), rank=0, world=1)
        with closing(steps(data, 0, 1)) as batches, pytest.raises(UserError, match=r"^This picture is broken\.$"):
            next(batches)


def test_seeds_differ_and_repeat():
    seeds = {seed_of(*numbers) for numbers in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (-5, 2)]}
    assert len(seeds) == 5
    assert seed_of(3, 4) == seed_of(3, 4)


class Long(list):
    """Examples that say how long they are."""

    def __init__(self, lengths: list[int]) -> None:
        super().__init__(range(len(lengths)))
        self.lengths = lengths
        self.shortest_first = False


@pytest.mark.parametrize("accumulate", [1, 2])
def test_batches_of_similar_length(accumulate):
    lengths = np.random.default_rng(0).integers(1, 500, 2005).tolist()
    options = build(ToyOptions, {"batch_size": 8, "accumulate": accumulate})
    plain, grouped = (MicroBatches(Toy(), given, options, rank=0, world=1) for given in (range(2005), Long(lengths)))

    def padding(data: MicroBatches) -> float:
        batches = [data.order(0)[start : start + 8] for start in range(0, 2005, 8)]
        padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
        return 1 - sum(lengths) / padded

    assert sorted(grouped.order(0).tolist()) == list(range(2005))
    assert padding(plain) > 0.4
    assert padding(grouped) < 0.03
    assert len(grouped.share(250 * accumulate)[0]) == 5 // accumulate  # the incomplete batch is the last
    assert not np.array_equal(grouped.order(0), grouped.order(1))
    first = [max(lengths[index] for index in grouped.order(0)[start : start + 8]) for start in range(0, 400, 8)]
    assert first not in (sorted(first), sorted(first, reverse=True))  # batches come in any order
    again = MicroBatches(Toy(), Long(lengths), options, rank=0, world=1)
    assert np.array_equal(again.order(3), grouped.order(3))
    assert not np.array_equal(
        MicroBatches(Toy(), Long(lengths), build(ToyOptions, {"seed": 5}), rank=0, world=1).order(0), grouped.order(0)
    )


def test_the_first_epoch_may_go_from_short_to_long():
    lengths = np.random.default_rng(1).integers(1, 500, 400).tolist() * 3  # each example three times
    examples = Long(lengths)
    examples.shortest_first = True
    data = MicroBatches(Toy(), examples, build(ToyOptions, {"batch_size": 8}), rank=0, world=1)
    assert sorted(data.order(0).tolist()) == sorted(data.order(1).tolist()) == list(range(1200))
    means = np.asarray(lengths)[data.order(0)].reshape(-1, 100).mean(axis=1)
    assert (np.diff(means) > 0).all()
    batches = data.order(0).reshape(-1, 8) % 400
    assert np.mean([len(set(batch.tolist())) for batch in batches]) > 7.5  # copies seldom meet
    later = np.asarray(lengths)[data.order(1)].reshape(-1, 100).mean(axis=1)
    assert (np.diff(later) < 0).any()


def test_few_examples_of_any_length():
    for count in range(1, 6):
        options = build(ToyOptions, {"batch_size": 4})
        data = MicroBatches(Toy(), Long(list(range(count))), options, rank=0, world=1)
        assert sorted(data.order(0).tolist()) == list(range(count))


# -- the learning rate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_learning_rate_rises_then_falls(schedule, warmup):
    factors = [lr_factor(step, 40, warmup=warmup, schedule=schedule) for step in range(40)]
    rising = round(40 * warmup)
    assert max(factors) == pytest.approx(1.0)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:rising] == sorted(factors[:rising])
    assert factors[rising:] == sorted(factors[rising:], reverse=True)
    assert (factors[-1] < 0.1) == (schedule != "constant")


def test_groups_have_their_own_learning_rate(tmp_path):
    class Grouped(Toy):
        def parameter_groups(self, options):
            head = list(self.network.last.parameters())
            body = [self.network.first.weight]
            return [{"params": head, "weight_decay": 0.0}, {"params": body, "weight_decay": 0.0, "lr_scale": 0.0}]

    task = Grouped()
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    train_toy(tmp_path, task=task, epochs=1)
    after = task.network.state_dict()
    assert torch.equal(before["first.weight"], after["first.weight"])
    assert not torch.equal(before["last.weight"], after["last.weight"])
