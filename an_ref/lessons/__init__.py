"""What the notebooks share: questions, exercises, graphs that run and are drawn, and drawings to explore."""

from .cells import draw_cells
from .explorers import explore_cells, explore_circle
from .grade import grade
from .graph import Node, draw_graph, run_graph
from .quiz import quiz

__all__ = ["Node", "draw_cells", "draw_graph", "explore_cells", "explore_circle", "grade", "quiz", "run_graph"]
