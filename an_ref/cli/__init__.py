"""The command `an-ref`: check the gradients, compare the norms, train a net and test it, run a study, look for a GPU.

Exit codes: 0 all is well; 1 a gradient is wrong, or a run failed; 2 an option is wrong, or a file of the user's cannot
be loaded or tried; 130 stopped by Ctrl-C. What needs time to import is imported inside the commands, so that --help
answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from . import bench, check, compare, doctor, evaluate, study, train

app = typer.Typer(
    name="an-ref",
    help="Feature normalization and channel attention from scratch: verify the gradients, train with every norm.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(check.check)
app.command()(compare.compare)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(study.study)
app.command()(bench.bench)
app.command()(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"an-ref {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
