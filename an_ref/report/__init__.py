"""The report of a comparison: intervals, figures and the page."""

from .page import write_report
from .summary import Summary, summarize, verdict

__all__ = ["Summary", "summarize", "verdict", "write_report"]
