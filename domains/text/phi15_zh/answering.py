"""From conversations to replies: prompts in tokens, generation in batches or as a stream, what references cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from ....core.errors import UserError
from ....core.generate import Generated, Sampling, Step, generate, stream
from ....core.language import LanguageModel
from ....core.runtime import give_back
from .. import chat, likelihood
from ..conversation import Conversation, Turn
from ..finetuned import Chatter
from ..replies import ReplyText, TokenChoice, choice_line
from .options import RunOptions

RUNNERS_UP = 4


@dataclass(frozen=True, kw_only=True)
class Replies:
    """What generation gave for each prompt: tokens, text, turns that were left out to fit, minus the log-probability
    of the reference (None where there is none), and with --show-probs each token with its runners-up."""

    generated: list[Generated]
    texts: list[str]
    dropped: list[int]
    nats: list[float | None]
    choices: list[tuple[TokenChoice, ...]]


class Answering:
    """A `Chatter` that is asked."""

    def __init__(self, chatter: Chatter) -> None:
        self.chatter, self.tokenizer = chatter, chatter.tokenizer
        self._arithmetic = "float32"

    def answer(self, conversations: Sequence[Conversation], options: RunOptions) -> Replies:
        """A reply to the prompt of each conversation, all in one batch, and the likelihood of the references.

        Raises UserError for a prompt that does not fit.
        """
        fitted = [self._fitted(item, options) for item in conversations]
        prompts, dropped = [ids for ids, _ in fitted], [count for _, count in fitted]
        nats = self.score(conversations, prompts)
        give_back()  # a cache made of what scoring left on the heap would be there as a whole before it is filled
        if options.show_probs:
            generated, choices = self._generate_telling(prompts, options)
        else:
            generated, choices = self._generate(prompts, options), [()] * len(prompts)
        give_back()  # batches of other lengths hardly fit into the gaps that this one leaves
        texts = [self._text(reply.ids, options) for reply in generated]
        return Replies(generated=generated, texts=texts, dropped=dropped, nats=nats, choices=choices)

    def pieces(self, turns: Sequence[Turn], options: RunOptions, *, told: Callable[[str], None]) -> Iterator[str]:
        """The reply to a conversation while it grows; with --show-probs a line for each token. `told` gets notices."""
        ids, dropped = self.prompt(turns, options)
        for notice in left_out(dropped):
            told(notice)
        if options.beams > 1 and not options.show_probs:  # a search has no reply before it has them all
            yield self._text(self._generate([ids], options)[0].ids, options)
            return
        text = self._empty(options)
        for step in self._steps([ids], [text], options):
            yield choice_line(self._choice(step)) + "\n" if options.show_probs else text.news()
        text.flush()
        yield text.news()

    def _fitted(self, item: Conversation, options: RunOptions) -> tuple[list[int], int]:
        try:
            return self.prompt(item.prompt, options)
        except UserError as error:
            raise UserError(f"{item.id}: {error.what}", error.hint) from None

    def prompt(self, turns: Sequence[Turn], options: RunOptions) -> tuple[list[int], int]:
        """The tokens that ask for the next reply, and how many of the oldest turns were left out for them to fit."""
        length = self.chatter.network.length
        reserve = min(options.max_new, length // 4)
        return chat.prompt_ids(turns, self.tokenizer, length=length, reserve=reserve, strict=options.strict)

    def score(self, conversations: Sequence[Conversation], prompts: Sequence[list[int]]) -> list[float | None]:
        """Minus the log-probability of each reference and the token that ends it; None where there is none."""
        rows = [row for row, item in enumerate(conversations) if item.reference]
        answers = [[*self.tokenizer.encode(conversations[row].reference or ""), self.tokenizer.end_id] for row in rows]
        asked = [prompts[row] for row in rows]
        found: list[float | None] = [None] * len(conversations)
        values = likelihood.answer_log_probabilities(self.chatter.network, asked, answers)
        for row, value in zip(rows, values, strict=True):
            found[row] = -value
        return found

    # -- generation -------------------------------------------------------------------------------------------------

    def _generate(self, prompts: list[list[int]], options: RunOptions) -> list[Generated]:
        stop = _watch([self._empty(options) for _ in prompts]) if stops(options) and options.beams == 1 else None
        model, ends = self._model(options), self.tokenizer.stop_ids
        found = generate(model, prompts, sampling(options), stop_ids=ends, stop=stop)
        if options.beams > 1 and stops(options):  # a search asks about replies that it does not take
            for reply in found:
                self._cut(reply, options)
        return found

    def _cut(self, reply: Generated, options: RunOptions) -> None:
        """End a whole reply at the first of the stop strings."""
        text = self._empty(options)
        for count, token in enumerate(reply.ids, 1):
            if token not in self.tokenizer.stop_ids:
                text.push(token)
            if text.stopped:
                reply.ids, reply.probabilities = reply.ids[:count], reply.probabilities[:count]
                reply.finished = "string"
                return

    def _generate_telling(
        self, prompts: list[list[int]], options: RunOptions
    ) -> tuple[list[Generated], list[tuple[TokenChoice, ...]]]:
        """The replies with each token's probability and runners-up."""
        texts = [self._empty(options) for _ in prompts]
        generated: list[Generated] = [Generated() for _ in prompts]
        choices: list[list[TokenChoice]] = [[] for _ in prompts]
        for step in self._steps(prompts, texts, options):
            choices[step.row].append(self._choice(step))
            generated[step.row].ids.append(step.token)
        for reply, text in zip(generated, texts, strict=True):
            ended = reply.ids[-1] in self.tokenizer.stop_ids
            reply.finished = "stop" if ended else "string" if text.stopped else "length"
        return generated, [tuple(row) for row in choices]

    def _steps(self, prompts: list[list[int]], texts: list[ReplyText], options: RunOptions) -> Iterator[Step]:
        others = RUNNERS_UP if options.show_probs else 0
        model, ends = self._model(options), self.tokenizer.stop_ids
        stop = _watch(texts) if options.beams == 1 else None
        steps = stream(model, prompts, sampling(options), stop_ids=ends, others=others, stop=stop)
        return (step for together in steps for step in together)

    def _model(self, options: RunOptions) -> LanguageModel:
        """The network in the arithmetic that was asked for, into which it is brought once."""
        network = self.chatter.network
        if options.weights != self._arithmetic:
            if self._arithmetic != "float32":
                raise UserError(f"This model runs in {self._arithmetic} already.", "Load it again for another.")
            self._arithmetic = options.weights
            network.to(torch.bfloat16)
        return network

    def _empty(self, options: RunOptions) -> ReplyText:
        return ReplyText(self.tokenizer, stops(options))

    def _text(self, ids: Sequence[int], options: RunOptions) -> str:
        text = self._empty(options)
        for token in ids:
            if token not in self.tokenizer.stop_ids:
                text.push(token)
        text.flush()
        return text.text.strip()

    def _choice(self, step: Step) -> TokenChoice:
        others = tuple((self._spelt(token), round(probability, 5)) for token, probability in step.others)
        return TokenChoice(text=self._spelt(step.token), probability=round(step.probability, 5), others=others)

    def _spelt(self, token: int) -> str:
        """A token for people: its text, or where it is a part of a character, its bytes."""
        if token in self.tokenizer.added:
            return self.tokenizer.token(token)
        piece = self.tokenizer.piece(token)
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return f"<{piece.hex(' ')}>"


def sampling(options: RunOptions) -> Sampling:
    """What decides the next token, as the core takes it."""
    names = (field.name for field in dataclasses.fields(Sampling) if field.name != "seed")
    seed = None if options.seed < 0 else options.seed
    return Sampling(**{name: getattr(options, name) for name in names}, seed=seed)


def stops(options: RunOptions) -> list[str]:
    """The stop strings of --stop."""
    return [stop for stop in options.stop.split("|") if stop]


def left_out(count: int) -> tuple[str, ...]:
    """A sentence on turns that did not fit, if there were any."""
    if not count:
        return ()
    return (f"the conversation is longer than the context: the {count} oldest turns were left out",)


def _watch(texts: list[ReplyText]) -> Callable[[int, list[int]], bool]:
    """A stop function that reads along in each row."""

    def stop(row: int, ids: list[int]) -> bool:
        texts[row].push(ids[-1])
        return texts[row].stopped

    return stop
