"""What a user installs: what the wheel carries, and what `import an_ref` pulls in."""

import configparser
import importlib
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import an_ref

ROOT = Path(__file__).resolve().parent.parent
INFO = f"an_ref-{an_ref.__version__}.dist-info"
HEAVY = {"hypothesis", "jinja2", "matplotlib", "rich", "torch", "typer"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The files of a freshly built wheel: a dict from name to bytes."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_import_is_light():
    """`import an_ref` needs NumPy alone, so that a notebook or a script starts at once."""
    code = "import an_ref, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "an_ref" in loaded
    assert not loaded & HEAVY


def test_wheel_has_the_version_of_the_package(wheel):
    metadata = message_from_bytes(wheel[f"{INFO}/METADATA"])
    assert metadata["Name"] == "an-ref"
    assert metadata["Version"] == an_ref.__version__


def test_wheel_installs_the_command(wheel):
    entries = configparser.ConfigParser()
    entries.read_string(wheel[f"{INFO}/entry_points.txt"].decode())
    module, _, name = entries["console_scripts"]["an-ref"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_wheel_carries_the_images_and_the_report(wheel):
    assert wheel["an_ref/data/emoji.npz"] == (ROOT / "an_ref/data/emoji.npz").read_bytes()
    assert any(name.startswith("an_ref/report/") and not name.endswith(".py") for name in wheel)


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_wheel_carries_the_licences(wheel, name):
    assert wheel[f"{INFO}/licenses/{name}"] == (ROOT / name).read_bytes()


def test_wheel_has_nothing_but_the_package(wheel):
    assert {name.split("/")[0] for name in wheel} == {"an_ref", INFO}
