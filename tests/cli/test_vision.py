"""The commands over vision.vit, start to end, on digits that a small network has learned."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tsuite.core.errors import UserError

from ..commands import tsuite
from ..domains.vision.pictures import MICRO, digit_folder, photo

HEAD = {
    "command", "name", "version", "device", "threads", "seconds", "peak_memory_mb", "checkpoint", "data", "metrics",
    "results", "artifacts", "notices",
}  # fmt: skip


def checked(value: dict[str, Any], command: str) -> dict[str, Any]:
    """The head that all these commands share."""
    assert set(value) >= HEAD
    assert (value["command"], value["name"]) == (command, "vision.vit")
    assert set(value["checkpoint"]) == {"source", "sha256", "parameters", "base"}
    assert value["seconds"] > 0
    assert value["peak_memory_mb"] > 10
    return value


@pytest.fixture
def mixed(digit_data: Path, tmp_path: Path) -> Path:
    """Three good digits and a bad picture among them."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for label in "137":
        shutil.copy(next((digit_data / "test" / label).iterdir()), folder / f"{label}.png")
    (folder / "2-broken.png").write_bytes((folder / "1.png").read_bytes()[:60])
    return folder


# -- run ---------------------------------------------------------------------------------------------------------------


def test_run_on_pictures(digit_run: Path, digit_data: Path, here: Path) -> None:
    file = next((digit_data / "test" / "3").iterdir())
    said = tsuite("run", "vision.vit", file, digit_data / "test" / "5", "--checkpoint", digit_run, "--threads", 1)
    assert f"{1 + len(list((digit_data / 'test' / '5').iterdir()))} pictures" in said.out
    assert "saved outputs/vision.vit/predictions.png" in said.out
    with Image.open(here / "outputs" / "vision.vit" / "predictions.png") as picture:
        assert min(picture.size) > 300


def test_run_as_json(digit_run: Path, digit_data: Path, here: Path) -> None:
    file = next((digit_data / "test" / "3").iterdir())
    said = tsuite(
        "run", "vision.vit", file, "--checkpoint", digit_run, "--json", "--top", 2, "--no-picture", "--output", "o"
    )
    value = checked(said.json, "run")
    (result,) = value["results"]
    assert result["id"] == str(file)
    assert result["labels"][0]["name"] == "3"
    assert len(result["labels"]) == 2
    assert value["artifacts"] == []
    assert value["data"] is None
    assert value["checkpoint"]["source"] == str(digit_run)


def test_held_out_pictures_are_scored(digit_run: Path, digit_data: Path, here: Path) -> None:
    value = checked(tsuite("run", "vision.vit", "--data", digit_data, "--checkpoint", digit_run, "--json").json, "run")
    assert value["data"]["split"] == "test"
    assert value["data"]["n"] == len(value["results"]) == 359
    assert value["metrics"]["accuracy"] > 0.85
    assert set(value["metrics"]) == {"accuracy", "macro_f1", "balanced_accuracy"}
    assert all(Path(file).is_file() for file in value["artifacts"])


def test_a_bad_picture_among_good_ones(mixed: Path, digit_run: Path, here: Path) -> None:
    said = tsuite("run", "vision.vit", mixed, "--checkpoint", digit_run, "--json", code=2)
    value = checked(said.json, "run")
    good = [item for item in value["results"] if "labels" in item]
    assert [Path(item["id"]).name for item in good] == ["1.png", "3.png", "7.png"]
    (bad,) = [item for item in value["results"] if "error" in item]
    assert bad["id"].endswith("2-broken.png")
    assert any("2-broken.png" in notice for notice in value["notices"])
    plain = tsuite("run", "vision.vit", mixed, "--checkpoint", digit_run, code=2)
    assert "2-broken.png" in plain.out
    assert "saved" in plain.out


def test_nothing_but_bad_pictures(mixed: Path, digit_run: Path, here: Path) -> None:
    for name in "137":
        (mixed / f"{name}.png").unlink()
    said = tsuite("run", "vision.vit", mixed, "--checkpoint", digit_run, "--json", code=2)
    assert "2-broken.png" in said.json["error"]
    assert said.json["command"] == "run"
    assert said.err.startswith("tsuite: ")


def test_a_strange_picture_gets_a_notice(digit_run: Path, here: Path) -> None:
    photo().save("photo.jpg")
    value = tsuite("run", "vision.vit", "photo.jpg", "--checkpoint", digit_run, "--json").json
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in value["notices"][0]
    assert value["results"][0]["unlikeness"] > 1.5
    assert "note photo.jpg: this checkpoint may not know" in tsuite(
        "run", "vision.vit", "photo.jpg", "--checkpoint", digit_run
    ).out.replace("\n", " ")


def test_names_that_look_like_markup(digit_run: Path, digit_data: Path, here: Path) -> None:
    shutil.copy(next((digit_data / "test" / "3").iterdir()), here / "a[red]b[bold].png")
    assert "a[red]b[bold].png" in tsuite("run", "vision.vit", "a[red]b[bold].png", "--checkpoint", digit_run).out


# -- evaluate, bench, info ---------------------------------------------------------------------------------------------


def test_evaluate(digit_run: Path, digit_data: Path, here: Path) -> None:
    value = checked(
        tsuite("evaluate", "vision.vit", "--data", digit_data, "--checkpoint", digit_run, "--json").json, "evaluate"
    )
    assert value["results"] == []
    assert sum(map(sum, value["confusion"])) == 359
    assert {Path(file).name for file in value["artifacts"]} == {"predictions.png", "confusion.png"}


def test_evaluate_on_other_classes(digit_run: Path, here: Path) -> None:
    for name in ("cat", "dog"):
        (here / "pets" / name).mkdir(parents=True)
        photo().save(here / "pets" / name / "1.png")
    said = tsuite("evaluate", "vision.vit", "--data", "pets", "--checkpoint", digit_run, "--json", code=2)
    assert "classes that the checkpoint does not know: cat, dog" in said.json["error"]


def test_bench(digit_run: Path) -> None:
    words = ("bench", "vision.vit", "--checkpoint", digit_run, "--batch", 1, "--batch", 3, "--seconds", 0.05)
    value = checked(tsuite(*words, "--threads", 1, "--json").json, "bench")
    assert [row["batch"] for row in value["bench"]] == [1, 3]
    assert all(row["latency_ms"]["p50"] <= row["latency_ms"]["p99"] for row in value["bench"])
    assert all(row["runs"] >= 5 for row in value["bench"])
    assert value["threads"] == 1
    assert "images a second" in tsuite(*words).out
    assert "must be above zero" in tsuite("bench", "vision.vit", "--batch", 0, "--json", code=2).json["error"]


def test_info() -> None:
    value = tsuite("info", "vision.vit", "--json").json
    assert value["name"] == "vision.vit"
    assert value["finetune_options"]["lora"]["default"] == 0
    assert value["run_options"]["top"]["help"]
    assert "dinov2-small" in tsuite("info", "vision.vit").out


# -- finetune ----------------------------------------------------------------------------------------------------------

SET = [word for pair in MICRO.items() for word in ("--set", "=".join(pair))]
QUICK = ["--batch-size", "16", "--augment", "none", "--lr", "0.001", *SET]


def test_finetune_and_use(here: Path) -> None:
    digit_folder(here / "data", every=9, classes=3)
    said = tsuite("finetune", "vision.vit", "--data", "data", "--epochs", 2, *QUICK, "--json")
    value = checked(said.json, "finetune")
    assert value["run"] == "runs/vision.vit-1"
    assert value["epochs"] in (1, 2)
    assert value["data"]["split"] == "test"
    assert "pictures to learn from" in said.err
    assert "pictures to learn from" not in said.out
    assert checked(
        tsuite("evaluate", "vision.vit", "--data", "data", "--checkpoint", value["run"], "--json").json, "evaluate"
    )["metrics"] == pytest.approx(value["metrics"])
    assert "best after epoch" in tsuite("finetune", "vision.vit", "--data", "data", "--epochs", 1, *QUICK).out
    assert (here / "runs" / "vision.vit-2" / "best").is_dir()
    again = tsuite("finetune", "vision.vit", "--data", "data", "--run", value["run"], *QUICK, "--json", code=2)
    assert "already holds a run" in again.json["error"]


def start(*words: Any, folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        [sys.executable, "-m", "tsuite", *map(str, words)],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_interrupted_and_continued_equals_uninterrupted(here: Path) -> None:
    """Ctrl-C in the middle: the state is saved, the command that continues is printed and leads to the same weights."""
    digit_folder(here / "data", every=9, classes=3)
    words = ("finetune", "vision.vit", "--data", "data", "--epochs", 60, "--mixup", 0.2, *QUICK, "--json")
    tsuite(*words, "--run", "whole")
    process = start(*words, "--run", "parts", folder=here)
    metrics = here / "parts" / "metrics.jsonl"
    end = time.monotonic() + 60
    while time.monotonic() < end and (not metrics.is_file() or metrics.read_text().count("\n") < 8):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    told = json.loads(out)["error"]
    assert not (here / "parts" / "card.json").exists()
    command = re.search(r"tsuite (finetune vision\.vit --run \S+ --resume)", told)
    assert command, told
    assert command.group(0) in err
    tsuite(*command.group(1).split())
    whole, parts = ((here / run / "best" / "model.safetensors").read_bytes() for run in ("whole", "parts"))
    assert whole == parts
    cards = [json.loads((here / run / "card.json").read_text()) for run in ("whole", "parts")]
    assert cards[0]["test"] == cards[1]["test"]


def test_resume_without_a_run(here: Path) -> None:
    assert "no unfinished run" in tsuite("finetune", "vision.vit", "--resume", "--json", code=2).json["error"]


@pytest.fixture
def digits(digit_data: Path, digit_run: Path) -> tuple[Path, Path]:
    return digit_data, digit_run


# -- what a person gets wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("run", "vision.vti"), r"no model called 'vision\.vti'.*Did you mean vision\.vit\?"),
        (("run", "vision.vit", "--tpo", 3), "--tpo.*--top"),
        (("run", "vision.vit", "--top", "many"), "--top"),
        (("run", "vision.vit", "--top", 0), "--top must be at least 1"),
        (("run", "vision.vit", "--batch", 0), "--batch must be at least 1"),
        (("run", "vision.vit", "--device", "gpu"), "no device 'gpu'"),
        (("run", "vision.vit", "--device", "cuda:77"), r"No kernel runs on the device 'cuda:77'"),
        (("run", "vision.vit", "--threads", 0), "--threads must be at least 1"),
        (("run", "vision.vit", "--set", "image_size"), "--set takes key=value"),
        (("run", "vision.vit", "--set", "imge_size=32"), "no setting 'imge_size'.*image_size"),
        (("run", "vision.vit", "nowhere.png"), r"no file or folder 'nowhere\.png'"),
        (("run", "vision.vit", "--data", "mnist"), "no data called 'mnist'.*mnist_5k"),
        (("run", "vision.vit", "--output", "file/below"), "file/below cannot be made"),
        (("finetune", "vision.vit", "--data", "file"), "is no labelled data"),
        (("finetune", "vision.vit", "--set", "dimm=3"), "no setting 'dimm'.*dim"),
        (("finetune", "vision.vit", "--run", "file/below"), "file/below cannot be made"),
        (("finetune", "vision.vit", "--size", "huge"), "--size cannot be 'huge'"),
        (("finetune", "vision.vit", "--freeze", "half"), "--freeze takes none, all or a number"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_mistakes(words: tuple[Any, ...], match: str, as_json: bool, digits: tuple[Path, Path], here: Path) -> None:
    digit_data, digit_run = digits
    (here / "file").write_text("x")
    given = [*words]
    if words[:2] == ("run", "vision.vit"):
        named = "--data" in words or "nowhere.png" in words
        given += ["--checkpoint", digit_run, *([] if named else ["--data", digit_data])]
    elif "--data" not in words:
        given += ["--data", digit_data, "--epochs", 1]
    said = tsuite(*given, *(["--json"] if as_json else []), code=2)
    text = said.json["error"] if as_json else " ".join(said.err.split())
    assert re.search(match, text), text
    if as_json:
        assert said.json["exit_code"] == 2
    else:
        assert said.out == ""


def test_debug_shows_where(here: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint 'nowhere'"):
        tsuite("run", "vision.vit", "--checkpoint", "nowhere", "--debug")


@pytest.mark.parametrize("words", [("run", "vision.vit"), ("data", "fetch", "mnist_5k")])
def test_a_cache_that_cannot_be_written(
    words: tuple[str, ...], digit_run: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").touch()
    monkeypatch.setenv("TSUITE_CACHE", str(here / "file" / "cache"))
    more = ("--checkpoint", digit_run) if words[0] == "run" else ()
    error = tsuite(*words, *more, "--json", code=2).json["error"]
    assert "cannot be written" in error
    assert "TSUITE_CACHE" in error


# -- the examples that the help texts give -----------------------------------------------------------------------------


def examples() -> list[str]:
    found = set()
    for verb in ("run", "finetune", "evaluate", "bench", "info"):
        found |= set(re.findall(r"^\s*tsuite (.*?)\s*$", help_of(verb, "vision.vit"), re.M))
    for words in (("list",), ("doctor",), ("data", "list"), ("data", "fetch"), ("data", "info")):
        found |= set(re.findall(r"^\s*tsuite (.*?)\s*$", help_of(*words), re.M))
    return sorted(found)


def help_of(*words: str) -> str:
    return tsuite(*words, "--help").out


def test_help_has_examples() -> None:
    found = examples()
    assert len(found) >= 15
    assert "run vision.vit --json" in found
    for name in ("run", "finetune", "evaluate", "bench", "info", "data", "list", "doctor"):
        assert any(line.startswith(name) for line in found), name


@pytest.mark.slow
def test_every_example_runs(digit_run: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written; where no checkpoint ships yet, those that need one say so."""
    shipped = (Path(__file__).parents[2] / "domains" / "vision" / "vit" / "checkpoint").is_dir()
    for line in examples():
        if "finetune" in line and "--resume" in line:
            continue  # needs an interrupted run; tested above
        words = line.split()
        if words[0] == "finetune" and "--epochs" in words:
            words += ["--max-steps", "3"]
        needs = words[0] in ("run", "evaluate", "bench") or "embedded" in words
        said = tsuite(*words, code=None)
        assert said.code == 0 or (needs and not shipped and "no checkpoint" in said.err), f"{line}\n{said.err}"
