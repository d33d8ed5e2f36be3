"""an-ref check --file: the ops of somebody's own file, and one clear line for whatever is wrong with it."""

import itertools
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import an_ref
from an_ref import cli, nn
from an_ref.gradcheck import check_gradients, guess, suite, userfile

ROOT = Path(__file__).resolve().parent.parent

NORM = """
import numpy as np

def my_norm(x, gamma, beta, eps=1e-5):
    axes = tuple(a for a in range(x.ndim) if a != 1)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mu = x.mean(axes, keepdims=True)
    rstd = (((x - mu) ** 2).mean(axes, keepdims=True) + eps) ** -0.5
    xhat = (x - mu) * rstd
    return xhat * gamma.reshape(shape) + beta.reshape(shape), (xhat, rstd, gamma.reshape(shape), axes)

def my_norm_backward(dy, cache):
    xhat, rstd, gamma, axes = cache
    g = dy * gamma
    through_mean = g.mean(axes, keepdims=True)
    through_var = xhat * (g * xhat).mean(axes, keepdims=True)
    return rstd * (g - through_mean - through_var), (dy * xhat).sum(axes), dy.sum(axes)
"""
SQUARE = """
def square(x):
    return x * x, 2 * x

def square_backward(dy, cache):
    return dy * cache
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Write a file, run the command on it, and return (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(text, *options, name="my_layer.py"):
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
        return call("--file", name, *options)

    return run


def call(*options):
    result = CliRunner().invoke(cli.app, ["check", *map(str, options)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


def rows(stdout):
    """Return {name: verdict} of the table."""
    return dict(re.findall(r"^  (\S+(?:, eval)?) +(?:\d\.\de[+-]\d+|nan|inf)  (ok|WRONG)$", stdout, re.MULTILINE))


def one_line(stderr):
    assert stderr.startswith("an-ref: ")
    assert stderr.count("\n") == 1
    return stderr.removeprefix("an-ref: ").rstrip()


# --- a file that is right, a file that is wrong --------------------------------------------------------------------
def test_a_right_op_passes_with_guessed_inputs(check):
    code, out, err = check(NORM, "--op", "my_norm")
    assert (code, rows(out), err) == (0, {"my_norm": "ok"}, "")
    assert "inputs guessed from the names: x (4, 6, 3, 5), gamma (6,), beta (6,)" in out


def test_a_missing_term_is_found_and_named(check):
    code, out, err = check(NORM.replace(" - through_var", ""), "--op", "my_norm")
    assert (code, rows(out), err) == (1, {"my_norm": "WRONG"}, "")
    assert re.search(r"^  dx .*WRONG$", out, re.MULTILINE)
    assert re.search(r"^  dgamma .*ok$", out, re.MULTILINE)
    assert "the path through the variance" in out


def test_all_pairs_of_a_file_are_checked_and_one_wrong_one_fails_it(check):
    code, out, _ = check(NORM + SQUARE.replace("dy * cache", "dy"))
    assert (code, rows(out)) == (1, {"my_norm": "ok", "square": "WRONG"})


def test_op_chooses_one(check):
    code, out, _ = check(NORM + SQUARE.replace("dy * cache", "dy"), "--op", "my_norm")
    assert (code, rows(out)) == (0, {"my_norm": "ok"})


def test_the_forward_may_be_called_name_forward(check):
    text = SQUARE.replace("def square(", "def square_forward(")
    for options in ([], ["--op", "square"], ["--op", "square_forward"], ["--op", "square_backward"]):
        code, out, err = check(text, *options)
        assert (code, rows(out), err) == (0, {"square": "ok"}, "")
        assert "\nsquare: gradients agree" in out


def test_private_and_imported_pairs_are_left_alone_but_can_be_chosen(check):
    text = "from an_ref import batch_norm, batch_norm_backward, relu\n" + SQUARE
    text += "def _pad(a): ...\ndef _pad_backward(a, b): ...\n"
    assert rows(check(text)[1]) == {"square": "ok"}
    assert rows(check(text, "--op", "batch_norm")[1]) == {"batch_norm": "ok"}
    text = "from an_ref import relu_backward\ndef twice_backward_backward(a): ...\n" + SQUARE
    assert check(text)[::2] == (0, "")
    alone = "from an_ref import batch_norm, batch_norm_backward"
    assert rows(check(alone)[1]) == {"batch_norm": "ok"}


def test_a_backward_of_ones_own_for_an_imported_forward_is_checked(check):
    code, out, _ = check("from an_ref import relu\ndef relu_backward(dy, cache): return dy\n" + SQUARE)
    assert (code, rows(out)) == (1, {"relu": "WRONG", "square": "ok"})


def test_a_forward_that_is_not_complex_safe_is_named_and_checked_all_the_same(check):
    text = "import numpy as np\ndef size(x): return np.abs(x), np.sign(x)\ndef size_backward(dy, s): return dy * s"
    code, out, _ = check(text)
    assert (code, rows(out)) == (0, {"size": "ok"})
    assert "probably np.abs(x) is the cause: write np.where(x.real < 0, -x, x)" in out


def test_the_file_is_read_anew_and_leaves_no_bytecode(check, tmp_path):
    assert check(SQUARE)[0] == 0
    assert check(SQUARE.replace("dy * cache", "dy / cache"))[0] == 1
    assert not (tmp_path / "__pycache__").exists()


def test_a_file_can_import_its_neighbours_and_hold_dataclasses(check, tmp_path):
    (tmp_path / "a_neighbour_of_my_layer.py").write_text("FACTOR = 2")
    text = """
        from dataclasses import dataclass
        from a_neighbour_of_my_layer import FACTOR

        @dataclass
        class Cache:
            slope: "float"

        def double(x): return FACTOR * x, Cache(FACTOR)
        def double_backward(dy, cache): return cache.slope * dy
        """
    try:
        assert check(text, name="layer without suffix")[0] == 0
    finally:
        sys.modules.pop("a_neighbour_of_my_layer", None)


# --- inputs ----------------------------------------------------------------------------------------------------------
LINEAR = """
import numpy as np
def linear(x, weight): return x @ weight, (x, weight)
def linear_backward(dy, cache): return dy @ cache[1].T, cache[0].T @ dy
def scaled(x, factor): return factor * x, factor
def scaled_backward(dy, factor): return factor * dy
"""


@pytest.mark.parametrize(
    ("example", "op"),
    [
        ("def linear_example(): return np.eye(3) + 0.1, np.ones((3, 2)) + 0.5", "linear"),
        ("linear_arrays = (np.eye(3) + 0.1, np.ones((3, 2)) + 0.5)", "linear"),
        ("def linear_example(): return [np.eye(3) + 0.1, np.ones((3, 2)) + 0.5], {}", "linear"),
        ("def scaled_example(): return np.arange(3.0), {'factor': 2.0}", "scaled"),
        ("def scaled_example(): return (np.arange(3.0),), {'factor': 2.0}", "scaled"),
    ],
)
def test_inputs_of_the_file_are_used(check, example, op):
    code, out, err = check(f"{LINEAR}\n{example}", "--op", op)
    assert (code, rows(out), err) == (0, {op: "ok"}, "")
    assert "guessed" not in out


def test_arrays_that_have_no_gradient_need_none(check):
    text = """
        import numpy as np
        def shift(x, beta, running_mean):
            shape = (1, -1) + (1,) * (x.ndim - 2)
            return x - running_mean.reshape(shape) + beta.reshape(shape), tuple(a for a in range(x.ndim) if a != 1)
        def shift_backward(dy, axes): return dy.copy(), dy.sum(axes)
        def pick(x, labels): return x[np.arange(len(x)), labels], (x.shape, labels)
        def pick_backward(dy, cache):
            dx = np.zeros(cache[0], dy.dtype)
            dx[np.arange(len(dx)), cache[1]] = dy
            return dx
        pick_arrays = (np.eye(3), np.array([2, 0, 1]))
        """
    code, out, err = check(text)
    assert (code, rows(out), err) == (0, {"shift": "ok", "pick": "ok"}, "")


def test_float32_inputs_get_a_float32_cotangent(check):
    text = """
        import numpy as np
        def f(x): return 2 * x, x.dtype
        def f_backward(dy, dtype):
            if dy.dtype != dtype and dtype.kind == "f" and dtype.itemsize == 4: raise TypeError(f"{dy.dtype}")
            return 2 * dy
        f_arrays = np.ones(3, np.float32)
        """
    code, out, _ = check(text)
    assert (code, rows(out)) == (0, {"f": "ok"}), out


def test_an_op_that_overwrites_its_input_is_checked_on_the_guessed_one(check):
    text = """
        import numpy as np
        def f(x):
            y = 2 * x
            x[...] = np.nan
            return y, 0
        def f_backward(dy, cache): return 2 * dy
        """
    for example in ("", "\nf_arrays = np.arange(3.0)"):
        code, out, _ = check(textwrap.dedent(text) + example)
        assert (code, rows(out)) == (1, {"f": "WRONG"})
        (line,) = findings(out)
        assert "must not modify its inputs" in line


@pytest.mark.parametrize("op", ["linear", "scaled"])
def test_what_cannot_be_guessed_is_asked_for_with_two_lines_to_copy(check, op):
    code, out, err = check(LINEAR, "--op", op)
    assert (code, out) == (2, "")
    first, *lines = err.splitlines()
    name = {"linear": "weight", "scaled": "factor"}[op]
    assert first == (f"an-ref: {op}: there is no guess for {name}; define {op}_example in my_layer.py, such as")
    assert len(lines) == 2
    space = {"np": np}
    exec("\n".join(lines), space)
    assert [a.shape for a in space[f"{op}_example"]()] == [(4, 6, 3, 5), (2, 3)]


def test_an_op_without_inputs_does_not_keep_the_others_from_being_checked(check):
    code, out, err = check(LINEAR + SQUARE)
    assert (code, rows(out)) == (2, {"square": "ok"})
    assert err.count("an-ref: ") == 2
    assert check(LINEAR + SQUARE.replace("dy * cache", "dy"))[0] == 1  # a wrong gradient is worse


def test_vectors_are_tried_after_images(check):
    code, out, _ = check(
        "def total(x):\n  n, c = x.shape\n  return x.sum(1), c\n"
        "def total_backward(dy, c): return dy[:, None].repeat(c, 1)"
    )
    assert code == 0
    assert "guessed from the names: x (4, 6)\n" in out


def test_a_forward_that_refuses_the_guess_is_one_line_with_its_reason(check):
    text = "def g(x):\n  raise ValueError('no such\\nshape')\ndef f(x, gamma): g(x)\ndef f_backward(dy, cache): ..."
    code, out, err = check(text)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == (
        "an-ref: f does not take the inputs guessed for it, x (4, 6, 3, 5), gamma (6,): "
        "ValueError: no such shape (line 2); define f_example in my_layer.py, such as"
    )
    assert len(err.splitlines()) == 3


def test_a_forward_that_gives_nan_for_the_guess_asks_for_inputs(check):
    text = "import numpy as np\ndef log(x): return np.log(x), x\ndef log_backward(dy, x): return dy / x\n"
    code, out, err = check(text)
    assert (code, out) == (2, "")
    assert "log does not take the inputs guessed for it, x (4, 6, 3, 5): y is not finite there; define" in err
    assert check(text + "log_arrays = np.arange(1.0, 4.0)")[0] == 0


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("def square_example(): return 1 / 0", "square_example raises ZeroDivisionError: division by zero (line"),
        ("def square_example(): return [1.0, 2.0]", "but entry 0 of the arrays is of type float"),
        ("square_arrays = ()", "square_arrays must give a tuple of arrays, or (arrays, hyper), but it gives no array"),
        ("square_arrays = (None, {})", "but entry 0 of the arrays is of type NoneType"),
    ],
)
def test_a_wrong_example_is_one_line(check, example, words):
    code, out, err = check(f"{SQUARE}\n{example}")
    assert (code, out) == (2, "")
    assert words in one_line(err)


def test_guesses_follow_names_and_leave_options_alone():
    def op(t, gamma, running_mean, running_var, groups=32, beta=None, momentum=0.1, *, eps, **more): ...

    found = guess.guess_inputs(op, (4, 6, 3, 5))
    shapes = {name: array.shape for name, array in found.arrays.items()}
    assert shapes == {"t": (4, 6, 3, 5), "gamma": (6,), "running_mean": (6,), "running_var": (6,), "beta": (6,)}
    assert (found.arrays["running_var"] > 0).all()
    assert found.hyper == {"groups": 3, "eps": 1e-5}
    assert found.unknown == ()
    assert guess.guess_inputs(lambda x, running_mean=None: ..., (4, 6)).arrays.keys() == {"x"}
    assert guess.guess_inputs(lambda x, *weights, axis, gamma: ..., (4, 6)).unknown == ("weights", "axis", "gamma")
    assert guess.guess_inputs(lambda *, x: ..., (4, 6)).unknown == ("x",)
    assert guess.guess_inputs(lambda x, eps=1.0: ..., (4, 6)).hyper == {}
    assert guess.guess_inputs(max, (4, 6)).arrays.keys() == {"x"}  # it has no signature


@pytest.mark.parametrize("op", ["batch_norm", "batch_norm_eval", "group_norm", "relu", "softmax", "global_avg_pool2d"])
def test_ops_of_the_package_are_guessed_right(op):
    found = guess.guess_inputs(getattr(an_ref, op), guess.SHAPES[0])
    arrays = tuple(found.arrays.values())
    report = check_gradients(getattr(an_ref, op), getattr(an_ref, f"{op}_backward"), arrays, hyper=found.hyper)
    assert report.ok, report


# --- files that cannot be loaded -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(x:\n", "cannot load my_layer.py: SyntaxError: '(' was never closed (my_layer.py, line 1)"),
        ("x = 1\n  y = 2\n", "cannot load my_layer.py: IndentationError: unexpected indent (my_layer.py, line 2)"),
        (
            "\nimport no_such_module_here",
            "cannot load my_layer.py: ModuleNotFoundError: No module named 'no_such_module_here' (line 2)",
        ),
        (
            "from .near import f",
            "cannot load my_layer.py: ImportError: attempted relative import with no known parent package (line 1)",
        ),
        ("a = []\na[0]", "cannot load my_layer.py: IndexError: list index out of range (line 2)"),
        ("raise RuntimeError", "cannot load my_layer.py: RuntimeError (line 1)"),
        ("raise BaseException('so')", "cannot load my_layer.py: BaseException: so (line 1)"),
        (
            "import sys\nsys.exit(0)",
            'cannot load my_layer.py: it exits (line 2); put what only a run needs behind if __name__ == "__main__":',
        ),
    ],
)
def test_a_file_that_cannot_be_loaded_is_one_line(check, text, words):
    code, out, err = check(text)
    assert (code, out) == (2, "")
    assert one_line(err) == words


def test_a_file_of_zeros_or_other_bytes_is_one_line(check, tmp_path):
    for data in (b"x = 1\0", b"x = '\xff'", bytes(range(256))):
        (tmp_path / "data.py").write_bytes(data)
        code, out, err = call("--file", tmp_path / "data.py")
        assert (code, out) == (2, "")
        assert f"cannot load {tmp_path / 'data.py'}: " in one_line(err)


def test_no_file_or_a_folder_is_one_line(tmp_path):
    code, _, err = call("--file", tmp_path / "no.py")
    assert (code, one_line(err)) == (2, f"there is no file {tmp_path / 'no.py'}")
    code, _, err = call("--file", tmp_path)
    assert (code, one_line(err)) == (2, f"{tmp_path} is not a file")


def test_ctrl_c_while_loading_is_one_line(check):
    code, _, err = check("raise KeyboardInterrupt")
    assert (code, one_line(err)) == (130, "interrupted")


# --- functions that are missing --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "op", "words"),
    [
        (NORM, "my_nrom", "my_layer.py has no function my_nrom; the nearest name is my_norm"),
        (
            SQUARE.replace("square_backward", "square_grad"),
            "square",
            "my_layer.py has square but no function square_backward; the nearest name is square_grad",
        ),
        (
            SQUARE + "def cube_backward(dy, cache): ...",
            "cube",
            "my_layer.py has no function cube; the nearest name is square",
        ),
        (
            "def square(x): ...",
            "square",
            "my_layer.py has square but no function square_backward; it has no other function",
        ),
        ("x = 1", "x", "x in my_layer.py is no function but int"),
        ("x = 1", "square", "my_layer.py has no function square; it has no other function"),
        ("class A: ...", None, "my_layer.py has no functions NAME and NAME_backward; its functions: none"),
        (
            "def square(x): ...\ndef cube(x): ...",
            None,
            "my_layer.py has no functions NAME and NAME_backward; its functions: square, cube",
        ),
    ],
)
def test_a_missing_function_is_one_line_with_the_nearest_name(check, text, op, words):
    code, out, err = check(text, *(["--op", op] if op else []))
    assert (code, out) == (2, "")
    assert one_line(err) == words


def test_a_backward_without_forward_is_not_passed_over(check):
    code, out, err = check(SQUARE + "def cube_backward(dy, cache): ...")
    assert (code, rows(out)) == (2, {"square": "ok"})
    assert one_line(err) == "cube_backward is not checked: there is no function cube"


def test_op_without_file_is_one_line():
    code, out, err = call("--op", "batch_norm")
    assert (code, out) == (2, "")
    assert one_line(err) == "--op names a function of your file: give --file too"


# --- pairs that break the contract -----------------------------------------------------------------------------------
def findings(out):
    return [line.removeprefix("  - ") for line in out.splitlines() if line.startswith("  - ")]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (", dy.sum(axes)", "", ("my_norm_backward returns 2 gradients", "dx, dgamma, dbeta")),
        (", dy.sum(axes)", ", dy.sum(axes), dy.sum(axes)", ("my_norm_backward returns 4 gradients",)),
        ("(dy * xhat).sum(axes), dy.sum(axes)", "", ("my_norm_backward returns 1 gradient ",)),
        ("g = dy * gamma", "g = dy * cache.gamma", ("AttributeError", "gamma")),
        ("    g = dy * gamma", "    raise ValueError('two\\nlines')", ("ValueError: two lines",)),
        ("    g = dy * gamma", "    import sys; sys.exit('enough')", ("SystemExit: enough",)),
        (
            ", (xhat, rstd, gamma.reshape(shape), axes)",
            "",
            ("my_norm must return (y, cache)", "returns a single ndarray"),
        ),
        ("return xhat * gamma", "return None, xhat * gamma", ("my_norm must return (y, cache)", "a tuple of 3")),
        ("return xhat * gamma.", "return (xhat > 0) > gamma.", ("my_norm must return y as", "array of bool")),
    ],
)
def test_a_broken_contract_is_one_clear_line(check, old, new, words):
    assert old in NORM
    code, out, err = check(NORM.replace(old, new))
    assert (code, rows(out), err) == (1, {"my_norm": "WRONG"}, "")
    (line,) = findings(out)
    for word in words:
        assert word in line


@pytest.mark.parametrize("result", ["None", "3.0", "(x, x, x)", "'y', x", "[], []", "None, None", "(y for y in x)"])
def test_whatever_a_forward_returns_there_is_no_traceback(check, result):
    code, out, err = check(f"def f(x): return {result}\ndef f_backward(dy, cache): return dy")
    assert (code, rows(out), err) == (1, {"f": "WRONG"}, "")
    assert findings(out)


@pytest.mark.parametrize(
    "result", ["None", "3.0", "()", "'dx'", "{}", "[None]", "dy[0]", "dy * float('nan')", "dy > 0"]
)
def test_whatever_a_backward_returns_there_is_no_traceback(check, result):
    code, out, err = check(f"def f(x): return 2 * x, 0\ndef f_backward(dy, cache): return {result}")
    assert (code, rows(out), err) == (1, {"f": "WRONG"}, "")
    assert findings(out)


def test_what_nobody_foresaw_becomes_a_finding(check, monkeypatch):
    monkeypatch.setattr(userfile, "check_gradients", lambda *_, **__: 1 / 0)
    code, out, _ = check(SQUARE)
    assert (code, rows(out)) == (1, {"square": "WRONG"})
    assert findings(out) == ["the check cannot go on: ZeroDivisionError: division by zero"]


# --- the report ------------------------------------------------------------------------------------------------------
def test_html_holds_everything_and_needs_nothing_else(check, tmp_path):
    text = NORM.replace(" - through_var", "") + SQUARE
    code, out, _ = check(text, "--html", "new folder/report.html")
    assert code == 1
    assert out.splitlines()[-1] == f"Report: {Path('new folder/report.html')}"
    page = (tmp_path / "new folder" / "report.html").read_text(encoding="utf-8")
    for words in ("my_norm", "square", "the path through the variance"):
        assert words in page
    assert not re.search(r"""\b(src|href)\s*=\s*(?!["']?(data:|\#))""", page)
    assert "@import" not in page
    assert not re.search(r"url\((?!['\"]?(data:|\#))", page)


def test_a_report_that_cannot_be_written_is_one_line_before_any_work(check, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path, words in (
        ("folder", "--html folder is a folder; give the path of a file in it"),
        (Path("file/report.html"), "cannot write into the folder of --html file: "),
    ):
        code, out, err = check(SQUARE, "--html", path)
        assert (code, out) == (2, "")
        assert words in one_line(err)


def test_no_report_is_written_about_nothing(check, tmp_path):
    assert check(LINEAR, "--html", "report.html")[0] == 2
    assert not (tmp_path / "report.html").exists()


def test_an_old_report_survives_a_file_that_cannot_be_loaded(check, tmp_path):
    (tmp_path / "old.html").write_text("old")
    assert check("1 / 0", "--html", "old.html")[0] == 2
    assert (tmp_path / "old.html").read_text() == "old"


# --- the package itself ----------------------------------------------------------------------------------------------
def test_every_layer_is_checked_and_right():
    reports = dict(suite.check_layers())
    for name, report in reports.items():
        assert report.ok, (name, report)
        assert report.blind == (), (name, report)
    layers = {key for key, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Layer)}
    assert {report.op for report in reports.values()} == layers - {"Layer"}
    assert {"nn.BatchNorm, eval", "nn.AttentiveNorm, eval"} <= set(reports)


def test_a_wrong_variant_is_shown_whatever_its_error(monkeypatch):
    right = an_ref.gradcheck.Report("attentive_norm", "complex step", {"x": 1e-16}, (), ())
    finding = an_ref.gradcheck.Finding(None, "cache", "the cache is harmed")
    wrong = replace(right, errors={"x": 1e-17}, findings=(finding,))
    turns = itertools.cycle([right, wrong, right])
    monkeypatch.setattr(suite, "_check", lambda *_: next(turns))
    assert all(report is wrong for name, report in suite.check_all() if name.startswith("attentive_norm"))


def test_check_without_a_file_writes_a_report_of_the_package(tmp_path, monkeypatch):
    few = list(itertools.islice(suite.check_all(), 2))
    monkeypatch.setattr("an_ref.terminal.check_all", lambda: iter(few))
    code, out, _ = call("--html", tmp_path / "all.html")
    assert code == 0
    assert list(rows(out))[:3] == ["batch_norm", "batch_norm_eval", "nn.BatchNorm"]
    assert "nn.Conv2d" in (tmp_path / "all.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "code"),
    [(NORM, 0), (NORM.replace(" - through_mean", ""), 1), ("def f(:", 2), (NORM.replace("cache):", "cache, z):"), 1)],
)
def test_as_a_process(tmp_path, text, code):
    (tmp_path / "my_layer.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "an_ref", "check", "--file", str(tmp_path / "my_layer.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    assert "Traceback" not in done.stdout + done.stderr
