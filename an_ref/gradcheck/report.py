"""What a gradient check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..validation import Array

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from .curve import StepCurve
    from .measure import Measured


@dataclass(frozen=True)
class Finding:
    """One fault: `index` of the argument in arrays (None if it concerns no argument), its name, and what is wrong.

    For a wrong gradient, `analytic` is what op_backward returned, `numeric` what the derivative is, and `where` the
    entry with the largest error.
    """

    index: int | None
    name: str
    message: str
    analytic: Array | None = field(default=None, repr=False)
    numeric: Array | None = field(default=None, repr=False)
    where: tuple[int, ...] | None = None


def _no_curve(name: str) -> StepCurve:
    raise RuntimeError(f"this report was not made by check_gradients, so there is no curve for {name}")


@dataclass(frozen=True)
class Report:
    """The outcome of a check.

    errors    for each argument max|analytic - numeric| / max(max|numeric|, scale); the scale is the largest sum of
              |terms| that make up one entry of the gradient
    blind     names of arguments that the cotangent cannot see: along it their gradient vanishes, right or wrong
    findings  all faults
    notes     what a reader should know, and what is no fault: a forward that is not complex-safe, say
    measured  for each argument the gradients behind its error; curve(name) measures the error against the step size
    """

    op: str
    method: str
    errors: dict[str, float]
    blind: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = field(default=(), repr=False, compare=False)
    curve: Callable[[str], StepCurve] = field(default=_no_curve, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def max_error(self) -> float:
        """The worst error over all arguments."""
        return max(self.errors.values(), default=0.0)

    def __str__(self) -> str:
        verdict = "gradients agree" if self.ok else "WRONG"
        lines = [f"{self.op}: {verdict}, worst error {self.max_error:.1e} ({self.method})"]
        wrong = {name for finding in self.findings for name in finding.name.split(", ")}
        for name, error in self.errors.items():
            lines.append(f"  {f'd{name}':<16} error {error:.1e}  {'WRONG' if name in wrong else 'ok'}")
        lines += [f"  - {finding.message}" for finding in self.findings]
        if self.blind:
            lines.append(f"  this cotangent cannot see the gradient of {', '.join(self.blind)}: use a random one")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from .html import report_html  # templates are loaded only where a notebook asks

        return report_html(self)

    def plot(self) -> Figure:
        """Draw the worst argument: error map, analytic against numeric, error against step size. Returns the figure."""
        from .plot import plot_report  # matplotlib takes a second to load

        return plot_report(self)
