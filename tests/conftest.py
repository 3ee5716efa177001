"""For all tests: property tests are not judged by the clock (a busy machine is no bug) and are the same every time."""

from hypothesis import settings

settings.register_profile("evalkit", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("evalkit")
