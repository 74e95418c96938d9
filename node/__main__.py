"""The command line: what `cardionode` can be asked to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from node.errors import CardionodeError, ConfigurationError

# Each command is imported when it is called: the analysis needs seconds to load, `status` does not.
app = typer.Typer(
    name="cardionode",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show patient data.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="CARDIONODE_CONFIG",
        help="The settings; deploy/node.toml explains every key.",
    ),
]
OptionalConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Settings; defaults without it."),
]
Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY_UID",
        help="Its Study Instance UID, or the short name that logs and the status page show.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one line of JSON.")]


@app.callback()
def cardionode() -> None:
    """A DICOM node for cardiac AI: studies in by C-STORE, reports and overlays out.

    Try [bold]cardionode demo[/bold] first; it needs no settings. Then copy
    deploy/node.toml, adapt it, and start a node:

    [bold]cardionode check-config node.toml[/bold]

    [bold]cardionode serve --config node.toml[/bold]
    """


@app.command()
def serve(config: Config = Path("node.toml")) -> None:
    """Run the node until SIGTERM.

    It writes [bold]ready[/bold] to stderr when it listens. On SIGTERM it takes nothing new,
    finishes what it holds, and ends with status 0; what is left waits for the next start.
    """
    from node.commands.serve import serve as command

    sys.exit(command(config))


@app.command("check-config")
def check_config(file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Name every problem of a settings file.

    The status is 0, or 2 when there is a problem.

    [bold]cardionode check-config node.toml && cardionode serve --config node.toml[/bold]
    """
    from node.commands.check_config import check_config as command

    sys.exit(command(file))


@app.command()
def process(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="DICOM objects, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where results go.")],
    config: OptionalConfig = None,
) -> None:
    """Analyse DICOM objects on disk, without a network or a running node.

    [bold]cardionode process sample_dicom --out results[/bold]

    Results lie in DIR as <study uid>/<series number>_<finding>_<sr|capture>.dcm,
    and each capture's middle frame as PNG beside it.
    """
    from node.commands.process import process as command

    sys.exit(command(paths, out, config))


@app.command()
def status(config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """Count instances, studies, jobs and deliveries by state.

    It reads the ledger, so it works whether the node runs or not.

    [bold]cardionode status --config node.toml --json[/bold]
    """
    from node.commands.status import status as command

    sys.exit(command(config, as_json=as_json))


@app.command()
def show(study: Study, config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """Show what happened to one study, step by step, with reasons.

    [bold]cardionode show 1.2.840.113619.2.55.3 --config node.toml[/bold]

    [bold]cardionode show uid:5f2b9c01d3aa --config node.toml[/bold]
    """
    from node.commands.show import show as command

    sys.exit(command(study, config, as_json=as_json))


@app.command()
def retry(
    study: Annotated[str | None, typer.Argument(metavar="STUDY_UID", help="One study.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every study, not one.")] = False,
    config: Config = Path("node.toml"),
) -> None:
    """Try again what was given up: dead deliveries and failed jobs.

    [bold]cardionode retry --all --config node.toml[/bold], after the PACS is mended

    [bold]cardionode retry 1.2.840.113619.2.55.3 --config node.toml[/bold]
    """
    from node.commands.retry import retry as command

    if (study is None) is not every:
        raise typer.BadParameter("give a STUDY_UID, or --all")
    sys.exit(command(study, config))


@app.command()
def replay(study: Study, config: Config = Path("node.toml")) -> None:
    """Analyse every instance of a study again; the next report is a new revision.

    [bold]cardionode replay 1.2.840.113619.2.55.3 --config node.toml[/bold], after an update
    """
    from node.commands.replay import replay as command

    sys.exit(command(study, config))


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Where results stay; demo_results without it."
        ),
    ] = None,
) -> None:
    """Start a node and a receiver, send the sample studies, and show what came back."""
    from node.commands.demo import demo as command

    sys.exit(command(out))


def main() -> None:
    """Run the command line; errors of ours become one sentence and an exit status."""
    from node.commands.check_config import show_problems
    from node.commands.console import plain, stderr

    try:
        app(prog_name="cardionode")
    except ConfigurationError as error:
        show_problems(stderr(), None, error.problems)
        sys.exit(2)
    except CardionodeError as error:
        stderr().print(plain(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
