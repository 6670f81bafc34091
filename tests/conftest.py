"""Makes the helpers in this folder importable by every test: pytest puts it on the path."""

from hypothesis import settings

# Laws are about results: a busy machine must not turn one into a failure.
settings.register_profile("endometer", deadline=None)
settings.load_profile("endometer")
