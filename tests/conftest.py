"""What holds for every test: this folder's helpers can be imported, and no planted name is said.

Tests plant names that contain PLANTED as a patient's. Whatever test runs, no logger may say one at
its default level, and nothing that the program prints may hold one, unless a test has asked for
that output; a warning with one is an error (pyproject.toml).
"""

import logging

import pytest
from hypothesis import settings

# Laws are about results: a busy machine must not turn one into a failure.
settings.register_profile("endometer", deadline=None)
settings.load_profile("endometer")

PLANTED = "SECRET"
OURS = "endometer"


class _Listener(logging.Handler):
    """Notes who said a planted name; of others' loggers only what they say unasked."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def emit(self, record):
        unasked = record.levelno >= logging.WARNING or record.name.startswith(OURS)
        if unasked and PLANTED in self.format(record):
            self.heard.append(f"{record.name}, {record.pathname}:{record.lineno}")


@pytest.fixture(autouse=True)
def no_log_says_a_planted_name():
    listener = _Listener()
    logging.getLogger().addHandler(listener)
    yield
    logging.getLogger().removeHandler(listener)
    assert not listener.heard, f"a planted name was logged by {listener.heard}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    # Not "Captured log": pytest hears loggers that nobody else does.
    said = [title for title, text in report.sections if PLANTED in text and "std" in title]
    if report.passed and said:
        report.outcome = "failed"
        report.longrepr = f"a planted name was printed: {', '.join(said)}"
    return report
