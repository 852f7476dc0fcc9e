"""Chat templates: turns as one text, in the words that the checkpoint was trained with.

A template is a jinja program that came with a checkpoint, so it runs in a sandbox that cannot reach anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...core.errors import UserError, missing_extra
from .conversation import Role, Turn
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from jinja2 import Template

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For a checkpoint without a template that has ChatML's two marks."""
PLAIN = (
    "{% for message in messages %}{{ '### ' + message['role'] | capitalize + ':\\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}"
)
"""For a checkpoint that has not even those: headings in plain text, and its end token after each reply."""
MARK = "\U000f5a5a"
"""Stands on both sides of a turn's number where its content would be; a private character, never in real text."""


def template_of(tokenizer: Tokenizer) -> str:
    """The tokenizer's own template, else ChatML where its marks are in the vocabulary, else plain headings."""
    if tokenizer.template is not None:
        return tokenizer.template
    marks = [tokenizer.backend.token_to_id(mark) for mark in ("<|im_start|>", "<|im_end|>")]
    chatml = marks[0] is not None and marks[1] in tokenizer.stop_ids
    start = "{{ bos_token }}" if tokenizer.adds_bos else ""
    return start + (CHATML if chatml else PLAIN)


def render(turns: Sequence[Turn], tokenizer: Tokenizer, *, prompt: bool) -> str:
    """The turns as text; with `prompt`, up to where the assistant's next reply begins.

    Raises `UserError` where the template refuses them (some know no system prompt) or is broken.
    """
    template = _compiled(template_of(tokenizer))
    tokens = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.end_id, "pad_token": tokenizer.pad_id}
    names = {name: "" if id is None else tokenizer.token(id) for name, id in tokens.items()}
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        return template.render(messages=messages, add_generation_prompt=prompt, tools=None, documents=None, **names)
    except Exception as error:  # whatever a foreign program may raise
        raise UserError(f"The chat template cannot take these turns: {error}.") from error


def pieces(turns: Sequence[Turn], tokenizer: Tokenizer, *, prompt: bool) -> list[str] | None:
    """The rendered text cut around the contents: [before the first, its content, between, …, after the last].

    None where the template does more with contents than to put them in (it leaves some out, or rewrites them).
    """
    frame = skeleton(tuple(turn.role for turn in turns), tokenizer, prompt=prompt)
    if frame is None:
        return None
    text = render(turns, tokenizer, prompt=prompt)
    for trim in (str, str.strip):
        contents = [trim(turn.content) for turn in turns]
        cut = [part for pair in zip(frame, [*contents, ""], strict=True) for part in pair][:-1]
        if "".join(cut) == text:
            return cut
    return None


def skeleton(roles: tuple[Role, ...], tokenizer: Tokenizer, *, prompt: bool) -> tuple[str, ...] | None:
    """What the template writes around the contents of such turns, one more than there are; None where it does not put
    each content in once and in order."""
    return _skeleton(roles, template_of(tokenizer), tokenizer, prompt)


@lru_cache(maxsize=4096)
def _skeleton(roles: tuple[Role, ...], _: str, tokenizer: Tokenizer, prompt: bool) -> tuple[str, ...] | None:
    turns = [Turn(role=role, content=f"{MARK}{number}{MARK}") for number, role in enumerate(roles)]
    parts = re.split(f"{MARK}([0-9]+){MARK}", render(turns, tokenizer, prompt=prompt))
    return tuple(parts[::2]) if parts[1::2] == [str(number) for number in range(len(roles))] else None


@lru_cache(maxsize=16)
def _compiled(template: str) -> Template:
    """The template, ready to run, with what templates in the wild expect to find."""
    try:
        import jinja2
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise missing_extra("jinja2", "text") from None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _generation()]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    try:
        return environment.from_string(template)
    except jinja2.TemplateError as error:
        raise UserError(f"The chat template is broken: {error}.") from error


def _generation() -> Any:
    """`{% generation %}` marks replies in some templates; here it only has to be no error."""
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 (jinja's own interface)

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return Generation


def _to_json(value: Any, indent: int | None = None, **others: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, **others)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
