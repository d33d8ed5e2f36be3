"""Break the core in one place at a time, and see whether a test notices.

    python scripts/mutants.py                      every mutant
    python scripts/mutants.py "an_ref.sweeps.*"    those of one file once more, or one by its name

mutmut makes the mutants and runs the tests; pyproject.toml says which files and which tests. Text is left alone: here
it is the wording of messages. A mutant that no test notices must stand in docs/mutants.md, with the reason why no test
can see it. If it does not, its row is printed and the exit code is 1: write a better test, or complete the row there.
A row that is out of date counts as an error too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from mutmut.__main__ import cli
from mutmut.configuration import config
from mutmut.mutation import mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

LISTED = Path("docs/mutants.md")
KILLED = ("killed", "timeout")


class Mutant(NamedTuple):
    """What became of a mutant, and how its row in docs/mutants.md begins: file, function, the line that was put in."""

    status: str
    row: str


def run(names: list[str], processes: int) -> None:
    """Let mutmut run the mutants of these names once more, or all of them anew; it works in the folder mutants/."""
    if not names:
        shutil.rmtree("mutants", ignore_errors=True)
    operators = mutators.mutation_operators
    operators[:] = [pair for pair in operators if pair[1] is not mutators.operator_string]  # type: ignore[index]
    cli(["run", "--max-children", str(processes), *names], standalone_mode=False)


def mutants(path: Path) -> list[Mutant]:
    """Return the mutants of a file that were run; only those that are alive have a row."""
    data = SourceFileMutationData(path=path)
    data.load()
    found = []
    for name, code in data.exit_code_by_key.items():
        status, row = status_by_exit_code[code], ""
        if status == "not checked":
            continue
        if status not in KILLED:
            function, _ = orig_function_and_class_names_from_key(name)
            row = f"| {path.name} | {function} | `{_new_code(get_diff_for_mutant(name, path=path))}` |"
        found.append(Mutant(status, row))
    return found


def _new_code(diff: str) -> str:
    lines = [line[1:].strip() for line in diff.splitlines()[2:] if line.startswith("+")]
    return " ".join(lines).replace("|", "\\|")


def report(by_file: dict[str, list[Mutant]], *, complete: bool) -> bool:
    """Print a table of the files, then what is alive and not listed, and what is listed and not alive; True if none."""
    rows = [line for line in LISTED.read_text(encoding="utf-8").splitlines() if line.startswith("|") and "`" in line]
    alive = {m.row for found in by_file.values() for m in found if m.row}
    unlisted = [row for row in sorted(alive) if not any(line.startswith(row) for line in rows)]
    outdated = [line for line in rows if complete and not any(line.startswith(row) for row in alive)]
    print("\n| file | mutants | killed | equivalent | score |\n| --- | --: | --: | --: | --: |")
    for name, found in by_file.items():
        killed = sum(m.status in KILLED for m in found)
        equivalent = sum(m.row != "" and m.row not in unlisted for m in found)
        score = killed / max(1, len(found) - equivalent)
        print(f"| {name} | {len(found)} | {killed} | {equivalent} | {score:.1%} |")
    for row in unlisted:
        print(f"No test notices: {row}")
    for row in outdated:
        print(f"Out of date in {LISTED}: {row}")
    return not unlisted and not outdated


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="mutants by name, * stands for anything; default: all, from the start")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: all cores")
    options = parser.parse_args()
    run(options.names, options.processes)
    by_file = {path.name: mutants(path) for path in map(Path, config().only_mutate)}
    return 0 if report(by_file, complete=not options.names) else 1


if __name__ == "__main__":
    sys.exit(main())
