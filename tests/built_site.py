"""Build the site from a copy of its sources: once in a run of the tests, for all who look at it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SECONDS = 300
missing = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme") if importlib.util.find_spec(name) is None]
needs_sphinx = pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed; pip install -e '.[docs]'")


def build(folder, builder, *, notebooks=True):
    """Build the site from a copy of its sources, so that nothing is written into them; return the output's folder."""
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("notebooks"))
    (folder / "notebooks").mkdir()
    for notebook in (ROOT / "notebooks").glob("*.ipynb") if notebooks else ():
        shutil.copy(notebook, folder / "notebooks")
    for name in ("an_ref", "tests"):  # a page may link to a source
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder, "docs", "site"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    assert run.returncode == 0, run.stderr
    return folder / "site"


def build_once(base):
    """Build the site as HTML under base; of several workers of pytest-xdist the first builds and the others wait."""
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built_site"
    built, failed = folder / "built", folder / "failed"
    try:
        folder.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + SECONDS
        while not built.exists():
            assert not failed.exists(), failed.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "another worker did not finish the site"
            time.sleep(0.2)
        return folder / "site"
    try:
        site = build(folder, "html")
    except BaseException as error:
        failed.write_text(str(error), encoding="utf-8")
        raise
    built.touch()
    return site


def html_files(site):
    """Return the pages, without the templates that the theme leaves among its files."""
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
