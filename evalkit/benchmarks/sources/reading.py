"""What a published set is, and reading one: examples one by one, with a count of the rows left out and why.

Knows no set by itself: each module beside this one describes one, and `registry.SOURCES` names them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from evalkit import registry
from evalkit.core.errors import ContentError
from evalkit.core.examples import Example

Read = Callable[[str, Counter[str]], Iterator[Example]]
"""(path or hub:ID, where to count what is left out) -> examples. `ContentError` where the data are not as published."""


@dataclass(frozen=True)
class Source:
    """One published set."""

    name: str
    what: str
    origin: str
    licence: str
    labels: str
    """What the labels mean and who gave them; or that there are none."""
    expects: str
    """Which file or folder, or which hub data set."""
    read: Read


@dataclass
class Reading:
    """Examples of one place. Iterate it as often as you like; `left_out` and `read` are complete at the end of it."""

    source: Source
    where: str
    left_out: Counter[str] = field(default_factory=Counter)
    read: int = 0

    def __iter__(self) -> Iterator[Example]:
        self.left_out, self.read = Counter(), 0
        seen: set[str] = set()
        for example in self.source.read(self.where, self.left_out):
            if example.id in seen:
                self.left_out["the id was used before"] += 1
                continue
            seen.add(example.id)
            self.read += 1
            yield example
        if not self.read:
            why = "; ".join(f"{n} left out: {reason}" for reason, n in self.left_out.most_common(3))
            raise ContentError(f"{self.where}: no example of {self.source.name} in it{f' ({why})' if why else ''}")


def source(name: str) -> Source:
    """The set of that name; `UsageError` lists those there are."""
    found: Source = registry.lookup("sources", name)
    return found


def reading(name: str, where: str) -> Reading:
    """The examples of a set at a place: a file, a folder, or `hub:ID`."""
    return Reading(source(name), where)
