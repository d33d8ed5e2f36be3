"""What the notebooks share: questions, graded exercises, and graphs of a computation that run and are drawn."""

from .cells import draw_cells
from .grade import grade
from .graph import Node, draw_graph, run_graph
from .quiz import quiz

__all__ = ["Node", "draw_cells", "draw_graph", "grade", "quiz", "run_graph"]
