"""Lines for a terminal: at most so wide, and free of what steers it."""

import textwrap

from evalkit.reports.tables import WIDTH, plain


def wrapped(text: str) -> list[str]:
    """Lines of at most WIDTH characters, free of what steers a terminal."""
    return textwrap.wrap(plain(text), WIDTH, subsequent_indent="  ", break_on_hyphens=False) or [""]
