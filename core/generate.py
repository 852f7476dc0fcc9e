"""Generation: a language model continues prompts, token by token.

    for steps in stream(model, [[5, 7], [9]], Sampling(temperature=0.7, seed=1), stop_ids=frozenset({2})):
        for step in steps:
            print(step.row, step.token, step.probability)

Knows token ids only; what they stand for is the caller's business.

Axes: B rows still running, T tokens read at once, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from .beams import beam_search
from .cache import Cache
from .language import LanguageModel
from .lookup import NgramIndex
from .prompts import PromptBatch
from .sampling import Sampling, choose, forbid_repeats, penalise_repetition

Processor = Callable[[list[int], list[list[int]], Tensor], Tensor]
"""(rows, the ids of each so far, prompt included, logits [B, V]) -> logits [B, V]: forbids or favours tokens."""

Stop = Callable[[int, list[int]], bool]
"""(row, the ids of its reply so far) -> whether the reply ends here; for stop strings."""


@dataclass(frozen=True)
class Step:
    """One token of one row, with its probability and those of the runners-up [(token, probability), …], best first.

    Probabilities are the model's own: before temperature, penalties and whatever else decides the draw.
    """

    row: int
    token: int
    probability: float
    others: tuple[tuple[int, float], ...] = ()


@dataclass
class Generated:
    """A reply: its ids (a stop id that ended it included), their probabilities, and why it ended."""

    ids: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    finished: Literal["stop", "length", "string"] = "length"


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling | None = None,
    *,
    stop_ids: frozenset[int] = frozenset(),
    stop: Stop | None = None,
    processors: Sequence[Processor] = (),
    past: Cache | None = None,
) -> list[Generated]:
    """The whole reply to each prompt; arguments and errors as for `stream`."""
    replies = [Generated() for _ in prompts]

    def watch(row: int, ids: list[int]) -> bool:
        ended = stop is not None and stop(row, ids)
        replies[row].finished = "string" if ended else "length"
        return ended

    steps = stream(
        model, prompts, sampling, stop_ids=stop_ids, stop=watch if stop else None, processors=processors, past=past
    )
    for step in (step for together in steps for step in together):
        replies[step.row].ids.append(step.token)
        replies[step.row].probabilities.append(step.probability)
    for row, reply in enumerate(replies):
        if reply.ids[-1] in stop_ids:
            reply.finished = "stop"
        elif stop is not None:
            watch(row, reply.ids)  # beam search asks about many replies; this is the one that was taken
    return replies


@torch.inference_mode()  # of a generator: entered for each step and left before the caller gets it
def stream(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling | None = None,
    *,
    stop_ids: frozenset[int] = frozenset(),
    others: int = 0,
    stop: Stop | None = None,
    processors: Sequence[Processor] = (),
    past: Cache | None = None,
) -> Iterator[list[Step]]:
    """The replies to prompts (lists of token ids) as they grow: one list a decoding step, of the rows still running.

    A row ends with one of `stop_ids` (which is its last step), where `stop(row, ids of the reply)` says so, after
    `sampling.max_new` tokens, or where the model's length is full. others: runners-up wanted with each token.
    processors change the logits first. past: a cache of what precedes every prompt (a tuned prefix); it is not changed.
    Beam search yields when it is done. May be left at any time. Raises UserError for a prompt that is empty, longer
    than the model, or holds ids the model does not know.
    """
    sampling = sampling or Sampling()
    if not prompts:
        return
    fixed = sampling.greedy and len(prompts) == 1 and not processors
    drafts = sampling.lookup if fixed else 0
    with _evaluating(model):
        batch = PromptBatch(model, prompts, room=sampling.max_new, past=past)
        replies = _Replies(batch, stop_ids, stop, others)
        if sampling.beams > 1:
            process = _process(sampling, processors, prompts)
            best = beam_search(batch, beams=sampling.beams, stop_ids=stop_ids, stop=stop, process=process)
            yield from _retold(model, prompts, best, others, past)
        elif drafts:
            yield from _with_lookup(batch, replies, drafts)
        else:
            yield from _plain(batch, replies, sampling, _process(sampling, processors, prompts))


class _Replies:
    """The replies so far, which of their rows stand in the batch, and which of those still run."""

    def __init__(self, batch: PromptBatch, stop_ids: frozenset[int], stop: Stop | None, others: int) -> None:
        self.batch, self.stop_ids, self.stop, self.others = batch, stop_ids, stop, others
        self.ids: list[list[int]] = [[] for _ in batch.prompts]
        self.rows = list(range(len(batch.prompts)))  # of the batch, by place
        self.running = set(self.rows)

    def take(self, tokens: list[int], logits: Tensor) -> list[Step]:
        """Append a token to each running row; logits [B, V] are what it was chosen from."""
        steps = []
        for row, token, told in zip(self.rows, tokens, _told(logits, tokens, self.others), strict=True):
            if row not in self.running:
                continue
            ids = self.ids[row]
            ids.append(token)
            ended = token in self.stop_ids
            # It reads along, so no token is left out.
            stopped = not ended and self.stop is not None and self.stop(row, ids)
            if ended or stopped or len(ids) >= self.batch.room:
                self.running.discard(row)
            steps.append(Step(row, token, *told))
        return steps

    def compact(self) -> list[int] | None:
        """Take ended rows out of the batch once there is one in thirty-two (copying some of the cache takes its time);
        returns the places that stay: the last ones stand where some have ended, so that few have to be moved."""
        ended = len(self.rows) - len(self.running)
        if 32 * ended < len(self.rows) or not ended or not self.running:
            return None
        places = [place for place, row in enumerate(self.rows) if row in self.running]
        stay = set(places)
        late = iter(reversed(places))
        places = [place if place in stay else next(late) for place in range(len(places))]
        self.batch.select(places)
        self.rows = [self.rows[place] for place in places]
        return places


def _plain(
    batch: PromptBatch, replies: _Replies, sampling: Sampling, process: Processor | None
) -> Iterator[list[Step]]:
    """One token of each row a step."""
    random = torch.Generator("cpu" if batch.device.type == "meta" else batch.device)
    if sampling.temperature > 0:
        _ = random.seed() if sampling.seed is None else random.manual_seed(sampling.seed)
    logits = batch.start().float()
    while True:
        rows, adjusted = replies.rows, logits
        if process is not None:
            adjusted = process(rows, [[*batch.prompts[row], *replies.ids[row]] for row in rows], logits)
        # Noise for every row there ever was: a row draws the same whichever others have ended.
        noise = torch.rand(len(batch.prompts) if sampling.temperature else 0, generator=random, device=batch.device)
        tokens = choose(adjusted, sampling, noise[rows] if sampling.temperature else noise)
        yield replies.take(tokens.tolist(), logits)
        if not replies.running:
            return
        places = replies.compact()
        logits = batch.feed((tokens if places is None else tokens[places])[:, None])[:, -1].float()


def _with_lookup(batch: PromptBatch, replies: _Replies, most: int) -> Iterator[list[Step]]:
    """Greedy decoding of one row, several tokens a pass where the text repeats itself.

    The continuation of an earlier match is fed after the last token; as long as it is what the model would have said,
    it is kept, and then comes the model's own token. The rest leaves the cache again.
    """
    index = NgramIndex(batch.prompts[0])
    logits = batch.start().float()
    draft: list[int] = []
    while True:
        # logits [1 + drafted, V]: row i follows the last token and i drafted ones
        wanted = logits.argmax(dim=-1).tolist()
        accepted = next((i for i, token in enumerate(draft) if token != wanted[i]), len(draft))
        for place in range(accepted + 1):
            yield replies.take(wanted[place : place + 1], logits[place : place + 1])
            if not replies.running:
                return
        index.extend(wanted[: accepted + 1])
        batch.cache.truncate(batch.cache.length - len(draft) + accepted)
        draft = index.draft(min(most, batch.capacity - batch.cache.length - 1))
        tokens = torch.tensor([[wanted[accepted], *draft]], device=batch.device)
        logits = batch.feed(tokens)[0].float()


def _retold(
    model: LanguageModel, prompts: Sequence[Sequence[int]], replies: list[list[int]], others: int, past: Cache | None
) -> Iterator[list[Step]]:
    """Steps for replies that are complete, with the probabilities from one pass over each."""
    told = []
    for prompt, reply in zip(prompts, replies, strict=True):
        batch = PromptBatch(model, [prompt], room=len(reply), past=past)
        logits = batch.start()
        if len(reply) > 1:
            rest = batch.feed(torch.tensor([reply[:-1]], device=batch.device))[0]
            logits = torch.cat([logits, rest])
        told.append(_told(logits.float(), reply, others))
    for place in range(max(len(reply) for reply in replies)):
        yield [Step(row, reply[place], *told[row][place]) for row, reply in enumerate(replies) if place < len(reply)]


def _process(sampling: Sampling, processors: Sequence[Processor], prompts: Sequence[Sequence[int]]) -> Processor | None:
    """What repels repetition and the caller's processors as one, None where there is nothing to do."""
    if not sampling.repels and not processors:
        return None

    def process(rows: list[int], ids: list[list[int]], logits: Tensor) -> Tensor:
        if sampling.repetition_penalty != 1:
            logits = penalise_repetition(logits, ids, sampling.repetition_penalty)
        if sampling.no_repeat_ngram:
            replies = [seen[len(prompts[row]) :] for row, seen in zip(rows, ids, strict=True)]
            logits = forbid_repeats(logits, replies, sampling.no_repeat_ngram)
        for processor in processors:
            logits = processor(rows, ids, logits)
        return logits

    return process


def _told(logits: Tensor, tokens: list[int], others: int) -> list[tuple[float, tuple[tuple[int, float], ...]]]:
    """For each row of logits [B, V] the probability of its token and of `others` runners-up."""
    total = logits.logsumexp(dim=-1)  # [B]
    index = torch.tensor(tokens, device=logits.device)[:, None]
    own = (logits.gather(1, index)[:, 0] - total).exp().tolist()
    if not others:
        return [(probability, ()) for probability in own]
    values, places = logits.topk(min(others + 1, logits.shape[-1]), dim=-1)
    likely = (values - total[:, None]).exp().tolist()
    ranked = [list(zip(*pair, strict=True)) for pair in zip(places.tolist(), likely, strict=True)]
    return [
        (probability, tuple([entry for entry in entries if entry[0] != token][:others]))
        for probability, token, entries in zip(own, tokens, ranked, strict=True)
    ]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off; afterwards each module is in the mode in which it was."""
    training = [module for module in model.modules() if module.training] if model.training else []
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
