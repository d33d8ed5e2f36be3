"""What a gradient check found."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..validation import Array


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


@dataclass(frozen=True)
class Report:
    """The outcome of a check.

    errors maps each argument's name to its error, max|analytic - numeric| / max(max|numeric|, scale), where the scale
    is the largest sum of |terms| that make up one entry of the gradient. blind names the arguments that the cotangent
    cannot see: their gradient vanishes along it whatever op_backward does. findings holds all faults.
    """

    op: str
    method: str
    errors: dict[str, float]
    blind: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def max_error(self) -> float:
        """The worst error over all arguments."""
        return max(self.errors.values(), default=0.0)

    def __str__(self) -> str:
        verdict = "gradients agree" if self.ok else "gradients are WRONG"
        lines = [f"{self.op}: {verdict}, worst error {self.max_error:.1e} ({self.method})"]
        wrong = {finding.name for finding in self.findings}
        for name, error in self.errors.items():
            lines.append(f"  d{name:<12} error {error:.1e}  {'WRONG' if name in wrong else 'ok'}")
        lines += [f"  {finding.message}" for finding in self.findings]
        if self.blind:
            lines.append(f"  this cotangent cannot see the gradient of: {', '.join(self.blind)}; use a random one")
        return "\n".join(lines)
