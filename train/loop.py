"""Runs a recipe: stages, optimiser, averaged weights, checkpoints; resumes where it was killed.

One code path for CPU, one GPU and many (Lightning Fabric). Every batch is a function of the seed,
the stage and the step, so a resumed training sees the data that it would have seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import cos, pi
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim import AdamW

from train import checkpoint
from train.recipe import Recipe, Stage
from train.tasks import task_of
from train.tasks.base import Data, Task

LAST = "last.safetensors"
BEST = "best.safetensors"
LOG = "metrics.jsonl"


class Trainer:
    """One training of one recipe in one folder.

    Parameters
    ----------
    recipe
        What to do.
    cohort
        Folder of the training data.
    folder
        Receives ``last.safetensors`` (to resume), ``best.safetensors`` (averaged weights of the
        last stage with the best validation score) and ``metrics.jsonl``.
    fabric
        Devices and precision.
    console
        Receives the progress bar.
    start
        Weights to begin with instead of the task's own beginning, to train them further.
    """

    def __init__(
        self,
        recipe: Recipe,
        cohort: Path,
        folder: Path,
        fabric: Fabric,
        console: Console,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.recipe = recipe
        self.progress = checkpoint.Progress()
        self._cohort = cohort
        self._folder = folder
        self._fabric = fabric
        self._console = console
        self._start = start
        self._task: Task = task_of(recipe)

    def fit(self, stop_after: int | None = None) -> checkpoint.Progress:
        """Train to the end, from the last checkpoint if there is one.

        Parameters
        ----------
        stop_after
            Total steps after which to save and return early.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        saved: checkpoint.Checkpoint | None = None
        if (self._folder / LAST).exists():
            saved = checkpoint.load(self._folder / LAST)
            self.progress = saved.progress
            self._console.log(
                f"resumed at stage {saved.progress.stage}, step {saved.progress.step}"
            )
        while self.progress.stage < len(self.recipe.stage):
            run = _StageRun(self, saved)
            done = run.fit(stop_after)
            saved = run.snapshot()
            if not done:
                break
        return self.progress


class _StageRun:
    """The part of a training that has one network, one optimiser and one input size."""

    def __init__(self, trainer: Trainer, saved: checkpoint.Checkpoint | None) -> None:
        self._trainer = trainer
        self._fabric = trainer._fabric
        self._task = trainer._task
        self._recipe = trainer.recipe
        self._number = trainer.progress.stage
        self._stage: Stage = self._recipe.stage[self._number]
        self._data = self._task.data(trainer._cohort, "train", self._stage.size)
        self._validation = self._task.data(trainer._cohort, "val", self._stage.size)
        torch.manual_seed(self._recipe.seed)
        self._network = self._task.network(self._stage.size)
        if saved is None and trainer._start is not None:
            start = self._task.resized(trainer._start, self._stage.size)
            self._network.load_state_dict(start)
        elif saved is None:
            self._task.prepare(self._network, self._data)
        else:
            self._network.load_state_dict(self._task.resized(saved.weights, self._stage.size))
        self._averaged = {k: v.detach().clone() for k, v in self._network.state_dict().items()}
        if saved is not None and saved.averaged:
            self._averaged = self._task.resized(saved.averaged, self._stage.size)
        optimizer = AdamW(_parameter_groups(self._network, self._recipe), lr=self._stage.lr)
        compiled: Any = torch.compile(self._network) if self._recipe.run.compile else self._network
        self._model, self._optimizer = self._fabric.setup(compiled, optimizer)
        self._averaged = {k: v.to(self._fabric.device) for k, v in self._averaged.items()}
        if saved is not None and trainer.progress.step > 0:
            checkpoint.restore_moments(self._optimizer.optimizer, saved.moments)

    def fit(self, stop_after: int | None) -> bool:
        """Train the stage; return False when stopped before its end."""
        run, trainer = self._recipe.run, self._trainer
        began = monotonic() - trainer.progress.elapsed_s
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        bar = Progress(*columns, TimeRemainingColumn(), console=trainer._console)
        title = f"{self._recipe.name} stage {self._number + 1} at {self._stage.size}"
        with bar:
            row = bar.add_task(title, total=self._stage.steps, completed=trainer.progress.step)
            for step, batch in self._batches(trainer.progress.step):
                elapsed = monotonic() - began
                share = self._share(step, elapsed)
                terms = self._step(step, batch, share)
                self._advance(step + 1, monotonic() - began)
                last = step + 1 == self._stage.steps or self._share(step + 1, elapsed) >= 1
                stopped = stop_after is not None and trainer.progress.total_steps >= stop_after
                bar.update(row, completed=step + 1, description=f"{title} loss {terms['loss']:.3f}")
                if (step + 1) % run.log_every == 0 or last:
                    self._log({**terms, "lr": self._lr(step, share), "progress": share})
                if (step + 1) % run.validate_every == 0 or last:
                    # Validation is not training time: the learning rate must not jump over it.
                    paused = monotonic()
                    self._validate(is_last_stage=self._number + 1 == len(self._recipe.stage))
                    began += monotonic() - paused
                if (step + 1) % run.checkpoint_every == 0 or stopped:
                    self.save()
                if last:
                    break
                if stopped:
                    return False
        trainer.progress = checkpoint.Progress(
            self._number + 1, 0, 0.0, trainer.progress.total_steps, trainer.progress.best
        )
        self.save()
        return True

    def snapshot(self) -> checkpoint.Checkpoint:
        """Return everything that resuming needs."""
        return checkpoint.Checkpoint(
            self._trainer.progress,
            dict(self._network.state_dict()),
            self._averaged,
            checkpoint.moments_of(self._optimizer.optimizer),
        )

    def save(self) -> None:
        """Replace the last checkpoint."""
        if self._fabric.is_global_zero:
            checkpoint.save(self._trainer._folder / LAST, self.snapshot())
        self._fabric.barrier()

    def _step(self, step: int, batch: dict[str, Tensor], share: float) -> dict[str, float]:
        torch.manual_seed(hash((self._recipe.seed, self._number, step)) % 2**31)
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr(step, share)
        self._model.train()
        terms = self._task.loss(self._model, batch, share)
        self._fabric.backward(terms["loss"])
        self._fabric.clip_gradients(
            self._model, self._optimizer, max_norm=self._recipe.optimizer.clip_norm
        )
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._average(self._trainer.progress.total_steps)
        return {name: float(value.detach()) for name, value in terms.items()}

    @torch.no_grad()
    def _average(self, step: int) -> None:
        # A short memory at first, so that the random start is forgotten.
        decay = min(self._recipe.optimizer.ema_decay, (1 + step) / (10 + step))
        for name, value in self._network.state_dict().items():
            if value.is_floating_point():
                self._averaged[name].lerp_(value, 1 - decay)
            else:
                self._averaged[name].copy_(value)

    def _validate(self, *, is_last_stage: bool) -> None:
        trainer = self._trainer
        if self._fabric.is_global_zero:
            own = {k: v.clone() for k, v in self._network.state_dict().items()}
            self._network.load_state_dict(self._averaged)
            self._network.eval()
            with self._fabric.autocast():
                scores = self._task.validate(
                    self._network, self._validation, self._recipe.run.validate_on
                )
            best_so_far = np.inf if trainer.progress.best is None else trainer.progress.best
            if is_last_stage and scores[self._task.score] < best_so_far:
                p = trainer.progress
                trainer.progress = checkpoint.Progress(
                    p.stage, p.step, p.elapsed_s, p.total_steps, scores[self._task.score]
                )
                best = checkpoint.Checkpoint(trainer.progress, {}, self._averaged, {})
                checkpoint.save(trainer._folder / BEST, best)
            self._network.load_state_dict(own)
            self._log({f"val_{name}": value for name, value in scores.items()})
            text = " ".join(f"{name} {value:.4f}" for name, value in scores.items())
            trainer._console.log(f"step {trainer.progress.step}: {text}")
        self._fabric.barrier()

    def _batches(self, first: int) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield this process's share of each step's batch; the next one is read meanwhile."""
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._read, first)
            for step in range(first, self._stage.steps):
                arrays = coming.result()
                coming = reader.submit(self._read, min(step + 1, self._stage.steps - 1))
                yield (
                    step,
                    {k: torch.from_numpy(v).to(self._fabric.device) for k, v in arrays.items()},
                )

    def _read(self, step: int) -> dict[str, np.ndarray[Any, Any]]:
        world, rank = self._fabric.world_size, self._fabric.global_rank
        chosen = positions_of_step(
            self._data, self._stage.batch, step, (self._recipe.seed, self._number)
        )
        rng = np.random.default_rng([self._recipe.seed, self._number, step, rank])
        return self._data.batch(chosen[rank::world], rng)

    def _advance(self, step: int, elapsed_s: float) -> None:
        p = self._trainer.progress
        self._trainer.progress = checkpoint.Progress(
            p.stage, step, elapsed_s, p.total_steps + 1, p.best
        )

    def _share(self, step: int, elapsed_s: float) -> float:
        by_time = elapsed_s / (60 * self._stage.max_minutes) if self._stage.max_minutes else 0.0
        return min(1.0, max(step / self._stage.steps, by_time))

    def _lr(self, step: int, share: float) -> float:
        stage = self._stage
        warm = min(1.0, (step + 1) / max(1, self._recipe.optimizer.warmup_steps))
        return warm * (stage.lr_end + (stage.lr - stage.lr_end) * (1 + cos(pi * share)) / 2)

    def _log(self, values: dict[str, float]) -> None:
        if not self._fabric.is_global_zero:
            return
        p = self._trainer.progress
        row = {"stage": p.stage, "step": p.step, "elapsed_s": round(p.elapsed_s, 1)}
        row |= {name: float(f"{value:.5g}") for name, value in values.items()}
        with (self._trainer._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")


def positions_of_step(data: Data, batch: int, step: int, seed: tuple[int, int]) -> list[int]:
    """Return the samples of one step: each epoch is a permutation of its own."""
    count = len(data)
    chosen = []
    for position in range(step * batch, (step + 1) * batch):
        epoch, within = divmod(position, count)
        chosen.append((epoch, within))
    orders = {e: np.random.default_rng([*seed, e]).permutation(count) for e, _ in chosen}
    return [int(orders[e][within]) for e, within in chosen]


def _parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Decay the weights of convolutions and linear layers only."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": recipe.optimizer.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
