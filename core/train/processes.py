"""The processes that train together, on `accelerate`: one, several with equal copies (DDP), or several with shards
(FSDP).

`torchrun` and `accelerate launch` say through the environment which it is; the loop itself does not ask.
"""

from __future__ import annotations

import atexit
import copy
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as distributed

from ..errors import UserError
from ..options import TrainOptions
from ..task import Task

GATHERED = distributed.StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)
"""Whole tensors in the main process's memory, whatever lies sharded where; what does not learn is left out."""
EVERYWHERE = distributed.StateDictOptions(full_state_dict=True, ignore_frozen_params=True, strict=False)
"""Whole tensors in every process."""


class Processes:
    """This process among the others, with the network and optimiser that it holds.

    `task` is the caller's: it predicts, is scored and saved. `learner` is what learns; the two are one object unless
    the weights are sharded (FSDP), where `task` stays whole and `refresh` brings it up to date.
    """

    def __init__(self, task: Task, options: TrainOptions) -> None:
        self.accelerator = _accelerator(options)
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.is_main = self.accelerator.is_main_process
        self.device = self.accelerator.device
        self.sharded = self.accelerator.distributed_type.value == "FSDP"
        self.task = task
        task.network.to(self.device)
        task.trainable.to(self.device)
        self.learner = copy.deepcopy(task) if self.sharded else task
        raw, self.lr_scales = _optimiser(self.learner, options)
        self.network, self._wrapped = self.accelerator.prepare(self.learner.trainable, raw)
        self.optimiser: torch.optim.Optimizer = self._wrapped.optimizer

    # -- one step -------------------------------------------------------------------------------------------------

    def sums(self, *values: float) -> list[float]:
        """Each value summed over all processes, in double precision."""
        if self.world == 1:
            return list(values)
        total = self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.device), reduction="sum")
        return total.tolist()  # pyright: ignore[reportAttributeAccessIssue] (a tensor gives a tensor)

    def no_sync(self):
        """A block whose gradients wait for the last part of the batch before they are exchanged."""
        return self.accelerator.no_sync(self.network)

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def clip(self, largest: float) -> float:
        """Clip the gradient to the norm `largest` (0: leave it); gives the norm it had."""
        norm: Any = self.accelerator.clip_grad_norm_(self.network.parameters(), largest or float("inf"))
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def forget(self) -> None:
        """Drop the gradients, and whatever batch is half done."""
        self.optimiser.zero_grad(set_to_none=True)

    def apply(self) -> None:
        """Take the optimiser's step and forget the gradient."""
        self._wrapped.step()
        self._wrapped.zero_grad(set_to_none=True)

    @property
    def skips_overflow(self) -> bool:
        """Whether steps with an infinite gradient are skipped by a loss scale (fp16), so that they are no failure."""
        return self.accelerator.scaler is not None

    # -- together -------------------------------------------------------------------------------------------------

    def share(self, value: Any) -> Any:
        """The main process's `value`, in every process."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0] if self.world > 1 else value

    def gather(self, values: list[Any]) -> list[Any]:
        """The lists of all processes joined in order of rank."""
        from accelerate.utils import gather_object

        return gather_object(values) if self.world > 1 else values

    def on_main(self, work: Callable[[], Any]) -> Any:
        """Do `work` in the main process alone; its value, or its `UserError`, reaches every process."""
        value, error = None, None
        if self.is_main:
            try:
                value = work()
            except UserError as caught:
                error = caught
        value, error = self.share((value, error))
        if error is not None:
            raise error
        return value

    # -- weights --------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Any]:
        """The weights that learn and the buffers, whole, in the main process (elsewhere possibly empty)."""
        return distributed.get_model_state_dict(self.network, options=GATHERED)

    def optimiser_state(self) -> dict[str, Any]:
        """{"state": {parameter: {name: tensor}}, "param_groups": …}, whole, in the main process."""
        return {"state": {}, "param_groups": []} | distributed.get_optimizer_state_dict(
            self.network, self.optimiser, options=GATHERED
        )

    def restore(self, weights: dict[str, Any], optimiser_state: dict[str, Any]) -> None:
        """Put saved weights and optimiser state back; every process passes all of them."""
        distributed.set_model_state_dict(self.network, weights, options=EVERYWHERE)
        distributed.set_optimizer_state_dict(self.network, self.optimiser, optimiser_state, options=EVERYWHERE)

    def refresh(self) -> None:
        """Bring `task` up to what has been learnt."""
        if self.sharded:
            whole = distributed.get_model_state_dict(self.network, options=EVERYWHERE)
            self.task.trainable.load_state_dict(whole, strict=False)

    def release(self) -> None:
        """Take every wrapper off the caller's task."""
        self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)


def _accelerator(options: TrainOptions):
    """A fresh Accelerator; settings of an earlier run in this process do not leak into it."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    try:
        accelerator = Accelerator(
            mixed_precision={"fp32": "no"}.get(options.precision, options.precision), cpu=_only_cpu()
        )
    except ValueError as error:
        raise UserError(
            f"--precision {options.precision} does not work here: {error}", "Try --precision fp32."
        ) from error
    if options.precision == "fp16" and accelerator.scaler is None:
        raise UserError("--precision fp16 needs a GPU.", "Try --precision bf16 or fp32.")
    atexit.unregister(_part)
    atexit.register(_part)
    return accelerator


def _part() -> None:
    """Leave the other processes in order.

    A thread of gloo may still wait for Python's lock to drop its last tensors; one that gets it while Python shuts
    down aborts the program. So it gets it before: during the pause, and as the collector frees what holds threads.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        time.sleep(0.1)
        torch.distributed.destroy_process_group()
        gc.collect()


def _only_cpu() -> bool:
    """Whether there is no accelerator: several processes are then joined over gloo only if accelerate is told so."""
    found = [torch.cuda.is_available(), torch.backends.mps.is_available(), torch.xpu.is_available()]
    return not any(found)


def _optimiser(task: Task, options: TrainOptions) -> tuple[torch.optim.Optimizer, list[float]]:
    """AdamW (Loshchilov & Hutter 2019) over the task's groups, and each group's factor of the learning rate."""
    groups = [dict(group) for group in task.parameter_groups(options)]
    if not groups:
        raise UserError("There is nothing to learn: every weight is frozen.", "Unfreeze some, or add adapters.")
    scales = [float(group.pop("lr_scale", 1.0)) for group in groups]
    try:
        return torch.optim.AdamW(groups, lr=options.lr, fused=True), scales
    except RuntimeError:  # a device without the fused kernel
        return torch.optim.AdamW(groups, lr=options.lr), scales


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside the block; training mode again after it.

    Not `inference_mode`: a table that a module keeps from there (rotary angles) could not take part in training.
    """
    for module in modules:
        module.eval()
    with torch.no_grad():
        yield
    for module in modules:
        module.train()
