"""notebooks/concepts.yml is true: nothing is used before it is introduced, on the whole path and on the core path.

The file is compared with the text of the notebooks and of their exercises, so a list that is made up fails.
"""

import copy
import functools
import inspect
import itertools
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from an_ref import lessons
from an_ref.lessons.exercises import load, modules

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; see the extra named test")

ROOT = Path(__file__).resolve().parent.parent
GREEK = "alpha|beta|gamma|delta|epsilon|eta|theta|lambda|mu|pi|rho|sigma|tau|phi|Gamma|Delta|Sigma|ell"
NAMES = "BN|LN|IN|GN|SN|SE|AN"  # names in a subscript, not products of letters


class Text(NamedTuple):
    """What a reader sees: the cells of a notebook, where its opening ends, the letters, and each code exercise."""

    cells: tuple[str, ...]
    opening: int
    letters: dict[str, int]  # each letter of a formula: the cell where it is first seen
    exercises: dict[str, str]


# --- reading ---------------------------------------------------------------------------------------------------------
def plain(source):
    """The text without addresses, without the titles under Sources, and with one space for each break."""
    return re.sub(r"\s+", " ", re.sub(r"\]\([^)\s]*\)", "]", source.split("## Sources")[0]))


def letters_in(text):
    """The letters of the formulas of a text: Latin ones, and the names of Greek ones."""
    found = set()
    for pair in re.findall(r"\$\$(.*?)\$\$|\$([^$]+)\$", text):
        formula = re.sub(r"\\(?:text|mathrm|operatorname|tag|begin|end) ?\{[^{}]*\}", " ", "".join(pair))
        found |= set(re.findall(rf"\\({GREEK})(?![A-Za-z])", formula))
        formula = re.sub(rf"\\[A-Za-z]+|\b(?:{NAMES})\b", " ", formula.replace("_", " "))
        found |= set(re.findall(r"[A-Za-z]", formula))
    return found


def read_notebook(path, exercises):
    notebook = json.loads(path.read_text(encoding="utf-8"))["cells"]
    cells, letters = tuple(plain("".join(cell["source"])) for cell in notebook), {}
    for number, cell in enumerate(notebook):
        if cell["cell_type"] == "markdown":
            letters = dict.fromkeys(letters_in(cells[number]), number) | letters
    opening = next((number for number, cell in enumerate(cells) if re.search(r"(?:^| )## ", cell)), len(cells))
    return Text(cells, opening, letters, exercises)


def text_of(exercise):
    """What an exercise speaks of: its forward, its solution, and the messages for usual mistakes."""
    sources = [inspect.getsource(function) for function in (exercise.op, exercise.solution)]
    return plain("\n".join([*sources, *(message for _, message in exercise.hints)]))


@functools.cache
def texts():
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        module = re.sub(r"^\d+_", "", path.stem)
        exercises = load(module) if module in modules() else {}
        found[path.stem] = read_notebook(path, {name: text_of(exercise) for name, exercise in exercises.items()})
    return found


@functools.cache
def listing():
    return yaml.safe_load((ROOT / "notebooks" / "concepts.yml").read_text(encoding="utf-8"))


@functools.cache
def places(pattern, cells):
    """The numbers of the cells where the pattern is found."""
    return [number for number, cell in enumerate(cells) if re.search(pattern, cell)]


@functools.cache
def position(words, cells):
    """The number of the first cell with these words, or None."""
    return next((number for number, cell in enumerate(cells) if words in cell), None)


# --- the check -------------------------------------------------------------------------------------------------------
def faults(listing, texts):
    """All that is wrong with the listing, as sentences; `listing` is the file, `texts` what the notebooks say."""
    concepts, before = listing["concepts"], listing["before"]
    patterns = concepts | before["concepts"]
    found = [f"{name}: is in both lists" for name in concepts.keys() & before["concepts"].keys()]
    found += [
        f"{stem}: is listed and is not there, or is there and not listed"
        for stem in listing["notebooks"].keys() ^ texts
    ]
    whole, core = ((set(before["concepts"]), set(before["letters"])) for _ in range(2))
    for stem in sorted(listing["notebooks"].keys() & texts):
        entry, text = listing["notebooks"][stem], texts[stem]
        known, letters = core if entry["core"] else whole
        wrong = notebook_faults(entry, text, patterns, known) + letter_faults(entry["letters"], text, letters)
        found += [f"{stem}: {fault}" for fault in wrong]
        for reached in (whole, core) if entry["core"] else (whole,):
            reached[0].update(introductions(entry))
            reached[1].update(entry["letters"])
    named = {name for entry in listing["notebooks"].values() for name in (*introductions(entry), *needs(entry))}
    return found + [f"{name}: no notebook introduces or needs it" for name in patterns.keys() - named]


def introductions(entry):
    """What a notebook introduces, its exercises included: names, and the words that say what each is."""
    parts = [entry, *entry["exercises"].values()]
    return {name: words for part in parts for name, words in part.get("introduces", {}).items()}


def needs(entry):
    return {name for part in (entry, *entry["exercises"].values()) for name in part["needs"]}


def notebook_faults(entry, text, patterns, known):
    own, mentions, opens = introductions(entry), entry.get("mentions", {}), entry.get("opens_with", [])
    unknown = (own.keys() | mentions.keys() | set(entry["needs"])) - patterns.keys()
    if unknown or entry["exercises"].keys() != text.exercises.keys():
        return [f"has no pattern for {sorted(unknown)}, or other exercises than {sorted(text.exercises)}"]
    seen = {name: places(pattern, text.cells) for name, pattern in patterns.items()}
    cells = (*text.cells, *text.exercises.values())
    found = [f"introduces {name}, which is introduced before it" for name in own.keys() & known]
    found += [f"mentions {name}, which is introduced before it" for name in mentions.keys() & (known | own.keys())]
    found += [f"opens with {name}, and does not introduce it" for name in set(opens) - own.keys()]
    for name, words in own.items():
        found += introduction_faults(name, words, seen[name], cells, text.opening if name in opens else None)
    for name, words in mentions.items():
        if not seen[name] or position(words, cells) not in seen[name]:
            found.append(f"mentions {name}: the words {words!r} are not in a cell with it")
    used = {name for name, numbers in seen.items() if numbers} - own.keys() - mentions.keys()
    found += need_faults(used, set(entry["needs"]), known)
    for name, exercise in entry["exercises"].items():
        used = {name_ for name_, pattern in patterns.items() if places(pattern, (text.exercises[name],))}
        used -= exercise.get("introduces", {}).keys() | mentions.keys()
        found += [f"exercise {name} {fault}" for fault in need_faults(used, set(exercise["needs"]), known | own.keys())]
    return found


def introduction_faults(name, words, seen, cells, opening):
    said = position(words, cells)
    if said is None or not seen:
        return [f"does not say {words!r}, or never names {name}"]
    early = [number for number in seen if number < said]
    if opening is not None:
        return [] if early and max(early) <= opening else [f"opens with {name}: it stands in cells {early}"]
    return [f"uses {name} in cell {number}, before it is introduced in cell {said}" for number in early]


def need_faults(used, needed, known):
    found = [f"uses {name} before it is introduced" for name in used - known]
    found += [f"uses {name} and does not list it as a need" for name in (used & known) - needed]
    return found + [f"does not use {name}, which it lists as a need" for name in needed - used]


def letter_faults(letters, text, known):
    found = [f"uses the letter {name} before it is introduced" for name in text.letters.keys() - letters.keys() - known]
    for name, words in letters.items():
        said, first = position(words, text.cells), text.letters.get(name)
        if said is None or first is None:
            found.append(f"does not say {words!r}, or has no letter {name}")
        elif said > first and name not in known:
            found.append(f"uses the letter {name} in cell {first}, before it is introduced in cell {said}")
    return found


# --- the file is true ------------------------------------------------------------------------------------------------
def test_nothing_is_used_before_it_is_introduced():
    found = faults(listing(), texts())
    assert not found, "\n".join(found)


def test_the_core_path_is_that_of_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"\[\d+( C)?,[^\]]*\]\(\.\./notebooks/(\w+)\.ipynb\)", index)
    assert {stem: bool(core) for core, stem in rows} == {
        stem: entry["core"] for stem, entry in listing()["notebooks"].items()
    }


def test_what_a_reader_brings_is_what_the_page_for_teachers_asks_for():
    page = plain((ROOT / "docs" / "teaching.md").read_text(encoding="utf-8"))
    assert not [name for name in listing()["before"]["concepts"] if name not in page]


def test_each_tool_of_the_lessons_is_a_concept():
    cells = [cell for text in texts().values() for cell in text.cells]
    used = [tool for tool in lessons.__all__ if any(f"{tool}(" in cell for cell in cells)]
    assert used
    for tool in used:
        assert any(re.search(pattern, f"{tool}(") for pattern in listing()["concepts"].values()), tool


# --- the check sees what is wrong ------------------------------------------------------------------------------------
def changed(change):
    copied = copy.deepcopy(listing())
    change(copied["notebooks"])
    return faults(copied, texts())


def take_introductions(entry):
    """Remove all that a notebook and its exercises introduce, and return it."""
    taken = introductions(entry)
    for part in (entry, *entry["exercises"].values()):
        part["introduces"] = {}
    entry["opens_with"] = []
    return taken


def test_an_introduction_that_is_taken_away_is_missed():
    for stem, entry in listing()["notebooks"].items():
        found = changed(lambda notebooks, stem=stem: take_introductions(notebooks[stem]))
        assert introductions(entry)
        assert {f"{stem}: uses {name} before it is introduced" for name in introductions(entry)} <= set(found)


def test_an_introduction_that_is_moved_to_the_next_notebook_is_missed():
    for stem, following in itertools.pairwise(listing()["notebooks"]):

        def move(notebooks, stem=stem, following=following):
            notebooks[following]["introduces"] |= take_introductions(notebooks[stem])

        names = introductions(listing()["notebooks"][stem])
        assert {f"{stem}: uses {name} before it is introduced" for name in names} <= set(changed(move))


def test_a_letter_that_is_taken_away_is_missed():
    known = set(listing()["before"]["letters"])
    for stem, entry in listing()["notebooks"].items():
        found = changed(lambda notebooks, stem=stem: notebooks[stem]["letters"].clear())
        new = entry["letters"].keys() - known
        assert {f"{stem}: uses the letter {letter} before it is introduced" for letter in new} <= set(found)
        known |= entry["letters"].keys()


def test_a_notebook_that_is_not_listed_is_missed():
    for stem in listing()["notebooks"]:
        found = changed(lambda notebooks, stem=stem: notebooks.pop(stem))
        assert f"{stem}: is listed and is not there, or is there and not listed" in found


def test_needs_are_neither_forgotten_nor_made_up():
    for stem, entry in listing()["notebooks"].items():
        found = changed(lambda notebooks, stem=stem: notebooks[stem]["needs"].clear())
        assert {f"{stem}: uses {name} and does not list it as a need" for name in entry["needs"]} <= set(found)
    found = changed(lambda notebooks: notebooks["01_why_normalize"]["needs"].append("sweep"))
    assert "01_why_normalize: does not use sweep, which it lists as a need" in found
    found = changed(lambda notebooks: notebooks["03_trust_a_gradient"]["exercises"].clear())
    assert any("03_trust_a_gradient: has" in fault for fault in found)


def test_the_core_path_cannot_lean_on_a_notebook_beside_it():
    found = changed(lambda notebooks: notebooks["07_tables"].update(core=False))
    assert any("squeeze_excite" in fault and "uses sweep before it" in fault for fault in found)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("Now the sweep over x.", "uses sweep before it"),
        ("Draw the cotangent at random.", "uses cotangent before it"),
        ("So $y = P x$.", "uses the letter P before it"),
    ],
)
def test_a_sentence_that_comes_too_early_is_seen(words, fault):
    text = texts()["02_backprop_on_arrays"]
    letters = dict.fromkeys(letters_in(words), 0) | text.letters
    early = text._replace(cells=(*text.cells, words), letters=letters)
    found = faults(listing(), texts() | {"02_backprop_on_arrays": early})
    assert any(fault in line for line in found)


def test_inside_a_notebook_the_introduction_comes_first():
    text = texts()["07_tables"]
    early = text._replace(cells=("Count the sweeps.", *text.cells[1:]))
    assert any("uses sweep in cell 0" in line for line in faults(listing(), texts() | {"07_tables": early}))
