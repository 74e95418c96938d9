"""Measures how long the phantom takes for a cohort's clip of 64 frames on one core."""

from __future__ import annotations

import json
import os
import time
from statistics import median
from typing import Annotated

import cv2
import typer
from rich.console import Console

from train.phantom.clip import render_clip
from train.phantom.parts.ef import CLIP_FRAMES
from train.phantom.patient import draw_patient

_AIM_S = 1.0


def seconds_per_clip(patients: range, seed: int) -> list[float]:
    """Render an A4C clip of each patient; wall seconds each.

    Parameters
    ----------
    patients
        Numbers within the cohort; they differ in machine and so in cost.
    seed
        Of the cohort.
    """
    taken = []
    for number in patients:
        patient = draw_patient(number, seed)
        start = time.perf_counter()
        render_clip(patient, "A4C", seed, CLIP_FRAMES)
        taken.append(time.perf_counter() - start)
    return taken


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Clips that count.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Decides the patients.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="For a machine to read.")] = False,
) -> None:
    """Measure seconds per clip on one core; aim: below 1 s, median of 5."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    # Numbers decide the machine and so the cost: the first patient warms up and is not counted.
    taken = seconds_per_clip(range(rounds + 1), seed)[1:]
    console, middle = Console(), median(taken)
    if as_json:
        console.print_json(json.dumps({"median_s": middle, "each_s": taken}))
        return
    console.print(f"{middle:.2f} s for {CLIP_FRAMES} frames, {CLIP_FRAMES / middle:.0f} frames/s")
    console.print(f"of {rounds}: {min(taken):.2f} to {max(taken):.2f} s; aim below {_AIM_S:g} s")


if __name__ == "__main__":
    typer.run(main)
