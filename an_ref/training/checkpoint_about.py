"""What a checkpoint holds besides arrays: settings, history, position, the state of the generator, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from .. import __version__
from ..backend import DEVICES
from ..nn import MODELS, NORMS
from .checkpoint_file import CheckpointError, Entries
from .recipe import Recipe
from .settings import EpochRecord, RunSettings

FORMAT, VERSION = "an_ref checkpoint", 1
TYPES = {str: "a string", int: "an integer", float: "a number", list: "a list", dict: "a table"}


@dataclass(frozen=True)
class About:
    """A training run after some epochs, but for its arrays.

    settings   what is run
    classes    their names
    images     sha256 of the images, see `run_settings.fingerprints`
    step       how many steps the optimizer has taken
    rng        the state of the generator of the batches, a PCG64
    history    one entry for each epoch done
    versions   of the package and of NumPy, when it was written
    """

    settings: RunSettings
    classes: tuple[str, ...]
    images: dict[str, str]
    step: int
    rng: dict[str, Any]
    history: tuple[EpochRecord, ...]
    versions: dict[str, str]

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)


def present_versions() -> dict[str, str]:
    """Return the versions that are running now."""
    return {"an_ref": __version__, "numpy": np.__version__}


def to_json(about: About) -> str:
    """Return `about` as JSON, with the format and its version."""
    position = {"format": FORMAT, "version": VERSION, "epoch": about.epoch}
    return json.dumps(position | asdict(about) | {"history": [record._asdict() for record in about.history]})


def read_about(entries: Entries) -> About:
    """Read and check the entry "about". Raises CheckpointError, which names what is missing or wrong in it."""
    if "about" not in entries.names():
        raise CheckpointError(f"{entries.path} is not a checkpoint of an_ref: it has no entry about")
    try:
        tree = _Table(entries, "about", json.loads(entries.text("about")))
    except (RecursionError, json.JSONDecodeError) as error:
        raise entries.wrong("about", f"is not JSON ({error})") from None
    if tree.get("format", str) != FORMAT:
        raise tree.wrong("format", f"is {tree.get('format', str)!r}, not {FORMAT!r}: the file is another program's")
    version = tree.get("version", int)
    if version != VERSION:
        by = tree.table("versions").get("an_ref", str) if version > VERSION else "none"
        raise tree.wrong("version", f"is {version}, and this an_ref reads {VERSION}: it was written by an_ref {by}")
    settings = _settings(tree.table("settings"))
    history = tuple(_record(entry) for entry in tree.tables("history"))
    epoch = tree.get("epoch", int)
    if not epoch == len(history) <= settings.recipe.epochs:
        raise tree.wrong("epoch", f"is {epoch} of {settings.recipe.epochs}, but history has {len(history)} entries")
    classes = tree.strings("classes")
    if not classes:
        raise tree.wrong("classes", "is empty")
    versions, images = tree.table("versions"), tree.table("images")
    return About(
        settings=settings,
        classes=classes,
        images={name: images.get(name, str) for name in ("train", "test")},
        step=tree.get("step", int, lowest=0),
        rng=_generator_state(tree.table("rng")),
        history=history,
        versions={name: versions.get(name, str) for name in present_versions()},
    )


class _Table:
    """A JSON object whose every value is checked as it is taken; `name` says where it is in the file."""

    def __init__(self, entries: Entries, name: str, tree: Any) -> None:
        self._entries, self._name = entries, name
        if not isinstance(tree, dict):
            raise entries.wrong(name, "should be a table")
        self.tree = tree

    def wrong(self, key: str, fault: str) -> CheckpointError:
        return self._entries.wrong(f"{self._name}.{key}", fault)

    def get(self, key: str, kind: type, *, lowest: float = -math.inf, highest: float = math.inf) -> Any:
        if key not in self.tree:
            raise self.wrong(key, "is missing")
        value = self.tree[key]
        kinds: Any = (int, float) if kind is float else kind
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise self.wrong(key, f"should be {TYPES[kind]}, but is {value!r:.40}")
        if kind in (int, float) and not (lowest <= value <= highest and -math.inf < value < math.inf):
            raise self.wrong(key, f"is {value!r:.40}, which is out of its range")
        return value

    def optional(self, key: str, kind: type, **limits: float) -> Any:
        return None if key in self.tree and self.tree[key] is None else self.get(key, kind, **limits)

    def table(self, key: str) -> _Table:
        return _Table(self._entries, f"{self._name}.{key}", self.get(key, dict))

    def tables(self, key: str) -> list[_Table]:
        return [_Table(self._entries, f"{self._name}.{key}[{i}]", one) for i, one in enumerate(self.get(key, list))]

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.get(key, list)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "should hold strings alone")
        return tuple(values)


def _settings(table: _Table) -> RunSettings:
    table.tree.setdefault("device", "cpu")  # the first checkpoints do not name it
    for key, known in (("model", MODELS), ("norm", NORMS), ("device", DEVICES)):
        if table.get(key, str) not in known:
            raise table.wrong(key, f"is {table.get(key, str)!r}, which this an_ref does not have")
    return RunSettings(
        data=table.get("data", str),
        data_dir=table.optional("data_dir", str),
        model=table.get("model", str),
        norm=table.get("norm", str),
        seed=table.get("seed", int, lowest=0),
        limit=table.optional("limit", int, lowest=1),
        recipe=_recipe(table.table("recipe")),
        device=table.get("device", str),
    )


def _recipe(table: _Table) -> Recipe:
    names = {field.name for field in fields(Recipe)}
    for key in sorted(names ^ set(table.tree)):
        raise table.wrong(key, "is missing" if key in names else "is unknown to this an_ref")
    values = table.tree | {"no_decay": table.strings("no_decay")}
    try:
        return Recipe(**values)
    except (TypeError, ValueError) as error:
        raise table.wrong("*", f"cannot be used ({error})") from None


def _record(table: _Table) -> EpochRecord:
    return EpochRecord(
        lr=table.get("lr", float, lowest=0),
        train_loss=table.get("train_loss", float),
        test_loss=table.get("test_loss", float),
        test_accuracy=table.get("test_accuracy", float, lowest=0, highest=1),
    )


def _generator_state(table: _Table) -> dict[str, Any]:
    if table.get("bit_generator", str) != "PCG64":
        raise table.wrong("bit_generator", f"is {table.get('bit_generator', str)!r}, not 'PCG64'")
    inner = table.table("state")
    state = {key: inner.get(key, int, lowest=0, highest=2**128 - 1) for key in ("state", "inc")}
    if state["inc"] % 2 == 0:
        raise inner.wrong("inc", "is even, which no PCG64 has")
    return {
        "bit_generator": "PCG64",
        "state": state,
        "has_uint32": table.get("has_uint32", int, lowest=0, highest=1),
        "uinteger": table.get("uinteger", int, lowest=0, highest=2**32 - 1),
    }
