"""`tsuite run vision.vit --source`: films as results, cameras as a view, and how both end."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tsuite as package
from rich.console import Console
from tsuite.core.errors import UserError
from tsuite.domains.vision.vit import watching
from tsuite.domains.vision.vit.options import RunOptions

from ..commands import tsuite
from ..domains.vision.films import Camera, digit_film
from ..domains.vision.pictures import load

LABELS = [3, 1, 7, 0]


@pytest.fixture
def clip(here: Path) -> Path:
    """Twenty frames of four digits."""
    return digit_film(here / "film.mp4", LABELS)


def run(*words: object, checkpoint: Path, code: int = 0):
    return tsuite("run", "vision.vit", *words, "--checkpoint", checkpoint, "--threads", 1, code=code)


# -- a film as results ------------------------------------------------------------------------------------------------


def test_a_film_gives_one_result_a_frame(clip: Path, digit_run: Path, here: Path) -> None:
    said = run("--source", "film.mp4", "--json", checkpoint=digit_run).json
    results = said["results"]
    assert [item["id"] for item in results[:3]] == ["film.mp4@0.000s", "film.mp4@0.040s", "film.mp4@0.080s"]
    found = [item["labels"][0]["name"] for item in results[2::5]]
    assert sum(name == str(label) for name, label in zip(found, LABELS, strict=True)) >= 3
    assert said["source"] == {
        "source": "film.mp4", "live": False, "seen": 20, "dropped": 0, "damaged": 0, "reconnects": 0,
        "unfamiliar": said["source"]["unfamiliar"],
    }  # fmt: skip
    assert said["notices"] == []
    with (here / "outputs" / "vision.vit" / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [item["labels"][0]["name"] for item in results]
    assert rows[19]["seconds"] == "0.760"


def test_a_film_into_a_folder_in_batches(clip: Path, digit_run: Path, here: Path) -> None:
    said = run("--source", "film.mp4", "--fps", 10, "--batch", 3, "--output", "out", checkpoint=digit_run)
    assert "8 pictures" in said.out
    assert len((here / "out" / "frames.csv").read_text().splitlines()) == 9
    assert run("--source", "film.mp4", "--frames", 6, "--json", checkpoint=digit_run).json["source"]["seen"] >= 6


@pytest.mark.slow
def test_a_film_by_an_exported_model(clip: Path, digit_run: Path, here: Path) -> None:
    pytest.importorskip("onnxscript")
    tsuite("export", "vision.vit", "--checkpoint", digit_run, "--output", "exported", "--threads", 1)
    own, theirs = (run("--source", "film.mp4", "--json", checkpoint=one).json for one in (digit_run, here / "exported"))
    named = [[item["labels"][0]["name"] for item in said["results"]] for said in (own, theirs)]
    assert named[0] == named[1]


def test_a_camera_gives_so_many(digit_run: Path, here: Path) -> None:
    with Camera() as camera:
        said = run("--source", camera.url, "--frames", 3, "--json", checkpoint=digit_run).json
        assert len(said["results"]) == 3
        assert said["source"]["live"]
        err = run("--source", camera.url, "--json", checkpoint=digit_run, code=2).err
    assert "has no end" in err
    assert "--frames" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--source", "none.mp4"], "There is no file none.mp4"),
        (["--source", "none.mp4", "--json"], "There is no file none.mp4"),
        (["film.mp4", "--source", "film.mp4"], "--source names what to look at"),
        (["--source", "film.mp4", "--fps", "-1"], "--fps cannot be negative"),
        (["--source", "text.mp4"], "text.mp4 cannot be read"),
    ],
)
def test_what_cannot_work(words: list[str], told: str, clip: Path, digit_run: Path, here: Path) -> None:
    (here / "text.mp4").write_text("no film", encoding="utf-8")
    assert told in run(*words, checkpoint=digit_run, code=2).err


def test_in_research_code(clip: Path, digit_run: Path) -> None:
    task = load(digit_run)
    results = task(source=str(clip), fps=5.0)
    assert [result.time for result in results] == pytest.approx([0.0, 0.2, 0.4, 0.6])
    assert task.summarise(results).conduct["source"]["seen"] == 4


# -- a view -----------------------------------------------------------------------------------------------------------


def test_a_film_is_watched_to_its_end(clip: Path, digit_run: Path) -> None:
    said = run("--source", "film.mp4", checkpoint=digit_run)
    assert "20 frames answered" in said.err
    assert "seen: " in said.err
    assert said.out == ""


class Slow:
    """A model that takes a while."""

    def __init__(self, task: Any, seconds: float) -> None:
        self.labels, self.preprocessing, self.task, self.seconds = task.labels, task.preprocessing, task, seconds

    def infer(self, *arguments: Any) -> Any:
        time.sleep(self.seconds)
        return self.task.infer(*arguments)


def test_a_slow_model_sees_the_newest_frames(digit_run: Path, here: Path) -> None:
    stream = io.StringIO()
    with Camera(rate=50) as camera:
        options = RunOptions(source=camera.url, frames=10)
        view = {}

        class View(watching.View):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                view["it"] = self

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(watching, "View", View)
            watching.watch(Slow(load(digit_run), 0.06), options, Console(file=stream, width=200))
    latencies = list(view["it"].latencies)
    assert len(latencies) == 10
    assert min(latencies) > 0.06
    assert sorted(latencies)[5] < 0.06 + 1 / 50 + 0.08  # bounded by one look: nothing queues
    assert "dropped: " in stream.getvalue()
    assert "10 frames answered" in stream.getvalue()


def test_nothing_grows_with_time(clip: Path, digit_run: Path) -> None:
    task = load(digit_run)
    options = RunOptions(source=str(clip))
    view = watching.View(watching.opened(task, options), options, None)
    (result,) = (task(source=str(clip), frames=1),)
    for number in range(2000):
        view.answer(result, 0.01)
        view.note(str(number))
    assert (len(view.latencies), len(view.moments)) == (watching.WINDOW, watching.WINDOW)
    assert (len(view.notes), len(view.labels)) == (watching.NOTES, 1)
    assert "2,000 frames answered" in view.summary()
    view.frames.close()


def test_the_view_stays_as_high(clip: Path, digit_run: Path) -> None:
    task, stream = load(digit_run), io.StringIO()
    options = RunOptions(source=str(clip), top=3)
    view = watching.View(watching.opened(task, options), options, None)
    console = Console(file=stream, width=80, force_terminal=True)
    heights = [len(console.render_lines(view.draw()))]
    view.answer(task(source=str(clip), frames=1), 0.01)
    heights.append(len(console.render_lines(view.draw())))
    assert heights == [5, 5]
    console.print(view.draw())
    assert f"0:00:00.0  {str(clip)[:20]}" in stream.getvalue()
    assert "from frame to answer" in stream.getvalue()
    view.frames.close()


def test_a_backbone_has_nothing_to_show(clip: Path, digit_run: Path) -> None:
    task = load(digit_run)
    task.labels = ()
    with pytest.raises(UserError, match="backbone without classes"):
        watching.watch(task, RunOptions(source=str(clip)), None)


# -- how it ends ------------------------------------------------------------------------------------------------------


def started(*words: object, checkpoint: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tsuite", "run", "vision.vit", *map(str, words), "--checkpoint", str(checkpoint)]
    path = str(Path(next(iter(package.__path__))).parent)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary(number: signal.Signals, digit_run: Path, here: Path) -> None:
    with Camera() as camera:
        process = started("--source", camera.url, "--threads", 1, checkpoint=digit_run)
        while not camera.served > 20:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == ""
    assert "frames answered in" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_signal_in_a_long_film(digit_run: Path, here: Path) -> None:
    digit_film(here / "film.mp4", LABELS, per=2000)
    process = started("--source", "film.mp4", "--threads", 1, checkpoint=digit_run)
    threading.Timer(12, process.send_signal, (signal.SIGINT,)).start()
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0
    assert "frames answered in" in err


@pytest.mark.slow
def test_a_camera_that_stays_away_is_an_error_with_a_summary(digit_run: Path, here: Path) -> None:
    with Camera() as camera:
        process = started("--source", camera.url, "--reconnect", 1, "--threads", 1, checkpoint=digit_run)
        while not camera.served > 20:
            time.sleep(0.05)
        camera.stop()
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "is gone (" in err
    assert "frames answered in" in err
    assert "has been gone for 1 s" in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_results_so_far(number: signal.Signals, digit_run: Path, here: Path) -> None:
    with Camera() as camera:
        process = started("--source", camera.url, "--frames", 100_000, "--json", "--threads", 1, checkpoint=digit_run)
        while not camera.served > 60:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (0, False)
    said = json.loads(out)
    assert 0 < len(said["results"]) < 1000
    assert any("stopped by a signal" in notice for notice in said["source"]["notices"])
    assert len((here / "outputs" / "vision.vit" / "frames.csv").read_text().splitlines()) == len(said["results"]) + 1


def test_json_stays_one_object_when_the_source_is_gone(digit_run: Path, here: Path) -> None:
    with Camera() as camera:
        threading.Timer(0.6, camera.stop).start()
        said = run("--source", camera.url, "--frames", 500, "--reconnect", 0.3, "--json", checkpoint=digit_run, code=2)
    assert "has been gone for 0.3 s" in json.loads(said.out)["error"]
