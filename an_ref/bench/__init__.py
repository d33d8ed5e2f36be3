"""The bench: an_ref beside its textbook form, PyTorch and the memory floor, all in one run, on a CPU or a GPU.

plan.py says what is measured, contestants.py who takes part, turns.py how (processes in turns), worker.py what each
process does; numpy_tasks.py and torch_tasks.py are the work itself, devices.py what differs between a CPU and a GPU;
record.py runs it all and keeps it.
"""

from .plan import FULL, PLANS, QUICK, SECTIONS, TINY, Case, Plan
from .record import run_bench, write_record

__all__ = ["FULL", "PLANS", "QUICK", "SECTIONS", "TINY", "Case", "Plan", "run_bench", "write_record"]
