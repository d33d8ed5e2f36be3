"""Small studies: a declared grid of nets, each trained from several seeds, and what the results allow to say."""

from .grid import STUDIES, Case, Study
from .record import StudyError
from .study import prepare, run_study

__all__ = ["STUDIES", "Case", "Study", "StudyError", "prepare", "run_study"]
