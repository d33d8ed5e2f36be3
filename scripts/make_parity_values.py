"""Write tests/parity/values.npz: PyTorch's float64 results of every parity case, with the inputs.

Run it where PyTorch is installed, after a change of tests/parity/cases.py:

    python scripts/make_parity_values.py

Keys are "CASE/in/NAME" for inputs (float32: they are exact in it; labels are integers), "CASE/out/NAME" for
PyTorch's results (float64), and "torch_version".  The file holds plain arrays only, no pickle.
"""

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from parity import run_torch  # noqa: E402
from parity.cases import CASES  # noqa: E402

TARGET = TESTS / "parity" / "values.npz"


def main() -> None:
    """Compute every case with PyTorch and write the file."""
    values = {"torch_version": run_torch.version()}
    for case in CASES:
        for key, a in case.inputs().items():
            values[f"{case.name}/in/{key}"] = a if a.dtype.kind == "i" else a.astype(np.float32)
        for key, a in run_torch.results(case).items():
            values[f"{case.name}/out/{key}"] = a
    np.savez_compressed(TARGET, **values)
    print(f"{TARGET}: {len(CASES)} cases, {len(values)} arrays, {TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
