"""The command line called inside this process."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

import pytest
from tsuite.cli.app import start


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; an error where there is more or less."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def tsuite(*words: Any, code: int | None = 0) -> Said:
    """`tsuite WORDS…` inside this process; checks the exit code."""
    arguments = [str(word) for word in words]
    out, err = io.StringIO(), io.StringIO()
    ended = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr("sys.argv", ["tsuite", *arguments])
        patch.setenv("COLUMNS", "200")
        patch.setenv("ACCELERATE_USE_CPU", "true")
        try:
            start(arguments)
        except SystemExit as end:
            ended = end.code if isinstance(end.code, int) else int(end.code is not None)
    said = Said(code=ended, out=out.getvalue(), err=err.getvalue())
    assert code is None or ended == code, f"exit code {ended}\n{said.out}\n{said.err}"
    assert "Traceback" not in said.err
    return said
