"""Tokens of molecules: nothing lost, real ends, the vocabulary out of the data, the unknown named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.molecules.notation import split
from tsuite.domains.molecules.tokenizer import SPECIAL, SmilesTokenizer

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "C[C@H](N)C(=O)O", "Clc1ccc(Br)cc1", "C%10CCCC%10"]
PUBLISHED = re.compile(
    r"(\[[^\]]+]|<|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>|\*|\$|\%[0-9]{2}|[0-9])"
)
"""The expression that MolGPT and others cut SMILES with."""


@pytest.mark.parametrize("smiles", [*DRUGS, "F/C=C\\F", "[Na+].[Cl-]", "N#Cc1cc[nH]c1", "OB(O)c1ccccc1", "[13CH3][2H]"])
def test_cut_as_published(smiles: str) -> None:
    assert split(smiles) == PUBLISHED.findall(smiles)
    assert "".join(split(smiles)) == smiles


def test_nothing_is_lost_of_what_is_no_smiles() -> None:
    for text in ("C(%1X[é] \n", "[C", "%", "", "Br%12[]"):
        assert "".join(split(text)) == text


def test_there_and_back() -> None:
    tokenizer = SmilesTokenizer.from_smiles(DRUGS)
    assert tokenizer.tokens[:4] == SPECIAL
    for smiles in DRUGS:
        ids = tokenizer.encode(smiles)
        assert (ids[0], ids[-1]) == (tokenizer.begin, tokenizer.end)
        assert tokenizer.decode(ids) == smiles
        assert tokenizer.decode([*ids, *ids, tokenizer.pad]) == smiles  # what follows the end is nothing
    assert {"Cl", "Br", "[C@H]", "%10"} <= set(tokenizer.tokens)
    assert "B" not in tokenizer.tokens


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    tokenizer = SmilesTokenizer.from_smiles(DRUGS[:4], extra=["<scaffold>"])
    rows = [*DRUGS, "C", "[Si]C", ""]  # with unknown tokens, and an empty one
    ids, lengths = tokenizer.encode_texts("".join(f"{one}\n" for one in rows).encode())
    assert ids.dtype == np.uint16
    ends = np.cumsum(lengths)
    assert [ids[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)] == [
        tokenizer.encode(one) for one in rows
    ]
    slow, slow_lengths = tokenizer._encode_slowly("".join(f"{one}\n" for one in rows).encode())
    assert slow.tolist() == ids.tolist()
    assert slow_lengths.tolist() == lengths.tolist()
    assert [len(part) for part in tokenizer.encode_texts(b"")] == [0, 0]


def test_more_long_tokens_than_bytes() -> None:
    many = [f"[{number}CH4]" for number in range(1, 200)]
    tokenizer = SmilesTokenizer.from_smiles(many)
    ids, lengths = tokenizer.encode_texts("".join(f"{one}\n" for one in many).encode())
    assert set(lengths) == {3}
    assert [tokenizer.tokens[number] for number in ids[1::3]] == many


def test_the_unknown_is_named_with_its_molecule() -> None:
    tokenizer = SmilesTokenizer.from_smiles(["CCO", "C(C)N"])
    tokenizer.check(["CCN", "OC"])
    with pytest.raises(UserError, match=r"\[Si\] in C\[Si\]C and 1 more; Br in CBr") as raised:
        tokenizer.check(["CCO", "C[Si]C", "[Si]", "CBr"])
    assert "from scratch" in raised.value.hint
    assert tokenizer.encode("CBr") == [tokenizer.begin, tokenizer.tokens.index("C"), tokenizer.unknown, tokenizer.end]
    assert tokenizer.strange("[Si]BrC[Si]") == ["[Si]", "Br"]


def test_kept_as_json(tmp_path: Path) -> None:
    tokenizer = SmilesTokenizer.from_smiles(DRUGS, extra=["<scaffold>"])
    again = SmilesTokenizer.load(tokenizer.save(tmp_path / "tokenizer.json"))
    assert again == tokenizer
    assert again.sha256 == tokenizer.sha256 != SmilesTokenizer.from_smiles(DRUGS).sha256
    assert again.tokens[4] == "<scaffold>"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"tokens": ["C"]}', '{"tokens": 3}', '{"tokens": ["<pad>"], "notation": "x"}']
)
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(UserError, match="tokenizer"):
        SmilesTokenizer.load(path)


def test_no_molecules() -> None:
    with pytest.raises(UserError, match="no molecules"):
        SmilesTokenizer.from_smiles([])


def test_selfies() -> None:
    pytest.importorskip("selfies")
    pytest.importorskip("rdkit")
    from tsuite.domains.molecules.smiles import canonical

    tokenizer = SmilesTokenizer.from_smiles(DRUGS, notation="selfies")
    assert all(token.startswith(("[", "<", ".")) for token in tokenizer.tokens)
    for smiles in DRUGS:
        assert canonical(tokenizer.decode(tokenizer.encode(smiles))) == canonical(smiles)
    # whatever the ids, it is a molecule
    random = np.random.default_rng(0)
    for _ in range(20):
        assert canonical(tokenizer.decode(random.integers(4, len(tokenizer), 12).tolist())) is not None
    with pytest.raises(UserError, match="SELFIES has no words for C1CC"):
        tokenizer.encode("C1CC")
