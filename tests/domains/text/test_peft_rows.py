"""Rows of the vocabulary that learnt beside LoRA go into peft's folders and come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch.testing import assert_close
from tsuite.core.adapters import Method, adapter_tensors, apply, learn_rows, load_adapter, load_rows, row_tensors
from tsuite.core.errors import UserError
from tsuite.domains.text.peft_folder import read_peft, write_peft
from tsuite.domains.text.peft_rows import as_rows

from .models import CONFIGS, logits, original, token_ids
from .test_peft_folder import disturb, edit, foreign, pair

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
]
IDS = [1, 4, 5, 9, 12]


def read(name: str, folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Our network with the adapter and rows of a folder, and the rows."""
    _, network, config = pair(name)
    method, tensors, tables = read_peft(folder, config)
    rows = as_rows(tables, network)
    load_rows(network, rows)
    return load_adapter(network, method, tensors), rows


@pytest.mark.parametrize("name", CONFIGS)
def test_peft_answers_alike(name: str, tmp_path: Path) -> None:
    theirs, network, config = pair(name)
    method = Method(rank=3)
    apply(network, method)
    learn_rows(network, torch.tensor(IDS))
    before = logits(network, token_ids())
    disturb([*adapter_tensors(network).values(), *(v for k, v in row_tensors(network).items() if k != "ids")])
    expected = logits(network, token_ids())
    assert (expected - before)[..., IDS].abs().max() > 1e-3
    write_peft(tmp_path, network, config, method, "tiny/base")
    loaded = peft.PeftModel.from_pretrained(theirs, str(tmp_path)).eval()
    assert_close(logits(loaded, token_ids()), expected, rtol=0, atol=1e-5)
    again, rows = read(name, tmp_path)
    assert rows["ids"].tolist() == IDS
    assert_close(logits(again, token_ids()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "llama, grouped and tied"])
def test_rows_that_peft_learnt(name: str, tmp_path: Path) -> None:
    """A list means the embedding alone; where it is the head too, the head changes with it."""
    settings = peft.LoraConfig(target_modules=["q_proj"], trainable_token_indices=IDS, task_type="CAUSAL_LM")
    wrapped = foreign(original(name), settings, tmp_path)
    ours, rows = read(name, tmp_path)
    assert rows["ids"].tolist() == IDS
    assert_close(logits(ours, token_ids()), logits(wrapped, token_ids()), rtol=1e-5, atol=1e-5)


def test_a_whole_head_that_peft_learnt(tmp_path: Path) -> None:
    settings = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    wrapped = foreign(original("phi"), settings, tmp_path)
    ours, rows = read("phi", tmp_path)
    assert len(rows["ids"]) == ours.vocabulary
    assert_close(logits(ours, token_ids()), logits(wrapped, token_ids()), rtol=1e-5, atol=1e-5)


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    settings = peft.LoraConfig(target_modules=["q_proj"], trainable_token_indices=IDS, task_type="CAUSAL_LM")
    foreign(original("llama"), settings, tmp_path)
    for indices in (IDS[1:], {"q_proj": IDS}, [*IDS[:4], 10**6]):
        edit(tmp_path, trainable_token_indices=indices)
        with pytest.raises(UserError, match="do not fit this model's vocabulary"):
            read("llama", tmp_path)
    edit(tmp_path, trainable_token_indices=None, modules_to_save=["score"])
    with pytest.raises(UserError, match="modules_to_save"):
        read("llama", tmp_path)
