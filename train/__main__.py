"""The command line of training: simulate a cohort, fit a network, evaluate and export it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import torch
import typer
from lightning.fabric import Fabric
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.cards import WEIGHTS_FOLDER
from train import start
from train.export import as_encoded, export, trained_network, with_encoding_loss
from train.export import evaluate as score
from train.loop import Trainer
from train.phantom.cohort import write_cohort
from train.phantom.parts import PARTS
from train.phantom.parts.base import CohortPlan
from train.phantom.record import RECORD, write_record
from train.recipe import Recipe, RecipeError, load_recipe
from train.semi_real_run import run_semi_real
from train.tasks import task_of
from train.weights_page import read_cards, weights_page, write_page

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Train the networks of cardionode.

    A training takes three commands:

    1. `python -m train phantom --part ef --out data/cohort --patients 1500`

    2. `python -m train fit ejection_fraction --cohort data/cohort --out runs/ef`

    3. `python -m train evaluate ejection_fraction --cohort data/cohort --run runs/ef --export`

    A training that was killed goes on where it was when the same command is given again.
    """,
)

RecipeArgument = Annotated[
    str, typer.Argument(help="Name of a recipe in train/recipes, or the path of a TOML.")
]
CohortOption = Annotated[
    Path, typer.Option(help="Folder that `phantom` wrote.", exists=True, file_okay=False)
]


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the arrays.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients to simulate.")] = 1500,
    seed: Annotated[int, typer.Option(help="Decides every patient and every clip.")] = 1,
    view_frames: Annotated[int, typer.Option(min=1, help="Frames per patient and view.")] = 4,
    processes: Annotated[int, typer.Option(min=1, help="Renderers side by side.")] = 2,
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(PARTS)}; all when left out. Repeatable."),
    ] = None,
) -> None:
    """Simulate a cohort as arrays: for each part of it images or signals, and their truth.

    `studies` writes the same patients as DICOM. Each recipe names the part that it needs.
    """
    parts = tuple(part or PARTS)
    if unknown := [p for p in parts if p not in PARTS]:
        raise typer.BadParameter(
            f"{unknown[0]} is not one of {', '.join(PARTS)}", param_hint="--part"
        )
    with Progress(console=Console(stderr=True)) as progress:
        row = progress.add_task("simulating", total=patients * len(parts))
        plan = CohortPlan(patients, seed, view_frames, processes)
        write_cohort(out, plan, parts, lambda: progress.advance(row))


@app.command()
def studies(
    out: Annotated[Path, typer.Option(help="Gets one folder per patient.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients to simulate.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides every patient; another than a training's.")
    ] = 77,
    first: Annotated[int, typer.Option(min=0, help="Number of the first patient.")] = 0,
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(RECORD)}; all when left out. Repeatable."),
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames per clip, 25 to 62 a second.")] = 64,
) -> None:
    """Simulate patients as DICOM: the echo study, the ECG and the chest X-ray of one person.

    A patient's folder holds `<view>.dcm` for each view (480 x 640, JPEG, calibrated, with a
    running ECG; the short axis is at the aortic valve), `ecg.dcm` (12 leads, 10 s), `cxr.dcm`
    (PA, 12 bit), and `truth.json`: valve, calcium, conduction, ejection fraction, R peaks, and the
    borders of the ventricle in pixels. About 1.5 MB and two seconds for a clip of 64 frames. The
    patients of seed 77 are in no cohort that the weights in this repository were trained on.

    Try a node on three of them:

    `python -m train studies --out data/studies --patients 3`

    `cardionode process data/studies --out data/results`
    """
    wanted = tuple(part or RECORD)
    if unknown := [p for p in wanted if p not in RECORD]:
        raise typer.BadParameter(
            f"{unknown[0]} is not one of {', '.join(RECORD)}", param_hint="--part"
        )
    with Progress(console=Console(stderr=True)) as progress:
        row = progress.add_task("simulating", total=patients * len(wanted))
        for number in range(first, first + patients):
            folder = out / f"patient-{number:04d}"
            write_record(folder, number, seed, wanted, frames, lambda: progress.advance(row))


@app.command()
def fit(
    recipe: RecipeArgument,
    cohort: CohortOption,
    out: Annotated[Path, typer.Option(help="Folder of this training; resumes what is there.")],
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many devices.")] = 1,
    precision: Annotated[str, typer.Option(help="bf16-mixed or 32-true.")] = "bf16-mixed",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 for as many as cores.")] = 0,
    begin_with: Annotated[
        str, typer.Option("--from", help="Weights in models/weights to train further, by name.")
    ] = "",
) -> None:
    """Train a network by a recipe, with progress bar; resumes after an interruption.

    `out` receives last.safetensors (to resume), best.safetensors and metrics.jsonl. To adapt
    weights that ship to your own data, copy the recipe, keep its last stage with a tenth of the
    learning rate, and name them:

    `python -m train fit mine.toml --cohort data/mine --out runs/mine --from rsmas_net`
    """
    chosen = _recipe(recipe)
    weights = None
    if begin_with:
        try:
            begun = start.shipped(begin_with, chosen)
        except start.StartError as error:
            raise typer.BadParameter(str(error), param_hint="--from") from error
        start.note(out, begun)
        weights = begun.weights
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    Trainer(chosen, cohort, out, fabric, Console(stderr=True), weights).fit()


@app.command()
def evaluate(
    recipe: RecipeArgument,
    cohort: CohortOption,
    run: Annotated[Path, typer.Option(help="Folder of the training.", exists=True)],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    write: Annotated[
        bool, typer.Option("--export", help="Also write weights, card and page for the node.")
    ] = False,
    weights: Annotated[Path, typer.Option(help="Where --export writes.")] = WEIGHTS_FOLDER,
) -> None:
    """Score a training on patients it never saw, with 95 % intervals over patients."""
    if split not in ("train", "val", "test"):
        raise typer.BadParameter("a split is train, val or test", param_hint="--split")
    chosen = _recipe(recipe)
    network = trained_network(chosen, run)
    console = Console(stderr=True)
    with console.status(f"scoring {chosen.name} on the {split} patients"):
        report = score(chosen, network, cohort, split)  # type: ignore[arg-type]
        if write and chosen.encoding != "float16":
            encoded = as_encoded(chosen, network)
            report = with_encoding_loss(score(chosen, encoded, cohort, split), report)  # type: ignore[arg-type]
    table = Table("number", "value", "95 % interval", title=f"{chosen.name} {chosen.version}")
    for name, value in report.metrics.items():
        if isinstance(value, dict) and "value" in value:
            table.add_row(name, f"{value['value']:.4g}", f"{value['low']:.4g}–{value['high']:.4g}")
        else:
            table.add_row(name, str(value), "")
    for name, threshold in report.thresholds.items():
        table.add_row(name, f"{threshold['value']:.4g}", threshold["policy"])
    Console().print(table)
    if write:
        card = export(chosen, network, report, cohort, weights, start.noted(run))
        write_page(weights)
        console.print(f"wrote {weights / card.name}.safetensors, sha256 {card.sha256[:12]}…")


@app.command("semi-real")
def semi_real(
    ecg: Annotated[Path, typer.Option(help="Folder of PTB-XL.", exists=True)],
    xray: Annotated[Path, typer.Option(help="Films with ctr.csv.", exists=True)],
    out: Annotated[Path, typer.Option(help="Gets semi_real.json.")],
    weights: Annotated[Path, typer.Option(help="Folder of ecg_net and cxr_net.")] = WEIGHTS_FOLDER,
    write: Annotated[bool, typer.Option("--write", help="Also add it to both cards.")] = False,
) -> None:
    """Score stenosis screening on real ECGs and real films that are paired at random.

    The label is drawn from a known probability of voltage, QRS width, strain and heart size.
    """
    with Console(stderr=True).status("scoring real ECGs and films"):
        found = run_semi_real(ecg, xray, out, weights, write)
    table = Table("number", "value", "95 % interval", title="semi-real pairs")
    for name, value in found.items():
        number = value if isinstance(value, dict) and "low" in value else {}
        interval = f"{number['low']:.4g}–{number['high']:.4g}" if number else ""
        table.add_row(name, f"{number['value']:.4g}" if number else str(value), interval)
    Console().print(table)
    if write:
        write_page(weights)


@app.command()
def cards(
    weights: Annotated[Path, typer.Option(help="Folder of the cards.")] = WEIGHTS_FOLDER,
    write: Annotated[
        bool, typer.Option("--write", help="Write README.md beside the cards instead.")
    ] = False,
) -> None:
    """Tell what weights there are, how good they are and where they are from, as Markdown."""
    if write:
        Console(stderr=True).print(f"wrote {write_page(weights)}")
    else:
        typer.echo(weights_page(read_cards(weights)))


def _recipe(name: str) -> Recipe:
    path = Path(name)
    if path.suffix != ".toml":
        path = Path(__file__).parent / "recipes" / f"{name}.toml"
    try:
        recipe = load_recipe(path)
        task_of(recipe)
        return recipe
    except RecipeError as error:
        for problem in error.problems:
            Console(stderr=True).print(f"[red]{path.name}[/red] {problem}")
        raise typer.Exit(2) from error


def main() -> None:
    """Run the command line."""
    # torch's compiler warns about its own modules; a person who trains can do nothing about it.
    warnings.filterwarnings("ignore", module=r"torch\..*")
    app(prog_name="python -m train")


if __name__ == "__main__":
    main()
