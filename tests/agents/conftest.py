"""Property tests run the same examples every time, and the first call of a kernel compiles it."""

from hypothesis import settings

settings.register_profile("recloop", derandomize=True, deadline=None)
settings.load_profile("recloop")
