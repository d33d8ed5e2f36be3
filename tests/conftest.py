"""One BLAS thread, and hypothesis profiles: no deadline, and in CI the same examples on every run."""

import os

# Before NumPy is imported: workers beside each other fill the cores, and threads of BLAS would only wait for them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from hypothesis import HealthCheck, Phase, settings  # noqa: E402

# Neither a deadline nor "too slow": both measure the machine, and the tests run beside each other.
settings.register_profile("an_ref", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("an_ref_ci", settings.get_profile("an_ref"), derandomize=True, database=None)
# For make mutants: few examples, the same ones each time, and none made smaller after a failure.
settings.register_profile(
    "mutants", settings.get_profile("an_ref_ci"), max_examples=5, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("an_ref_ci" if os.environ.get("CI") else "an_ref")
