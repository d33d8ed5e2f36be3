"""Arrays that behave towards NumPy as CuPy's do, without a GPU: what runs on them needs no host memory on the way.

A Guard keeps its values where NumPy cannot reach them. It refuses what CuPy refuses: `numpy.asarray`, NumPy arrays
beside it in a function, an operator, an index or an assignment (CuPy would copy an index silently; here that is refused
too), and functions that CuPy lacks or that nobody has looked at. Where CuPy is installed, its signatures are held too.
What goes to the host and from there is noted in `MOVES`.

CuPy 14 is the model (cupy/_core/core.pyx: __array_ufunc__, __array_function__, __array__; _scalar.pyx: Python's and
NumPy's scalars are taken, arrays of NumPy are not, not even of shape ()). Reductions and single items are arrays of
shape (), never numbers. `test_guard.py` holds the lists of names here against CuPy where it is installed.
"""

from __future__ import annotations

import inspect
import sys
import types
from contextlib import contextmanager

import numpy as np

UFUNCS = (
    "add", "divide", "equal", "exp", "greater", "greater_equal", "invert", "isfinite", "isnan", "less", "less_equal",
    "bitwise_and", "bitwise_or", "log", "logical_and", "matmul", "maximum", "minimum", "multiply", "negative",
    "not_equal", "power", "sqrt", "subtract",
)  # fmt: skip
FUNCTIONS = (  # not full and ones: with like= NumPy passes them device=, which CuPy's do not take
    "arange", "argmax", "asarray", "ascontiguousarray", "broadcast_to", "clip", "concatenate", "copyto", "empty",
    "empty_like", "full_like", "moveaxis", "ones_like", "put_along_axis", "ravel", "repeat", "stack",
    "take_along_axis", "tile", "where", "zeros", "zeros_like",
)  # fmt: skip
METHODS = (
    "all", "any", "argmax", "astype", "copy", "max", "mean", "ravel", "reshape", "sum", "swapaxes", "transpose",
)  # fmt: skip
VALUES = ("dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides")  # on the host in CuPy too
SCALARS = (int, float, complex, bool, np.generic)


def read_signatures():
    """Name -> signature of CuPy's functions, and of its methods as ".name"; none where it is not installed."""
    try:
        import cupy
    except ImportError:
        return {}
    found = {name: inspect.signature(getattr(cupy, name)) for name in FUNCTIONS}
    for name in METHODS:  # compiled: the first line of the text is the signature
        line = getattr(cupy.ndarray, name).__doc__.partition("\n")[0].partition(" -> ")[0].replace("Py_ssize_t ", "")
        scope = {}
        exec(f"def {line.partition('.')[2]}: pass", scope)
        found[f".{name}"] = inspect.signature(scope[name])
    return found


SIGNATURES = read_signatures()


def check_call(name, args, options):
    """Raise TypeError where CuPy's function, or method with a dot before its name, would not take this."""
    if name in SIGNATURES:
        SIGNATURES[name].bind(*args, **options)


class Moves:
    """The arrays that went to the host and from there; `forbidden` makes the next one an error."""

    def __init__(self):
        self.to_host, self.to_device, self.forbidden = [], [], False

    def add(self, way, array):
        if self.forbidden:
            raise AssertionError(f"an array was moved silently ({way})")
        getattr(self, way).append(array)

    def clear(self):
        self.__init__()


MOVES = Moves()


@contextmanager
def no_moves():
    """Fail where anything is moved to the host or from there."""
    MOVES.forbidden = True
    try:
        yield
    finally:
        MOVES.forbidden = False


def open_up(value):
    """The values of guards, also in tuples, lists and dicts; a NumPy array is refused as CuPy refuses it."""
    if isinstance(value, Guard):
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(open_up(v) for v in value)
    if isinstance(value, dict):
        return {key: open_up(v) for key, v in value.items()}
    return value


def shut(value):
    """Arrays and NumPy's scalars as guards, others as they are."""
    if isinstance(value, (np.ndarray, np.generic)):
        return Guard(value)
    return tuple(shut(v) for v in value) if isinstance(value, tuple) else value


class Guard(np.lib.mixins.NDArrayOperatorsMixin):
    def __init__(self, values):
        self._values = np.asarray(values)

    # --- what NumPy asks ---------------------------------------------------------------------------------------------
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__" or ufunc.__name__ not in UFUNCS or not {"out", "dtype"}.issuperset(options):
            return NotImplemented
        if not all(isinstance(x, (Guard, np.ndarray, *SCALARS)) for x in inputs):
            return NotImplemented
        result = ufunc(*open_up(inputs), **open_up(options))
        out = options.get("out")
        return out[0] if out else shut(result)

    def __array_function__(self, function, types, args, options):
        if function.__name__ not in FUNCTIONS:
            raise TypeError(f"numpy.{function.__name__} is not among the functions that CuPy is known to have")
        check_call(function.__name__, args, options)
        if function is np.asarray:  # np.asarray(host, like=guard): the way to the device
            return asarray(*args, **options)
        return shut(function(*open_up(args), **open_up(options)))

    # --- single items, indexing, views -------------------------------------------------------------------------------
    def __getitem__(self, key):
        check_index(key)
        return shut(self._values[open_up(key)])

    def __setitem__(self, key, value):
        check_index(key)
        self._values[open_up(key)] = open_up(value)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    @property
    def T(self):
        return shut(self._values.T)

    @property
    def real(self):
        return shut(self._values.real)

    @property
    def imag(self):
        return shut(self._values.imag)

    @property
    def device(self):
        return types.SimpleNamespace(id=0)

    # --- ways to the host --------------------------------------------------------------------------------------------
    def get(self):
        MOVES.add("to_host", self._values)
        return self._values.copy()

    def item(self):
        return self.get().item()

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return self.get().__index__()

    def __complex__(self):
        return complex(self.get())

    def __repr__(self):
        return f"guard of {self.dtype} {self.shape}"

    __hash__ = None


def _method(name):
    def method(self, *args, **options):
        check_call(f".{name}", (self, *args), options)
        return shut(getattr(self._values, name)(*open_up(args), **open_up(options)))

    return method


for _name in METHODS:
    setattr(Guard, _name, _method(_name))
for _name in VALUES:
    setattr(Guard, _name, property(lambda self, _name=_name: getattr(self._values, _name)))
Guard.__module__ = "cupy"  # by which an_ref knows CuPy's arrays


def check_index(key):
    """Refuse an index that CuPy would have to move, or whose result's size only the GPU knows."""
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, (np.ndarray, list)):
            raise TypeError("an index of host memory beside an array of the GPU")
        if isinstance(part, Guard) and part.dtype == bool:
            raise TypeError("a mask as an index: the CPU would have to wait for the number of its entries")


def asarray(array, dtype=None):
    """cupy.asarray: a copy of a NumPy array, which is noted; a guard; or a scalar, which goes along with a kernel."""
    if isinstance(array, Guard):
        return shut(np.asarray(array._values, dtype))
    if isinstance(array, np.ndarray):
        MOVES.add("to_device", array)
    return shut(np.array(array, dtype))


def as_strided(x, shape, strides):
    return shut(np.lib.stride_tricks.as_strided(x._values, shape, strides))


class OutOfMemoryError(MemoryError):
    """As CuPy's: its module begins with cupy, and it keeps the sizes."""

    def __init__(self, size, total):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")
        self._size, self._total = size, total


OutOfMemoryError.__module__ = "cupy.cuda.memory"


def install(monkeypatch, available=True):
    """Let `import cupy` give a module of guards, for which an_ref.cuda has no kernels, and note moves anew."""
    cupy = types.ModuleType("cupy")
    cupy.asarray, cupy.ndarray, cupy.__version__ = asarray, Guard, "14.0.0"
    cupy.cuda = types.SimpleNamespace(is_available=lambda: available)
    tricks = types.ModuleType("cupy.lib.stride_tricks")
    tricks.as_strided = as_strided
    nvrtc = types.ModuleType("cupy_backends.cuda.libs.nvrtc")
    nvrtc.getVersion = lambda: (12, 9)
    packages = ("cupy.lib", "cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs")
    for module in (cupy, tricks, nvrtc, *map(types.ModuleType, packages)):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for module in ("sweeps", "losses", "convolution"):
        monkeypatch.setattr(f"an_ref.cuda.{module}.has_kernels", lambda *arrays, **options: False)
    MOVES.clear()


def guards(value):
    """Arrays as guards, also in tuples, lists and dicts; not noted."""
    if isinstance(value, np.ndarray):
        return Guard(value.copy())
    if isinstance(value, (tuple, list)):
        return type(value)(guards(v) for v in value)
    return {key: guards(v) for key, v in value.items()} if isinstance(value, dict) else value


def values(value):
    """Guards as arrays, not noted: for comparisons."""
    if isinstance(value, (tuple, list)):
        return tuple(values(v) for v in value)
    assert isinstance(value, Guard), f"a {type(value).__name__} came out of an op on guards"
    return value._values
