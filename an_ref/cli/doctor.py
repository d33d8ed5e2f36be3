"""The command `an-ref doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..doctor import Finding


def doctor() -> None:
    """Show what there is to compute with, on the CPU and on a GPU, and what to install where something is missing.

    The CPU needs nothing of what a GPU needs.
    """
    from ..doctor import examine

    cpu, gpu = examine()
    for title, findings in (("On the CPU", cpu), ("On a GPU", gpu)):
        typer.echo(f"{title}:")
        for finding in findings:
            _show(finding)
        typer.echo()
    if not all(finding.ok for finding in cpu):
        typer.echo("Something is missing for the CPU: see above.")
    elif all(finding.ok for finding in gpu):
        typer.echo("Both can be used: an-ref train --device gpu")
    else:
        typer.echo("The CPU can be used. A GPU cannot, for want of what is missing above.")


def _show(finding: Finding) -> None:
    typer.echo(f"  {finding.name:<8} {'ok     ' if finding.ok else 'missing'}  {finding.found}")
    if finding.advice:
        typer.echo(f"{'':<20}to do: {finding.advice}")
