"""How commands end: a clear sentence and exit code 2 for what the user can mend, 1 for our own faults, never a
traceback unless `--debug` asks for it."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ..core.errors import UserError


def is_debug(arguments: list[str] | None = None) -> bool:
    """Whether `--debug` was given."""
    return "--debug" in (sys.argv if arguments is None else arguments)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its errors turned into sentences and exit codes."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
            sys.stdout.flush()  # here, where a reader that went away is still an exception
        except (SystemExit, GeneratorExit):
            raise
        except KeyboardInterrupt:
            raise SystemExit(report_error(UserError("Stopped."), as_json="--json" in sys.argv, debug=False)) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
            raise SystemExit(0) from None
        except Exception as error:
            raise SystemExit(report_error(error, as_json="--json" in sys.argv, debug=is_debug())) from None

    return command


def report_error(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Say what went wrong, on stderr and, for machines, as the one JSON object on stdout; gives the exit code."""
    if debug:
        raise error
    code = 2 if isinstance(error, (UserError, MemoryError)) or _is_disk(error) else 1
    what = str(error) if isinstance(error, UserError) else _sentence(error)
    if as_json:
        print(json.dumps({**_asked(), "error": what, "exit_code": code}, ensure_ascii=False))  # noqa: T201
    print(f"tsuite: {what}", file=sys.stderr)  # noqa: T201
    return code


def _asked() -> dict[str, str]:
    """The head of every JSON object, as far as it is known when nothing was done."""
    from importlib.metadata import version

    words = [item for item in sys.argv[1:] if not item.startswith("-")]
    return {
        "command": "",
        "name": "",
        **dict(zip(("command", "name"), words, strict=False)),
        "version": version("tsuite"),
    }


def _is_disk(error: Exception) -> bool:
    """A full disk, a missing permission: the system's complaint, which the user can mend."""
    return isinstance(error, OSError) and error.filename is not None


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "There is not enough memory. Try a smaller --batch or --batch-size, or close other programs."
    if _is_disk(error):
        assert isinstance(error, OSError)
        return f"{error.filename}: {error.strerror}."
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first} (a fault of tsuite; --debug shows where)"
