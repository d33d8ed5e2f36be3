"""Contestants for tests of the bench: tasks that need no time, and misbehave on request."""

import os

import numpy as np

from an_ref.bench.devices import Cpu


class Fake:
    """A task with one part, whose times and answers are told by its options; it logs each turn into a file."""

    def __init__(self, case, *, threads, name, log=None, seconds=1.0, wrong=False, trouble=""):
        if trouble == "make":
            raise ValueError("no such thing\nand much more")
        self.case, self.name, self.log, self.seconds = case, name, log, seconds
        self.wrong, self.trouble, self.seed, self.device = wrong, trouble, None, Cpu()

    def fresh(self, seed):
        self.seed = seed
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{self.name} {seed} {os.getpid()}\n")

    def run(self):
        if self.trouble == "die" and self.case.name == "second":
            os._exit(3)
        if self.trouble == "raise":
            raise RuntimeError("cannot run")
        return {"both": self.seconds}

    def answer(self):
        return {"y": np.full(3, 1.0 + 0.1 * self.wrong)}

    def rest(self):
        pass
