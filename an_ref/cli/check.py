"""The command `an-ref check`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .options import check_folder, plain_errors, wrong


def check(
    file: Annotated[
        Path | None, typer.Option(help="A Python file of yours with functions NAME and NAME_backward, to check those.")
    ] = None,
    op: Annotated[str | None, typer.Option(help="The NAME to check; without it all pairs of the file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report to this file, to open in a browser.")] = None,
) -> None:
    """Verify gradients by the complex step: all ops and layers of the package, or the ops of your own file.

    In your file NAME(x, ...) returns (y, cache) and NAME_backward(dy, cache) returns the gradients.

    The inputs are what NAME_example() returns: arrays, or (arrays, keywords). Without it they are guessed.
    """
    with plain_errors():
        if op is not None and file is None:
            raise wrong("--op names a function of your file: give --file too")
        if html is not None:
            _check_html(html)
        code = run_check(file, op, html)
    raise typer.Exit(code)


def run_check(file: Path | None, op: str | None, html: Path | None) -> int:
    """Do what `an-ref check` does and return the exit code."""
    from rich.console import Console

    from ..gradcheck import userfile
    from ..terminal import show_check, show_reports

    console, complaints = Console(), []
    if file is None:
        reports = show_check(console)
    else:
        try:
            module = userfile.load(file)
            pairs, alone = userfile.find_pairs(module, op)
        except userfile.UserFileError as error:
            raise wrong(str(error)) from None
        ready, untried = userfile.find_examples(module, pairs)
        complaints = alone + untried
        reports = show_reports(console, ((pair.name, userfile.check_pair(module, pair, e)) for pair, e in ready))
    for complaint in complaints:
        typer.echo(f"an-ref: {complaint}", err=True)
    if html is not None and reports:
        from ..files import replace_file
        from ..gradcheck.html import page

        replace_file(html, page(reports).encode())
        typer.echo(f"\nReport: {html}")
    if not all(report.ok for _, report in reports):
        return 1
    return 2 if complaints else 0


def _check_html(path: Path) -> None:
    """Find out now whether the report can be written, without making or changing it."""
    if path.is_dir():
        raise wrong(f"--html {path} is a folder; give the path of a file in it")
    check_folder("the folder of --html", path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise wrong(f"cannot write --html {path}: permission denied; choose another path")
