"""From a wrong gradient to words. `explain` says what is wrong; the other files know what usual mistakes look like."""

from .explain import explain, scene

__all__ = ["explain", "scene"]
