"""gymnasium's environments: made by name, described as plain data, drawn without a screen."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...core.errors import UserError, missing_extra, near
from .scores import reference
from .spaces import Space
from .words import reason

if TYPE_CHECKING:
    from .episodes import Setting

OWN = "tsuite/"
"""Environments of this package begin with it."""
ENDLESS = 1000
"""Steps after which an episode is cut in an environment without a time limit of its own."""
_named: set[str] = set()
"""Modules that the person named."""


def name(env: str) -> str:
    """`env` as a person typed it: the module of `module:id` may then be imported, which runs it."""
    _named.add(env.rpartition(":")[0])
    return env


def gymnasium() -> Any:
    """The package. Raises UserError where it is not installed."""
    try:
        import gymnasium as package
    except ModuleNotFoundError as error:
        raise missing_extra("gymnasium", "control") from error
    return package


def make(env: str, *, render: bool = False, **options: Any) -> Any:
    """The gymnasium environment `env` (an id, or `module:id`), made with `options`; with `render`, its `render()` gives
    pictures [H, W, 3] where the packages for that are there.

    Raises UserError for an id that is not known (near ones are named), a package that is not installed, an option
    that the environment does not take, and a module that stands in a file and nobody has named (see `name`).
    """
    gym = gymnasium()
    _find(gym, env)
    headless()
    _hush(gym, env)
    given = dict(options)
    if render and "rgb_array" in _modes(gym, env):
        given["render_mode"] = "rgb_array"
    with quiet():
        try:
            return gym.make(env, **given)
        except gym.error.DependencyNotInstalled as error:
            raise _missing(env, error) from error
        except ModuleNotFoundError as error:
            raise missing_extra(error.name or "of this environment", "control") from error
        except (TypeError, gym.error.Error) as error:
            raise UserError(f"{env} cannot be made with {_told(options)}: {reason(error)}.") from error


def make_many(env: str, count: int, *, render_first: bool = False, **options: Any) -> list[Any]:
    """`count` of them, to be stepped one after another; `render_first`: only the first draws."""
    return [make(env, render=render_first and number == 0, **options) for number in range(count)]


def setting_of(env: str, **options: Any) -> Setting:
    """What `env` is, as plain data. Raises UserError as `make` does, and for spaces that are no numbers or choices."""
    from .episodes import Setting

    made = make(env, **options)
    try:
        spec = made.spec
        return Setting(
            observation=Space.from_gymnasium(made.observation_space),
            action=Space.from_gymnasium(made.action_space),
            env=env,
            env_options=dict(options),
            max_steps=spec.max_episode_steps,
            threshold=None if spec.reward_threshold is None else float(spec.reward_threshold),
            reference=reference(env),
        )
    finally:
        made.close()


def options_in(text: str) -> dict[str, Any]:
    """`options_of` "option=value, option=value". UserError for a word without `=`."""
    from .recording import pairs

    return options_of(pairs(list(filter(None, map(str.strip, text.split(",")))), "--env-options"))


def options_of(settings: Mapping[str, str]) -> dict[str, Any]:
    """`--set option=value` as an environment takes them: numbers, true/false, null and lists as in JSON, else text."""
    import json

    found: dict[str, Any] = {}
    for key, text in settings.items():
        plain = {"True": "true", "False": "false", "None": "null"}.get(text, text)
        try:
            found[key] = json.loads(plain, parse_constant=_finite, parse_float=_finite)
        except ValueError:
            found[key] = _finite(text) if text.lower().lstrip("+-") in ("nan", "inf", "infinity") else text
    return found


def _finite(word: str) -> float:
    if not np.isfinite(float(word)):
        raise UserError(f"--set takes finite numbers, not {word}.")
    return float(word)


def render(env: Any) -> np.ndarray | None:
    """[H, W, 3] uint8 of what the environment looks like now; None where it does not draw, or the package or the GL
    library that it draws with is not there."""
    if env.render_mode != "rgb_array":
        return None
    try:
        with quiet():
            frame = env.render()
        return None if frame is None else np.asarray(frame, np.uint8)[..., :3]
    except Exception:  # whatever a drawing package raises on a machine without a screen
        return None


def headless() -> None:
    """MuJoCo draws through EGL where there is no display and nothing else was asked for."""
    if not any(os.environ.get(name) for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")):
        os.environ["MUJOCO_GL"] = "egl"
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that gymnasium and MuJoCo give to their developers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"gymnasium|mujoco|pygame|glfw|pkg_resources")
        yield


def _find(gym: Any, env: str) -> None:
    """Register our own, import the module of `module:id`, and see that the id is known."""
    if env.startswith(OWN):
        from . import grid

        grid.register()
    module, colon, name = env.rpartition(":")
    if colon and module not in _named:
        raise UserError(
            f"The environment {env} is one of the module {module}, and to import it is to run it.",
            f"If you trust it, name it yourself: --env {env}",
        )
    if colon:
        import importlib

        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UserError(f"There is no module {error.name}, which {env} names.", "Is it installed?") from error
    known = set(gym.registry)
    if name not in known:
        if "/" not in name and "-v" not in name:
            newest = sorted(item for item in known if item.rpartition("-v")[0] == name)
            raise UserError(f"There is no environment {env!r}.", near(name, newest or known))
        raise UserError(f"There is no environment {env!r}.", near(name, known))


def _hush(gym: Any, env: str) -> None:
    """MuJoCo writes its warnings for developers into a file in the current folder: not into a person's."""
    entry = gym.spec(env.rpartition(":")[2]).entry_point
    if isinstance(entry, str) and "mujoco" in entry:
        with contextlib.suppress(ImportError, AttributeError):
            import mujoco

            cast(Any, mujoco).set_mju_user_warning(lambda _: None)


def _modes(gym: Any, env: str) -> tuple[str, ...]:
    """The ways of drawing that an environment declares."""
    return tuple(_metadata(gym, env).get("render_modes", ()))


def _metadata(gym: Any, env: str) -> Mapping[str, Any]:
    """What the class of an environment says about it."""
    entry = gym.spec(env.rpartition(":")[2]).entry_point
    with quiet():
        try:
            kind = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        except (ImportError, AttributeError, gym.error.Error):
            return {}
    return getattr(kind, "metadata", None) or {}


def frame_rate(env: str) -> int | None:
    """Steps a second of an environment, as its pictures are meant to be shown; None where nobody says."""
    try:
        gym = gymnasium()
        _find(gym, env)
    except UserError:
        return None
    rate = _metadata(gym, env).get("render_fps")
    return round(rate) if isinstance(rate, int | float) and rate >= 1 else None


def _missing(env: str, error: Exception) -> UserError:
    """gymnasium says what to install; so do we, by its first sentence."""
    first = str(error).strip().splitlines()[0]
    if "mujoco" in first.lower():
        return missing_extra("mujoco", "control")
    return UserError(f"{env} needs a package that is not installed: {first.rstrip('.')}.")


def _told(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items()) or "its defaults"
