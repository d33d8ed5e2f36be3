"""One BLAS thread; hypothesis without a deadline, in CI with the same examples on every run; the site, built once."""

import os

# Before NumPy is imported: workers beside each other fill the cores, and threads of BLAS would only wait for them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import pytest  # noqa: E402
from browser import HOW_TO_INSTALL, PHONE, find_chromium  # noqa: E402
from built_site import build_once  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402

# Neither a deadline nor "too slow": both measure the machine, and the tests run beside each other.
settings.register_profile("an_ref", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("an_ref_ci", settings.get_profile("an_ref"), derandomize=True, database=None)
# For make mutants: few examples, the same ones each time, and none made smaller after a failure.
settings.register_profile(
    "mutants", settings.get_profile("an_ref_ci"), max_examples=5, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("an_ref_ci" if os.environ.get("CI") else "an_ref")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site; do not write into it."""
    return build_once(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install -e '.[test]'")
    with api.sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            pytest.skip(HOW_TO_INSTALL)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """An empty page, as wide as a phone."""
    page = chromium.new_page(viewport=PHONE)
    yield page
    page.close()
