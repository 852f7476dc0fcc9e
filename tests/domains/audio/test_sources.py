"""Live sound: a radio that is served at real pace and falls silent, and a listener who is too slow for it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from rich.console import Console
from tsuite.core import feed as feeds
from tsuite.core.errors import UserError
from tsuite.domains.audio import sources
from tsuite.domains.audio.asr import streaming
from tsuite.domains.audio.asr.options import RunOptions
from tsuite.domains.audio.sources import pieces

from . import tinyasr
from .sounds import save, tone

SILENCE = np.zeros(8000, np.float32)


def encoded(samples: np.ndarray) -> bytes:
    """Samples [N] at 16 kHz as MP2 in a transport stream, which has no header that tells a length."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mpegts") as container:
        track: Any = container.add_stream("mp2", rate=16_000, layout="mono")
        for start in range(0, len(samples) - 1152, 1152):
            part = (samples[start : start + 1152] * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, start
            container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()


class Radio:
    """Sends `content` over `seconds` to everybody who listens, and then hangs up."""

    def __init__(self, content: bytes, seconds: float) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                size, start = 188 * 4, time.monotonic()
                for place in range(0, len(content), size):
                    time.sleep(max(0.0, start + seconds * place / len(content) - time.monotonic()))
                    try:
                        self.wfile.write(content[place : place + size])
                    except OSError:
                        return

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/radio"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> Radio:
        return self

    def __exit__(self, *error: Any) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "FIRST_WAIT", 0.05)


def joined(found: Iterable[sources.Piece]) -> np.ndarray:
    return np.concatenate([samples for _, samples in found])


def test_a_file_at_its_own_pace(tmp_path: Path) -> None:
    save(tmp_path / "tone.wav", tone(0.45))
    start = time.monotonic()
    with pieces(str(tmp_path / "tone.wav"), reconnect=0, tell=print) as heard:
        found = list(heard)
    assert 0.4 < time.monotonic() - start < 1.0
    assert [at for at, _ in found] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert len(joined(found)) == pytest.approx(0.45 * 16_000, abs=16)


def test_a_radio_that_falls_silent_is_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with Radio(encoded(tone(1.0)), 0.3) as radio, pieces(radio.url, reconnect=5, tell=told.append) as heard:
        found = []
        for piece in heard:
            found.append(piece)
            if sum(" is back " in text for text in told) == 2:
                break
    assert told[0] == f"{radio.url} is gone (it ended); it is tried again for 5 s"
    begins = [(at, len(samples) / 16_000) for at, samples in found]
    gaps = [after - before - lasts for (before, lasts), (after, _) in pairwise(begins)]
    assert all(gap > -1e-6 for gap in gaps)
    assert np.abs(joined(found)).max() > 0.1


def test_who_is_too_slow_loses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BEHIND", 5)
    with Radio(encoded(tone(6.0)), 0.5) as radio, pieces(radio.url, reconnect=0, tell=print) as heard:
        times = []
        for at, samples in heard:
            times.append((at, len(samples) / 16_000))
            time.sleep(0.1)
            if len(times) == 6:
                break
    lost = sum(after - before - lasts for (before, lasts), (after, _) in pairwise(times))
    assert lost > 0.4
    assert times[-1][0] > 6 * 0.1 + 0.4  # what is heard is new


def test_a_recogniser_hears_a_radio_and_says_what_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    task, stream = tinyasr.task_class().load(str(tinyasr.trained())), io.StringIO()
    said = np.concatenate([SILENCE, tinyasr.say("do re"), SILENCE, SILENCE])
    with Radio(encoded(said), 0.5) as radio:
        options = RunOptions(speech="off", source=radio.url, reconnect=0.3)
        threading.Timer(0.9, radio.http.server_close).start()
        with pytest.raises(UserError, match=r"has been gone for 0\.3 s"):
            streaming.listen(task.recogniser, radio.url, options, Console(file=stream, width=200))
    assert capsys.readouterr().out.splitlines()[0].endswith(" re")  # the codec has blurred the tones
    assert "is gone (it ended)" in stream.getvalue()


def test_where_sound_was_lost_hearing_begins_anew(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    first, second = (np.concatenate([tinyasr.say(text), SILENCE, SILENCE]) for text in ("do", "ore"))

    @contextmanager
    def gap(*_: Any, **__: Any) -> Any:
        yield iter([(0.0, first[:9000]), (65.0, second)])

    task, stream = tinyasr.task_class().load(str(tinyasr.trained())), io.StringIO()
    monkeypatch.setattr(streaming, "pieces", gap)
    streaming.listen(task.recogniser, "mic", RunOptions(speech="off"), Console(file=stream, width=200))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["do", "ore"]
    assert lines[1].startswith("01:05")  # times are those of the clock
    assert "64.4 s of sound were lost 01:05.0 after the beginning" in stream.getvalue()
    assert "64.4 s were lost" in stream.getvalue()


def test_ctrl_c_leaves_what_was_written_down(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    def until_ctrl_c() -> Any:
        yield 0.0, np.concatenate([tinyasr.say("rod"), SILENCE])[:-6000]
        raise KeyboardInterrupt

    @contextmanager
    def broken_off(*_: Any, **__: Any) -> Any:
        yield until_ctrl_c()

    task = tinyasr.task_class().load(str(tinyasr.trained()))
    monkeypatch.setattr(streaming, "pieces", broken_off)
    streaming.listen(task.recogniser, "mic", RunOptions(speech="off"), None)
    assert "rod" in capsys.readouterr().out
