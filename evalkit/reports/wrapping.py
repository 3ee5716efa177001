"""Lines for a terminal: at most so wide, and free of what steers it."""

import textwrap

from evalkit.reports.tables import columns_here, plain


def wrapped(text: str) -> list[str]:
    """Lines as wide as the terminal, at most 100 characters, free of what steers a terminal."""
    return textwrap.wrap(plain(text), columns_here(), subsequent_indent="  ", break_on_hyphens=False) or [""]
