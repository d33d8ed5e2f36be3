"""Checks of options that several commands share, and errors in one line."""

from __future__ import annotations

import difflib
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

NEED_TWO = ("an", "an-sn")  # their logits are normalized over the images of the batch, so one image says nothing


def wrong(message: str) -> typer.Exit:
    """Print `message` as an error and return the exit to raise."""
    typer.echo(f"an-ref: {message}", err=True)
    return typer.Exit(2)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn Ctrl-C and a full disk into one line; any other exception is a fault of ours and keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("an-ref: interrupted", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(f"an-ref: {error}", err=True)
        raise typer.Exit(1) from None


def check_name(kind: str, name: str, known: Any) -> None:
    """Exit unless `name` is in `known`; the message has the nearest right one."""
    if name not in known:
        near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.0)
        raise wrong(f"unknown {kind} '{name}': did you mean '{near[0]}'? Choose from {', '.join(known)}")


def check_at_least(option: str, value: int, lowest: int) -> None:
    """Exit unless `value` is `lowest` or more."""
    if value < lowest:
        raise wrong(f"{option} must be at least {lowest}, got {value}")


def check_lr(lr: float) -> None:
    """Exit unless `lr` can be a learning rate."""
    if not (math.isfinite(lr) and lr > 0):
        raise wrong(f"--lr must be above 0 and finite, got {lr:g}")


def check_batch_size(batch_size: int, images: int, norms: tuple[str, ...]) -> None:
    """Exit unless the training images fill a batch, and a batch has images enough for each of `norms`."""
    if not 1 <= batch_size <= images:
        raise wrong(f"--batch-size must be from 1 to {images}, the number of training images, got {batch_size}")
    for norm in norms:
        if batch_size == 1 and norm in NEED_TWO:
            raise wrong(
                f"--batch-size must be at least 2 for norm '{norm}', whose attention is normalized over the images of "
                f"a batch, got 1; an-gn, an-ln and an-in take single images"
            )


def check_device(device: str) -> None:
    """Exit unless `device` is known and there is one."""
    from .. import backend

    try:
        backend.check_device(f"--device {device}", device)
    except backend.NoGpuError as error:
        raise wrong(str(error)) from None
    except ValueError:
        raise wrong(f"--device must be cpu or gpu, got {device}") from None


def check_folder(option: str, folder: Path) -> None:
    """Make the folder and write something into it, to find out now and not after the work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise wrong(f"cannot write into {option} {folder}: {reason}; choose another folder") from None
