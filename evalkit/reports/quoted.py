"""What models and documents said, on a terminal: behind a bar, and nothing that a terminal or a CI runner obeys.

GitHub's runner reads `::command::` at the beginning of a line, spaces before it or not, and `##[command]` anywhere: no
line of somebody else's text may begin with its own words, not even where a long one is broken.
"""

import textwrap

from evalkit.reports.tables import columns_here, plain

BAR = "│ "


def inert(text: str) -> str:
    """`text` on one line that steers nothing; where it stands in a line is for the caller."""
    return plain(text).replace("##[", "# #[")


def barred(text: str, indent: str = "") -> list[str]:
    """Its lines, each behind a bar, at most 100 columns wide."""
    width = columns_here() - len(BAR) - len(indent)
    found: list[str] = []
    for line in text.split("\n"):
        found += textwrap.wrap(inert(line), width, break_on_hyphens=False) or [""]
    return [indent + BAR + line for line in found]
