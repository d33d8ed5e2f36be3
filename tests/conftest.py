"""Hypothesis profiles: no deadline, and in CI the same examples on every run."""

import os

from hypothesis import HealthCheck, settings

# Neither a deadline nor "too slow": both measure the machine, and the tests run beside each other.
settings.register_profile("an_ref", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("an_ref_ci", settings.get_profile("an_ref"), derandomize=True, database=None)
settings.load_profile("an_ref_ci" if os.environ.get("CI") else "an_ref")
