"""Reports as HTML: one for a notebook, or a page for many. They load nothing from elsewhere.

All text goes through Jinja's escaping. Colours are those of the notebook, apart from two that can be read on white and
on black.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import numpy as np

from ..validation import Array

if TYPE_CHECKING:
    from .report import Finding, Report

SHOWN = 3  # entries of a wrong gradient
DIGITS = 17  # a bar goes from 1e-17 to 1


class Row(NamedTuple):
    """One argument: its gradient's name, its error (None if it was not compared), and the verdict in words."""

    gradient: str
    error: float | None
    kind: str  # "fine", "wrong" or "unseen"
    verdict: str


class Entry(NamedTuple):
    """One entry of a wrong gradient, as text."""

    where: str
    analytic: str
    numeric: str
    difference: str


def report_html(report: Report) -> str:
    """Return a report as an HTML fragment: a table of the arguments, then the findings with their worst entries."""
    template = _environment().from_string(
        '{% import "report.html.j2" as report with context %}'
        "<style>{{ report.style() }}</style>{{ report.fragment(view) }}"
    )
    return template.render(view=_view(report))


def page(reports: list[tuple[str, Report]]) -> str:
    """Return named reports as a whole HTML page: a line for each, then each in detail, those with findings open."""
    wrong = sum(not report.ok for _, report in reports)
    lead = f"All {len(reports)} agree with the derivatives of their forwards, and nothing else is wrong with them."
    if wrong:
        lead = f"{wrong} of {len(reports)} {'has' if wrong == 1 else 'have'} findings; what is wrong stands below."
    views = [(name, _view(report)) for name, report in reports]
    return _environment().get_template("page.html.j2").render(title="Gradient check", lead=lead, views=views)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("an_ref.gradcheck", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"error": _error, "share": _share}
    return environment


def _error(error: float) -> str:
    if error == 0:
        return "0"
    return f"{error:.1e}" if np.isfinite(error) else "not finite"


def _share(error: float) -> int:
    """Return how much of a bar an error fills, in percent."""
    if not np.isfinite(error):
        return 100
    return round(100 * min(1.0, max(0.0, 1 + math.log10(max(error, 1e-99)) / DIGITS)))


def _view(report: Report) -> dict[str, Any]:
    """Return what the template shows of a report."""
    return {
        "op": report.op,
        "ok": report.ok,
        "headline": _headline(report),
        "worst": report.max_error,
        "method": report.method,
        "rows": _rows(report),
        "findings": [{"message": f.message, "entries": _entries(f)} for f in report.findings],
        "blind": ", ".join(report.blind),
        "notes": report.notes,
    }


def _headline(report: Report) -> str:
    if report.ok:
        return "right, as far as this cotangent sees" if report.blind else "right"
    return "WRONG" if _wrong(report) else "right numbers, other faults"


def _wrong(report: Report) -> set[str]:
    """Return the names of the arguments whose gradient is wrong: those whose findings show it."""
    return {finding.name for finding in report.findings if finding.analytic is not None}


def _rows(report: Report) -> list[Row]:
    """Return a row for each argument that was compared or has findings, in the order of the arguments."""
    names = list(report.errors)
    found = {f.name: f.index for f in report.findings if f.index is not None}
    for name, index in sorted(found.items(), key=lambda item: item[1]):
        if name not in names:
            names.insert(index, name)
    return [Row(f"d{name}", report.errors.get(name), *_verdict(report, name, name in found)) for name in names]


def _verdict(report: Report, name: str, found: bool) -> tuple[str, str]:
    if found:
        return "wrong", "✗ wrong" if name in _wrong(report) else "✗ see below"
    if name in report.blind:
        return "unseen", "– not seen by this cotangent"
    return "fine", "✓ right"


def _entries(finding: Finding) -> list[Entry]:
    """Return the entries with the largest errors; those that are not finite first."""
    if finding.analytic is None or finding.numeric is None or finding.analytic.shape != finding.numeric.shape:
        return []
    analytic, numeric = np.asarray(finding.analytic), np.asarray(finding.numeric)
    error: Array = np.abs(analytic - numeric)
    order = np.argsort(np.where(np.isfinite(error), -error, -np.inf), axis=None, kind="stable")[:SHOWN]
    places = [tuple(int(i) for i in np.unravel_index(flat, error.shape)) for flat in order]
    if finding.where is not None:
        places = [finding.where, *(place for place in places if place != finding.where)][:SHOWN]
    return [
        Entry(str(list(place)), *(f"{v:.6g}" for v in (analytic[place], numeric[place], (analytic - numeric)[place])))
        for place in places
        if error[place] != 0  # NaN too is not 0
    ]
