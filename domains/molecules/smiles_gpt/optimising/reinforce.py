"""Optimising molecules: a copy of the model, the agent, learns to write what an oracle likes.

    draw some with the agent -> score the new ones -> pull log p_agent towards log p_prior + sigma * score -> …

The model stays as it is, as the prior that keeps the agent among molecules: REINVENT (Olivecrona et al. 2017, doi
10.1186/s13321-017-0235-x), with a diversity filter and replay as in REINVENT 2 (Blaschke et al. 2020, doi
10.1021/acs.jcim.0c00915).

    found = optimise(task, lambda smiles: my_score(smiles), oracle_calls=4000, screen=random_molecules)
    found.best[0].smiles, found.auc, found.screening.auc, found.agent.drawn(RunOptions(n=100))

Axes: B molecules, T tokens, P conditions.
"""

from __future__ import annotations

import copy
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import torch

from .....core.errors import UserError
from .....core.options import Options, option
from .....core.sampling import Sampling
from ..model import SmilesBatch
from ..rows import padded
from ..sampling import SEEDS, DrawBatch, Drawn, draw, smiles_of
from .counted import Counted, Judged, Oracle, auc
from .memory import Kept, Replay, ScaffoldFilter

if TYPE_CHECKING:
    from ..task import SmilesTask

WINDOW = 10
"""Steps over which it is judged whether anything new comes."""
COLLAPSED = 0.1
"""An agent has collapsed where the share of new valid molecules among those drawn in a window is less than a tenth of
what it was in the first step."""
AT_ONCE = 64
"""Molecules that are screened together."""

Made = TypeVar("Made")
Tick = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class AgentSettings(Options):
    """How the agent learns."""

    batch: int = option(32, "molecules drawn in one step")
    sigma: float = option(128.0, "how much a score of 1 counts against the prior's log-probability, in nats")
    lr: float = option(1e-3, "Adam's learning rate")
    bucket: int = option(25, "molecules of one scaffold that are worth anything (0: any number)")
    least: float = option(0.4, "score from which on a molecule counts for its scaffold")
    replay: int = option(10, "of the best molecules so far that are learnt again in each step")
    keep: int = option(100, "best molecules from which those are taken")
    seed: int = option(0, "seed of what is drawn and replayed")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "sigma", "lr"):
            self.require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        self.require_not_negative("bucket", "least", "replay", "keep")


@dataclass(frozen=True, kw_only=True)
class Screening:
    """The scores of as many random molecules, in the order they were looked at, and the best of them."""

    scores: tuple[float, ...]
    best: tuple[Judged, ...]
    auc: float


@dataclass(frozen=True, kw_only=True)
class Optimised:
    """What came out. judged: every molecule that was scored, in order; agent: the task that learnt; counts of `drawn`
    molecules: invalid, repeats (scored before), new; before and after: mean score of what the first step and the last
    ones drew (what is no molecule counts 0); stopped: why it ended early, "" where all calls were used; seconds: by
    what took them. A call is one distinct molecule."""

    agent: SmilesTask
    judged: tuple[Judged, ...]
    calls: int
    steps: int
    drawn: Counter[str]
    before: float
    after: float
    scaffolds: int
    full: int
    stopped: str = ""
    screening: Screening | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> list[Judged]:
        """All that were scored, best first."""
        return sorted(self.judged, key=lambda one: (-one.score, one.call))

    @property
    def scores(self) -> list[float]:
        """In the order of the calls."""
        return [one.score for one in self.judged]

    @property
    def auc(self) -> float:
        """Mean over all calls of the mean of the best 10 so far (Gao et al. 2022)."""
        return auc(self.scores, self.calls)

    @property
    def failures(self) -> list[Judged]:
        """Molecules that the oracle could say nothing about."""
        return [one for one in self.judged if one.failed]


def optimise(
    task: SmilesTask,
    oracle: Oracle,
    *,
    oracle_calls: int = 4000,
    scale: tuple[float, float] = (0.0, 1.0),
    batched: bool = False,
    settings: AgentSettings | None = None,
    screen: Sequence[str] = (),
    tick: Tick = lambda done, total: None,
) -> Optimised:
    """Let a copy of `task` learn towards `oracle`, which is told a canonical SMILES and says how good it is, 0 to 1.

    oracle_calls: distinct molecules that it may be asked about; none is asked about twice. scale: what it gives for the
    worst and the best, if not 0 and 1. batched: it takes a list of SMILES, those of one step. screen: molecules that
    are scored beside, as many as there are calls (these are not counted); `tick` hears calls done and in all, screening
    included.

    Ctrl-C ends it early, with what was found by then. A molecule that the oracle raises for, or has no finite number
    for, scores 0 (`Optimised.failures`). `task` is not changed. Raises UserError for scores outside of the scale and
    for an oracle that fails at nearly all molecules.
    """
    if not callable(oracle):
        raise UserError(f"An oracle is a function of a SMILES, not {oracle!r}.")
    if oracle_calls < 1:
        raise UserError(f"An optimisation needs at least one oracle call, not {oracle_calls}.")
    screened = len(screen[:oracle_calls])
    counted = Counted(oracle, oracle_calls, scale=scale, batched=batched)
    with torch.inference_mode(False), torch.enable_grad():
        learning = Learning(task, counted, settings or AgentSettings())
        try:
            while counted.left and not learning.stopped:
                learning.step()
                tick(counted.used, oracle_calls + screened)
        except KeyboardInterrupt:
            if not counted.used:
                raise
            learning.stopped = f"It was stopped by hand after {counted.used:,} of {oracle_calls:,} oracle calls."
            screened = 0
        found = learning.result()
    if not screened:
        return found
    start = time.perf_counter()
    beside = screening(oracle, screen, oracle_calls, scale=scale, batched=batched,
                       tick=lambda done: tick(oracle_calls + done, oracle_calls + screened))  # fmt: skip
    return replace(found, screening=beside, seconds={**found.seconds, "screening": time.perf_counter() - start})


def screening(
    oracle: Oracle, molecules: Sequence[str], calls: int, *, scale: tuple[float, float] = (0.0, 1.0),
    batched: bool = False, tick: Callable[[int], None] = lambda done: None,
) -> Screening:  # fmt: skip
    """What looking at the first `calls` of these molecules finds."""
    counted = Counted(oracle, calls, scale=scale, batched=batched)
    looked = molecules[:calls]
    for start in range(0, len(looked), AT_ONCE):
        counted(looked[start : start + AT_ONCE])
        tick(min(start + AT_ONCE, len(looked)))
    scores = [one.score for one in counted.judged]
    best = sorted(counted.judged, key=lambda one: (-one.score, one.call))[:100]
    return Screening(scores=tuple(scores), best=tuple(best), auc=auc(scores, calls))


class Learning:
    """The state of one optimisation, step by step."""

    def __init__(self, task: SmilesTask, oracle: Counted, settings: AgentSettings) -> None:
        self.task, self.oracle, self.settings = task, oracle, settings
        self.prior, self.agent = task.network, copy.deepcopy(task.network).eval().requires_grad_(True)
        self.device = next(self.agent.parameters()).device
        self.optimiser = torch.optim.Adam(self.agent.parameters(), lr=settings.lr)
        self.filter = ScaffoldFilter(bucket=settings.bucket, least=settings.least)
        self.replay = Replay(most=settings.keep, seed=settings.seed)
        self.steps, self.stopped = 0, ""
        self.drawn: Counter[str] = Counter(invalid=0, repeats=0, new=0)
        self.means: list[float] = []  # mean score of each step's molecules
        self.first = 0.0  # share of the first step's molecules that were new and valid
        self.fresh: deque[float] = deque(maxlen=WINDOW)  # share of each step's molecules that were new and valid
        self.good, self.good_mean, self.good_calls = copy.deepcopy(self.agent.state_dict()), -1.0, 0
        self.seconds: dict[str, float] = {"drawing": 0.0, "scoring": 0.0, "learning": 0.0}

    def step(self) -> None:
        """Draw, score, learn; and see whether it goes on."""
        drawn = self._timed("drawing", self._draw)
        kept = self._timed("scoring", lambda: self._score(drawn))
        self._watch()
        if self.oracle.left and not self.stopped:
            self._timed("learning", lambda: self._learn(kept))

    def _timed(self, what: str, work: Callable[[], Made]) -> Made:
        start = time.perf_counter()
        made = work()
        self.seconds[what] += time.perf_counter() - start
        return made

    def _draw(self) -> list[Drawn]:
        config, seed = self.agent.config, self.settings.seed * SEEDS + self.steps
        nothing = torch.full((self.settings.batch, len(config.conditions)), float("nan"), device=self.device)
        sampling = Sampling(temperature=1.0, seed=seed, max_new=config.length - 1)
        self.steps += 1
        return draw(self.agent, DrawBatch(conditions=nothing, seed=seed), sampling)

    def _score(self, drawn: Sequence[Drawn]) -> list[Kept]:
        """What was drawn with what it is worth; the prior's log-probability is filled in while learning."""
        tokenizer = self.task.around.tokenizer
        smiles = smiles_of(drawn, tokenizer)
        used = self.oracle.used
        valid = [one for one in smiles if one]
        judged = dict(zip(valid, self.oracle(valid), strict=True))
        kept, scores = [], []
        for one, made in zip(drawn, smiles, strict=True):
            found = judged.get(made)
            if made and found is None:  # no calls are left
                continue
            scores.append(found.score if found else 0.0)
            worth = self.filter.reward(made, scores[-1]) if made else 0.0
            ids = (tokenizer.begin, *one.ids, *((tokenizer.end,) if one.ended else ()))
            kept.append(Kept(smiles=made, ids=ids, score=worth, prior=float("nan")))
        new = self.oracle.used - used
        invalid = sum(not one.smiles for one in kept)
        self.drawn.update(invalid=invalid, new=new, repeats=len(kept) - invalid - new)
        self.means.append(sum(scores) / max(1, len(scores)))
        self.fresh.append(new / max(1, len(scores)))
        self.first = self.fresh[0] if len(self.means) == 1 else self.first
        return kept

    def _watch(self) -> None:
        """Remember the best agent so far, and go back to it where nothing new comes any more."""
        recent = self.means[-WINDOW:]
        if len(self.fresh) < WINDOW:
            return
        share = sum(self.fresh) / WINDOW
        mean = sum(recent) / len(recent)
        if share >= self.first / 2 and mean > self.good_mean:
            self.good = copy.deepcopy(self.agent.state_dict())
            self.good_mean, self.good_calls = mean, self.oracle.used
        if share <= COLLAPSED * self.first:
            self.agent.load_state_dict(self.good)
            self.stopped = (
                f"The agent collapsed after {self.oracle.used:,} calls: of the last {WINDOW * self.settings.batch:,} "
                f"molecules it drew {share:.0%} were new and valid. It is as it was after {self.good_calls:,} calls "
                "again, and the best molecules are kept."
            )

    def _learn(self, kept: list[Kept]) -> None:
        """One step of Adam on mean((log p_prior + sigma * score - log p_agent)^2)."""
        with torch.no_grad():
            prior = self.prior.nats(self._batch(kept)).tolist()
        kept = [replace(one, prior=nats) for one, nats in zip(kept, prior, strict=True)]
        together = [*kept, *self.replay.sample(self.settings.replay)]
        self.replay.add([one for one in kept if one.smiles])
        nats = self.agent.nats(self._batch(together))
        goals = torch.tensor([-one.prior + self.settings.sigma * one.score for one in together], device=self.device)
        self.optimiser.zero_grad()
        (goals + nats).square().mean().backward()
        self.optimiser.step()

    def _batch(self, kept: Sequence[Kept]) -> SmilesBatch:
        return SmilesBatch(tokens=padded([one.ids for one in kept])).to(self.device)

    def result(self) -> Optimised:
        """What there is by now."""
        origin = replace(self.task.origin, source="optimised", sha256="", base=self.task.origin.source)
        judged = tuple(self.oracle.judged)
        last = self.means[-WINDOW:]
        return Optimised(
            agent=type(self.task)(self.agent, self.task.around, origin),
            judged=judged,
            calls=self.oracle.calls,
            steps=self.steps,
            drawn=self.drawn,
            before=self.means[0] if self.means else 0.0,
            after=sum(last) / max(1, len(last)),
            scaffolds=len({self.filter.scaffold(one.smiles) for one in judged}),
            full=self.filter.full,
            stopped=self.stopped,
            seconds=dict(self.seconds),
        )
