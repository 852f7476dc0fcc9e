"""Every format is recognised and read to the same turns; every mistake is named with file, row and field."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tsuite.core.errors import UserError
from tsuite.domains.text import formats
from tsuite.domains.text.conversation import Conversation, Document, Preference

from .tinychat import turns, write_lines

QUESTION, ANSWER = "今天天气怎么样？", "今天晴朗。"
ASKED = [{"from": "human", "value": QUESTION}]
REPLY = {"from": "gpt", "value": ANSWER}
SAME = [
    {"instruction": QUESTION, "output": ANSWER},
    {"instruction": QUESTION, "input": "", "output": ANSWER, "system": None, "history": []},
    {"conversations": [*ASKED, REPLY], "id": "7"},
    {"conversations": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]},
    {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]},
                  {"role": "bot", "content": ANSWER}]},
    [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}],
    {"question": QUESTION, "answer": ANSWER},
    {"prompt": QUESTION, "completion": ANSWER, "score": 1},
    {"query": QUESTION, "response": ANSWER},
    {"input": QUESTION, "output": ANSWER},
]  # fmt: skip


def one(path: Path) -> Any:
    (item,) = formats.read(path)
    return item


@pytest.mark.parametrize("row", SAME)
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_formats_of_the_same_exchange(tmp_path: Path, row: Any, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_text(json.dumps([row] if ending == "json" else row), encoding="utf-8")
    item = one(path)
    assert isinstance(item, Conversation)
    assert item.turns == turns(QUESTION, ANSWER)
    assert item.id == ("a.json[1]" if ending == "json" else "a.jsonl:1")


def test_alpaca_with_everything(tmp_path: Path) -> None:
    row = {"instruction": "翻译", "input": "好", "output": "good", "system": "简短", "history": [["一", "one"]]}
    assert one(write_lines(tmp_path / "a.jsonl", [row])).turns == turns("一", "one", "翻译\n好", "good", system="简短")


def test_sharegpt_with_a_system_prompt(tmp_path: Path) -> None:
    within = {"conversations": [{"from": "system", "value": "简短"}, *ASKED, REPLY]}
    beside = {"conversations": [*ASKED, REPLY], "system": "简短"}
    path = write_lines(tmp_path / "a.jsonl", [within, beside])
    assert [item.turns for item in formats.read(path)] == [turns(QUESTION, ANSWER, system="简短")] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "问", "chosen": "好", "rejected": "坏"},
        {"instruction": "问", "input": "", "chosen": "好", "rejected": "坏"},
        {"prompt": [{"role": "user", "content": "问"}], "chosen": [{"role": "assistant", "content": "好"}],
         "rejected": "坏"},
        {"conversations": [{"from": "human", "value": "问"}], "chosen": {"from": "gpt", "value": "好"},
         "rejected": {"from": "gpt", "value": "坏"}},
        {"chosen": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "好"}],
         "rejected": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "坏"}]},
        {"prompt": "问", "chosen": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "好"}],
         "rejected": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "坏"}]},
    ],
)  # fmt: skip
def test_preferences(tmp_path: Path, row: dict[str, Any]) -> None:
    item = one(write_lines(tmp_path / "a.jsonl", [row]))
    assert item == Preference(id="a.jsonl:1", turns=turns("问"), chosen="好", rejected="坏")


def test_prompts_only(tmp_path: Path) -> None:
    rows = [{"prompt": "一"}, {"prompt": "二", "response": "好"}, {"prompt": "三"}]
    found = list(formats.read(write_lines(tmp_path / "a.jsonl", rows)))
    assert [getattr(item, "reference", "") for item in found] == [None, "好", None]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_tables(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter="\t" if ending == "tsv" else ",")
        writer.writerows([["instruction", "input", "output"], ["写两行\n诗", "", 'a,"b"\nc'], ["问", "", "答"]])
    first, second = formats.read(path)
    assert isinstance(first, Conversation)
    assert first.turns == turns("写两行\n诗", 'a,"b"\nc')
    assert second.id == f"a.{ending}:5"


def test_parquet_and_arrow(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [
        {"messages": [{"role": "user", "content": str(i)}, {"role": "assistant", "content": "好"}]} for i in range(300)
    ]
    table = datasets.Dataset.from_list(rows)
    table.to_parquet(tmp_path / "a.parquet")
    table.save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "a.parquet", tmp_path / "saved"):
        found = list(formats.read(path))
        assert [item.turns[0].content for item in found] == [str(i) for i in range(300)]  # type: ignore[union-attr]
    (tmp_path / "b.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(UserError, match=r"b\.parquet cannot be read as parquet"):
        list(formats.read(tmp_path / "b.parquet"))


def test_text_in_pieces(tmp_path: Path) -> None:
    whole = "".join(f"第{number}段。" * 300 + "\n\n" for number in range(40))
    (tmp_path / "a.txt").write_text(whole, encoding="utf-8")
    pieces = list(formats.read(tmp_path / "a.txt", "document"))
    assert len(pieces) > 4
    assert all(isinstance(piece, Document) and piece.text.endswith("\n\n") for piece in pieces)
    assert "".join(piece.text for piece in pieces) == whole  # type: ignore[union-attr]


def test_yaml_talks(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("categories: [a]\nconversations:\n- [你好, 嗨, 再见]\n", encoding="utf-8")
    assert [item.turns for item in formats.read(tmp_path / "a.yml")] == [turns("你好", "嗨"), turns("嗨", "再见")]  # type: ignore[union-attr]


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("About the data.")
    (tmp_path / "dataset_info.json").write_text("{}")
    write_lines(tmp_path / "b.jsonl", [{"question": "二", "answer": "好"}])
    write_lines(tmp_path / "a.jsonl", [{"instruction": "一", "output": "好"}])
    assert [item.turns[0].content for item in formats.read(tmp_path)] == ["一", "二"]  # type: ignore[union-attr]
    write_lines(tmp_path / "c.jsonl", [{"text": "好"}])
    with pytest.raises(UserError, match=r"c\.jsonl, line 1 is text, but a\.jsonl, line 1 is alpaca"):
        list(formats.read(tmp_path))


# -- mistakes ---------------------------------------------------------------------------------------------------------

GOOD = {"instruction": "问", "output": "答"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"instruction": "问", "output": ""}, "line 2: the field 'output' is empty"),
        ({"instruction": "问", "output": " \n"}, "line 2: the field 'output' is empty"),
        ({"instruction": "问"}, "line 2: the field 'output' is missing; there are: instruction"),
        ({"instruction": 5, "output": "答"}, "line 2: the field 'instruction' is a number, not text"),
        ({"instruction": "问", "output": ["答"]}, "line 2: the field 'output' is a list, not text"),
        ({"instruction": "问", "output": "\ud83d"}, "half a character"),
        ({"instruction": "问", "output": "答", "history": ["一"]}, "'history' is no list"),
        ({"messages": []}, "line 2 is messages, but a.jsonl, line 1 is alpaca: two formats in one file"),
        ({"title": "x"}, "line 2 has no field that is known; it has: title"),
        ("hello", "line 2 is text, not an object"),
        (None, "line 2 is null, not an object"),
    ],
)
def test_mistakes_in_fields(tmp_path: Path, row: Any, words: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(row), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        list(formats.read(path))
    assert words in str(caught.value)
    assert "a.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([{"role": "usr", "content": "问"}], "[0].role names the role 'usr', which is not known. Did you mean user"),
        ([{"role": "user", "content": "问"}] * 2, "turn 2 is the user's and follows another user turn"),
        ([{"role": "assistant", "content": "问"}], "turn 1 is the assistant's and is the first"),
        ([{"role": "user", "content": "问"}, {"role": "system", "content": "短"}], "a system turn stands after"),
        ([{"role": "system", "content": "简短"}], "nobody says anything"),
        ([{"role": "user"}], "messages[0] has no field content (or value); it has: role"),
        ([{"content": "问"}], "messages[0] has no field role (or from)"),
        ([{"role": "user", "content": None}], "'messages[0].content' is null, not text"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "a part that is no text: 'image_url'"),
        (["问"], "messages[0] is text, not an object with role and content"),
        ([], "the field 'messages' has no turns"),
        ("问", "the field 'messages' is text, not a list of turns"),
    ],
)  # fmt: skip
def test_mistakes_in_turns(tmp_path: Path, said: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        list(formats.read(write_lines(tmp_path / "a.jsonl", [{"messages": said}])))
    assert str(caught.value).startswith("a.jsonl, line 1")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "问", "chosen": "好"}, "the field 'rejected' is missing"),
        ({"chosen": "好", "rejected": "坏"}, "what was asked is missing"),
        ({"messages": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}], "chosen": "好",
          "rejected": "坏"}, "do not end with the user's"),
        ({"prompt": "问", "chosen": [{"role": "user", "content": "好"}], "rejected": "坏"}, "does not end with"),
    ],
)  # fmt: skip
def test_mistakes_in_preferences(tmp_path: Path, row: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        list(formats.read(write_lines(tmp_path / "a.jsonl", [row])))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"text": "a"}\n\n{"text": \n', "a.jsonl, line 3 is no JSON: expecting value at column"),
        ("a.jsonl", b"[" * 100_000, "line 1 is no JSON"),
        ("a.json", b'[{"text": "a"},\n {"text" "b"}]', "a.json, line 2 is no JSON: expecting ':' delimiter"),
        ("a.json", b"[]", "holds no rows"),
        ("a.jsonl", b"\n \n", "holds no rows"),
        ("a.txt", b"", "a.txt is empty"),
        ("a.csv", b"instruction,output\n", "holds no rows"),
        ("a.csv", b"instruction,output\na,b,c\n", "a.csv, line 2 has more cells than the 2 of the header"),
        ("a.csv", b"instruction,output\na\n", "a.csv, line 2 has fewer cells"),
        ("a.csv", b'instruction,output\na,"b', "a.csv, line 2: unexpected end of data"),
        ("a.csv", b"text,text\na,b\n", "a.csv, line 1 has a column name twice"),
        ("a.yml", b"conversations: {", "a.yml, line 1 is no YAML"),
        ("a.yml", b"talks: []", "no list of talks under `conversations`"),
        ("a.docx", b"x", "is of no kind that can be read"),
        ("a.jsonl", '{"text": "今天天气"}'.encode("gb18030"), "looks like GB18030 (GBK). Convert it: iconv -f GB18030"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16"), "a.jsonl is written in UTF-16"),
        ("a.txt", b"caf\xe9 au lait", "a.txt, line 1 is not written in UTF-8 (byte 4 is 0xe9). Save it again"),
    ],
)  # fmt: skip
def test_mistakes_in_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(formats.read(tmp_path / name))
    assert words in str(caught.value)


def test_the_wrong_kind(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [GOOD])
    with pytest.raises(UserError, match="is alpaca, but pairs of replies"):
        list(formats.read(path, "preference"))
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no text data"):
        list(formats.read(tmp_path / "none"))


def test_json_lines_are_read_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD) + "\nbroken", encoding="utf-8")
    rows = formats.read(path)
    assert next(rows).id == "a.jsonl:1"
    with pytest.raises(UserError, match="line 2"):
        next(rows)


def test_json_lines_called_json(tmp_path: Path) -> None:
    assert len(list(formats.read(write_lines(tmp_path / "a.json", [GOOD, GOOD])))) == 2
    (tmp_path / "b.json").write_text(json.dumps(GOOD, indent=2))
    assert one(tmp_path / "b.json").turns == turns("问", "答")
