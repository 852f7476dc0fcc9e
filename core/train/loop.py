"""The training loop: one function that reads like the story, for every domain.

    order the examples -> batches -> loss -> gradient -> step -> (validation is due) evaluate, keep the best ->
    save the state

What each step sees and draws at random follows from (seed, step, process) alone, so a run that was killed at any
instant and is continued equals the uninterrupted one. The loss is normalised over the whole batch, whatever parts
and processes it is cut into, so those change memory and speed and nothing else.
"""

from __future__ import annotations

import dataclasses
import errno
import math
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import checkpoint
from ..errors import Interrupted, UserError
from ..jetson.watch import Watch
from ..options import TrainOptions
from ..runtime import reuse_memory
from ..task import Splits, Task
from .data import FINISH, STEP, MicroBatch, MicroBatches, seed_all, seeded, steps
from .folder import claim, command_to_continue, describe, read_card, write_card
from .log import Log, Silent, finite, read_metrics
from .memory import buffers_of, is_out_of_memory, put_back
from .processes import Processes
from .schedule import lr_factor
from .signals import Interruption
from .state import WEIGHTS, Progress, frozen_digest, load_state, save_state
from .validation import Validation

LINES = 50
"""At most so many lines of training metrics are logged between two validations."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run has come to: `best` is the checkpoint folder, `metrics` and `loss` its validation scores (mean
    loss; None without validation data), `history` those of every validation, `seconds` the time of training over all
    continuations."""

    folder: Path
    best: Path
    step: int
    epoch: int
    steps: int
    loss: float | None
    metrics: dict[str, float]
    history: list[dict[str, Any]]
    seconds: float
    stopped_early: bool
    card: dict[str, Any]


def fit(
    task: Task,
    splits: Splits,
    options: TrainOptions,
    folder: str | Path,
    *,
    resume: bool = False,
    card: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    console: Any = None,
) -> Trained:
    """Train `task` on `splits` in the run folder `folder`; its network ends with the best weights, in evaluation mode.

    `resume` continues what is in the folder (from the start where nothing is, at once where it is finished: then
    the task keeps its weights, and `Trained.best` has the best ones). `card` is merged into card.json; `config`
    (the name, data, checkpoint and settings that were asked for) goes into config.yaml. `console` is a rich console
    for progress; None: quiet.

    Raises `UserError` for a folder that holds another run, a full disk or a loss that is not finite, and
    `Interrupted` after Ctrl-C or SIGTERM, once the state is saved.
    """
    folder = Path(folder)
    if not len(splits.train.examples):
        raise UserError(f"The training part of {splits.train.name} is empty.", "Check --data.")
    if not options.lr or not (options.epochs or options.max_steps):
        raise UserError(
            "The training was told no learning rate or no length.", "Give --lr, and --epochs or --max-steps."
        )
    frozen = frozen_digest(task.trainable)
    processes = Processes(task, options)
    told = processes.on_main(lambda: claim(folder, options, config, resume=resume))
    finished = processes.on_main(lambda: read_card(folder))
    if finished is not None:
        processes.release()
        return _trained(folder, finished)
    torch.set_num_threads(told["threads"])
    reuse_memory()
    card = {**describe(task, splits, told, processes.world), **(card or {})}
    run = Run(task, splits, options, folder, processes, console=console if processes.is_main else None)
    try:
        run.begin(frozen)
        run.learn_all(command_to_continue(folder, task, told))
        return _trained(folder, run.finish(card))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"The disk that holds {folder} is full; the last saved state is whole.", "Free some space."
        ) from error
    finally:
        run.log.close()
        processes.release()


def _trained(folder: Path, card: dict[str, Any]) -> Trained:
    best = card["best"]
    return Trained(
        folder=folder,
        best=folder / "best",
        step=best["step"],
        epoch=best["epoch"],
        steps=card["steps"],
        loss=best["loss"],
        metrics=best["metrics"],
        history=card["history"],
        seconds=card["seconds"],
        stopped_early=card["stopped_early"],
        card=card,
    )


class Run:
    """One training under way."""

    def __init__(
        self, task: Task, splits: Splits, options: TrainOptions, folder: Path, processes: Processes, *, console: Any
    ) -> None:
        self.task, self.splits, self.options, self.folder = task, splits, options, folder
        self.processes, self.console = processes, console
        self.data = MicroBatches(task, splits.train.examples, options, rank=processes.rank, world=processes.world)
        lengths = (self.data.steps_per_epoch * options.epochs, options.max_steps)
        self.total = min(length for length in lengths if length)
        self.log_every = max(1, min(options.validate_every or self.total, self.data.steps_per_epoch) // LINES)
        self.progress = Progress()
        self.log: Log = Silent()
        self.watch = Watch(self._notice)
        self._clock = time.monotonic()

    # -- the story --------------------------------------------------------------------------------------------------

    def begin(self, frozen: str) -> None:
        """Take up the newest saved state, if there is one."""
        states = self.folder / "checkpoints"
        self.progress = load_state(states, self.processes, frozen=frozen, notice=self._notice)
        if self.processes.is_main:
            self.log = Log(self.folder, step=self.progress.step, total=self.total, console=self.console)
        if self.progress.accumulate:
            self._cut(self.progress.accumulate)
        if self.progress.step:
            self.log.notice(f"continuing after step {self.progress.step} of {self.total}")

    def learn_all(self, command: str) -> None:
        """Every step that is left; raises `Interrupted`, whose hint is `command`, if someone asks to stop."""
        self._clock = time.monotonic()
        self.task.network.train()
        self.processes.learner.trainable.train()
        with Interruption(self.log.notice) as interruption:
            while not self.is_over:  # a second round only where a step had to be cut into more parts
                with closing(steps(self.data, self.progress.step, self.total)) as batches:
                    fits = self._learn_from(batches, interruption, command)
                if not fits:
                    self._cut_finer()

    def _learn_from(self, batches: Iterable[list[MicroBatch]], interruption: Interruption, command: str) -> bool:
        """Learn until the run is over; False as soon as a step does not fit into memory, which is as if not begun."""
        for parts in batches:
            buffers = buffers_of(self.processes.learner.trainable)
            try:
                stop = self.learn(parts, interruption)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.processes.world > 1:  # others wait for this one's gradient
                    raise
                stop = None
            if stop is None:  # not in the handler: what it has caught still holds the step's tensors
                self.processes.forget()
                put_back(self.processes.learner.trainable, buffers)
                return False
            if self.validation_is_due:
                self.evaluate()
            if self.validation_is_due or self.save_is_due or stop:
                self.save()
            if stop and not self.is_over:
                done = f"Stopped after step {self.progress.step} of {self.total}; the state is saved."
                raise Interrupted(done, f"Continue with: {command}")
            if self.is_over:
                break
        return True

    def _cut_finer(self) -> None:
        """Take each batch in twice as many parts from here on."""
        step, parts, size = self.progress.step + 1, 2 * self.data.options.accumulate, self.options.batch_size
        if parts >= 2 * size:
            raise UserError(
                f"Step {step} does not fit into memory, although it takes one example at a time.",
                "Try --precision bf16, shorter or smaller examples, a smaller model, or a method that learns less.",
            )
        self._cut(parts)
        self.log.notice(f"out of memory at step {step}: each batch of {size} is taken in {parts} parts from now on")
        self.log.memory({"step": step, "accumulate": parts})

    def _cut(self, parts: int) -> None:
        """Cut batches into so many parts; their size stays."""
        self.progress.accumulate = parts
        options = dataclasses.replace(self.options, accumulate=parts)
        self.data = MicroBatches(
            self.task, self.splits.train.examples, options, rank=self.processes.rank, world=self.processes.world
        )

    def finish(self, card: dict[str, Any]) -> dict[str, Any]:
        """Put the best weights back, let the task finish with them, save them; the card is written last of all."""
        task, best = self.task, self.progress.best
        assert best is not None  # every run ends with an evaluation
        self.processes.release()
        weights = checkpoint.load_tensors(self.folder / "checkpoints" / "best" / WEIGHTS)
        task.trainable.load_state_dict(weights, strict=False)
        task.network.eval()
        task.trainable.eval()
        with seeded(FINISH, self.options.seed):
            task.finish(self.splits)
        self.processes.on_main(lambda: checkpoint.write(self.folder / "best", task.save))
        self._tick()
        history = [line for line in read_metrics(self.folder) if line["split"] == "validation"]
        facts = {
            "seconds": round(self.progress.seconds, 1),
            "steps": self.progress.step,
            "best": best,
            "history": history,
            "stopped_early": self.progress.step < self.total,
        }
        whole = {**facts, **card}
        self.processes.on_main(lambda: write_card(self.folder, whole))
        return whole

    # -- where the run stands -----------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1 on."""
        return -(-self.progress.step // self.data.steps_per_epoch)

    @property
    def epoch_is_over(self) -> bool:
        return self.progress.step % self.data.steps_per_epoch == 0 or self.progress.step == self.total

    @property
    def validation_is_due(self) -> bool:
        often = self.options.validate_every
        return self.epoch_is_over or (often > 0 and self.progress.step % often == 0)

    @property
    def save_is_due(self) -> bool:
        return self.options.save_every > 0 and self.progress.step % self.options.save_every == 0

    @property
    def is_over(self) -> bool:
        """Whether all steps are done, or too many validations have passed without a better score."""
        patience = self.options.patience
        return self.progress.step >= self.total or bool(patience and self.progress.stale >= patience)

    # -- one step -----------------------------------------------------------------------------------------------------

    def learn(self, parts: list[MicroBatch], interruption: Interruption) -> bool:
        """One optimiser step on the parts of a batch; gives whether any process was asked to stop."""
        processes, task, step = self.processes, self.processes.learner, self.progress.step
        lr = self.options.lr * lr_factor(step, self.total, warmup=self.options.warmup, schedule=self.options.schedule)
        for group, scale in zip(processes.optimiser.param_groups, processes.lr_scales, strict=True):
            group["lr"] = lr * scale
        seed_all(STEP, self.options.seed, step, processes.rank)

        weight, examples = processes.sums(
            sum(task.weight(part.batch) for part in parts if part.size), sum(part.size for part in parts)
        )
        total = 0.0
        pieces = [MicroBatch(piece, part.size) for part in parts for piece in self.task.pieces(part.batch)]
        for index, part in enumerate(pieces):
            if index + 1 < len(pieces):
                with processes.no_sync():
                    total += self._backward(part, weight)
            else:
                total += self._backward(part, weight)
        total, stops = processes.sums(total, float(interruption.asked))
        norm = processes.clip(self.options.clip)
        self._require_finite(total, norm, lr)
        processes.apply()

        self.progress.step += 1
        self._record(total, weight, examples, lr, norm)
        if processes.is_main and self.watch.look():
            self.log.board({"step": self.progress.step, "throttled": list(self.watch.throttled)})
        return stops > 0

    def _backward(self, part: MicroBatch, weight: float) -> float:
        """Add the gradient of one part's share of the batch's mean loss; gives the part's loss sum.

        DDP and FSDP average gradients over processes, hence the factor `world`.
        """
        if not part.size and self.processes.world == 1:
            return 0.0
        batch = part.batch.to(self.processes.device)
        loss = self.processes.learner.loss(self.processes.network, batch)
        counts = 1.0 if part.size else 0.0  # a process without examples still takes part in exchanging gradients
        self.processes.backward(loss * (counts * self.processes.world / max(weight, 1e-12)))
        return float(loss.detach()) * counts

    def _require_finite(self, total: float, norm: float, lr: float) -> None:
        if math.isfinite(total) and (math.isfinite(norm) or self.processes.skips_overflow):
            return
        what = "The loss" if not math.isfinite(total) else "The gradient"
        told = f"at step {self.progress.step + 1} (learning rate {lr:.2g}, gradient {norm:.2g})"
        raise self._not_finite(what, told)

    def _not_finite(self, what: str, when: str) -> UserError:
        kept = "The best weights and the last saved state" if self.progress.best else "No best weights are kept; states"
        return UserError(
            f"{what} is not finite {when}. {kept} in {self.folder} are as they were.",
            "Start another --run with a lower --lr, a longer --warmup, a smaller --clip or --precision fp32.",
        )

    def _record(self, total: float, weight: float, examples: float, lr: float, norm: float) -> None:
        """Add a step to its group, and log the group when it is full."""
        before = self.progress.seconds
        self._tick()
        new = {"loss": total, "weight": weight, "examples": examples, "seconds": self.progress.seconds - before}
        group = {name: self.progress.group.get(name, 0.0) + value for name, value in new.items()}
        self.progress.group = group
        mean = group["loss"] / max(group["weight"], 1e-12)
        self.log.advance(self.progress.step, mean)
        if self.progress.step % self.log_every and not self.validation_is_due:
            return
        self.progress.group = {}
        speed = group["examples"] / max(group["seconds"], 1e-9)
        where = {"step": self.progress.step, "epoch": self.epoch, "loss": mean, "lr": lr, "grad_norm": norm}
        self.log.train({**where, "seconds": round(self.progress.seconds, 3), "examples_per_second": round(speed, 3)})

    def _tick(self) -> None:
        """Add the time since the last tick to the run's seconds."""
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    def _notice(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, highlight=False)

    # -- validation ---------------------------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Score the validation examples, log it, and keep the weights if they are the best so far."""
        self.processes.refresh()
        progress, task = self.progress, self.task
        size = max(1, -(-self.options.batch_size // (self.processes.world * self.data.options.accumulate)))
        validation = Validation(task, self.splits.validation.examples, self.processes, self.folder, size=size)
        loss, metrics = validation.run(self.options.seed, progress.step)
        score = validation.score(loss, metrics)
        if (loss is not None and not math.isfinite(loss)) or (score is not None and not math.isfinite(score)):
            raise self._not_finite("The validation loss", f"after step {progress.step}")
        better = validation.is_better(score, progress.best["score"] if progress.best else None)
        progress.stale = 0 if better else progress.stale + 1
        self._tick()
        scores = {"step": progress.step, "epoch": self.epoch, "loss": loss, "metrics": metrics}
        self.log.validation({**scores, "best": better, "seconds": round(progress.seconds, 3)})
        if better:
            progress.best = finite({**scores, "monitor": task.monitor[0], "score": score})
            self.keep_best()

    def keep_best(self) -> None:
        """Write the weights as the best so far: once to go back to, once as the checkpoint that people use.

        A run killed between the two does the steps since its last state again, and writes both again, the same byte by
        byte.
        """
        weights = self.processes.weights()

        def work() -> None:
            place = self.folder / "checkpoints" / "best"
            checkpoint.write(place, lambda fresh: checkpoint.save_tensors(fresh / WEIGHTS, weights))
            checkpoint.write(self.folder / "best", self.task.save)

        self.processes.on_main(work)

    def save(self) -> None:
        """Save the state, so that the run can go on from here."""
        self._tick()
        self.log.flush()
        save_state(self.folder / "checkpoints", self.processes, self.progress)
