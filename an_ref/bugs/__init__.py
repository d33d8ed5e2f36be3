"""The gallery of planted bugs: wrong lines that people write, to try a gradient checker on.

    from an_ref.bugs import BUGS
    for bug in BUGS:
        print(bug.name, bug.check().ok)    # False for each

A bug is a replacement in right code (an_ref.textbook, an_ref.bugs.plain or an_ref.nn). bug.apply() returns the broken
pair with small inputs, ready for check_gradients; bug.check() runs the check that must find it.
"""

from . import attentive, batch, convolution, effects, gate, group, losses, running, steps, switchable
from .bug import Bug, Case, Form

BUGS: tuple[Bug, ...] = (
    *batch.BUGS,
    *steps.BUGS,
    *group.BUGS,
    *switchable.BUGS,
    *gate.BUGS,
    *attentive.BUGS,
    *convolution.BUGS,
    *losses.BUGS,
    *running.BUGS,
    *effects.BUGS,
)

__all__ = ["BUGS", "Bug", "Case", "Form"]
