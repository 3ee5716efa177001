"""Abstract web sites, read from benchmarks/policyguard/sites/<domain>.yaml: pages, elements, vocabularies, flows.

Checks what people write there and knows the way from page to page. Walks nowhere, and knows no policies.
"""

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from evalkit import content
from evalkit.core.errors import unknown
from evalkit.core.types import Model

DOMAINS = (
    "shopping", "shopping_admin", "forum", "code_hosting", "maps", "travel", "support_desk", "bank_office",
)  # fmt: skip
"""The five of PolicyGuardBench first, then ours."""
NAMES = 3
"""Names of an element: two for templates that are trained on, the third for held-out ones."""
_ODD = re.compile(r"""['";*?\[\]()\\:…]|\s\s|^\s|\s$""")
Weight = Literal["view", "field", "check", "risk", "public", "secret"]
VERBS = ("click", "type", "select", "read")


class Element(Model):
    """What can be acted on."""

    do: str
    """Verb and role: `click link`."""
    names: tuple[str, ...] = Field(min_length=NAMES, max_length=NAMES)
    """How sites call it; `{v}` stands for the value: `Order {v}`."""
    say: str
    """What doing it means, as a verb phrase: `open an order`."""
    with_: str = Field(default="", alias="with")
    """The same with a value: `open order {v}`."""
    value: str | None = None
    """The vocabulary of its values."""
    secret: str | None = None
    """What it shows when read is confidential: the key of its form."""
    to: str | None = None
    """The page that it leads to."""
    is_: Weight = Field(default="view", alias="is")
    """risk: has consequences; check: a precaution; field: takes a value; public: what is typed there others read;
    secret: shows what they must not; view: only leads elsewhere."""

    @property
    def verb(self) -> str:
        """`click`, `type`, `select` or `read`."""
        return self.do.split()[0]

    @property
    def role(self) -> str:
        """`link`, `button`, ..."""
        return self.do.split()[1]

    @property
    def named_by_value(self) -> bool:
        """Whether the value is a part of the name: `Order 184021`."""
        return "{v}" in self.names[0]


class Page(Model):
    """A page of a site."""

    in_: str = Field(alias="in")
    """Its subdomain."""
    titles: tuple[str, ...] = Field(min_length=NAMES, max_length=NAMES)
    elements: dict[str, Element]


class Flow(Model):
    """Something that people come to do."""

    in_: str = Field(alias="in")
    steps: tuple[str, ...] = Field(min_length=3)


class Site(Model):
    """benchmarks/policyguard/sites/<domain>.yaml."""

    id: str
    title: str
    about: str
    start: str
    subdomains: dict[str, str] = Field(min_length=3)
    values: dict[str, tuple[int | str, ...]]
    """Vocabularies: words, or two numbers: the lowest and the highest."""
    secrets: dict[str, str]
    """The form of what is confidential; `#` is a digit."""
    bar: dict[str, Element]
    """Elements that every page has."""
    pages: dict[str, Page]
    flows: dict[str, Flow]

    @model_validator(mode="after")
    def _whole(self) -> "Site":
        found = list(problems(self))
        if found:
            raise ValueError("; ".join(found[:5]) + (f" (and {len(found) - 5} more)" if len(found) > 5 else ""))
        return self


def problems(site: Site) -> Iterator[str]:
    """What is wrong with a site, one sentence each."""
    elements = list(_elements(site))
    for key, many in Counter(k for k, _ in elements).items():
        if many > 1:
            yield f"{key}: element twice"
    for key, e in elements:
        yield from _element_problems(site, key, e)
    known = {k for k, _ in elements}
    for name, page in site.pages.items():
        if page.in_ not in site.subdomains:
            yield f"pages.{name}.in: no subdomain {page.in_!r} (there are: {', '.join(site.subdomains)})"
    for name, flow in site.flows.items():
        if flow.in_ not in site.subdomains:
            yield f"flows.{name}.in: no subdomain {flow.in_!r} (there are: {', '.join(site.subdomains)})"
        yield from (f"flows.{name}: no element {s!r}" for s in flow.steps if s not in known)
    if site.start not in site.pages:
        yield f"start: no page {site.start!r} (there are: {', '.join(site.pages)})"
    for subdomain in site.subdomains:
        if not any(flow.in_ == subdomain for flow in site.flows.values()):
            yield f"subdomain {subdomain}: no flow"
    yield from _name_problems(elements)


def _elements(site: Site) -> Iterator[tuple[str, Element]]:
    yield from site.bar.items()
    for page in site.pages.values():
        yield from page.elements.items()


def _element_problems(site: Site, key: str, e: Element) -> Iterator[str]:
    if len(e.do.split()) != 2 or e.verb not in VERBS:
        yield f"{key}.do: {e.do!r} is not a verb ({', '.join(VERBS)}) and a role"
        return
    if e.to is not None and e.to not in site.pages:
        yield f"{key}.to: no page {e.to!r} (there are: {', '.join(site.pages)})"
    if e.value is not None and e.value not in site.values:
        yield f"{key}.value: no vocabulary {e.value!r} (there are: {', '.join(site.values)})"
    if e.secret is not None and e.secret not in site.secrets:
        yield f"{key}.secret: no form {e.secret!r} (there are: {', '.join(site.secrets)})"
    if (e.verb in ("type", "select") or e.named_by_value) and e.value is None:
        yield f"{key}: {e.do} needs a value"
    if (e.verb == "read") != (e.is_ == "secret") or (e.secret is None) != (e.verb != "read"):
        yield f"{key}: what is read is a secret, and the other way round"
    if (e.is_ == "public") and e.verb != "type":
        yield f"{key}: what is public is typed"
    if e.with_ and "{v}" not in e.with_:
        yield f"{key}.with: has no {{v}}"
    for name in e.names:
        if _ODD.search(name.replace("{v}", "v")):
            yield f"{key}.names: {name!r}: no quotes, brackets, colons, * ? ; or double spaces"
        if ("{v}" in name) != e.named_by_value:
            yield f"{key}.names: all of them have {{v}}, or none"


def _name_problems(elements: list[tuple[str, Element]]) -> Iterator[str]:
    """A name says which element it is, on every template: rules go by names (and roles, for `Order {v}`)."""
    owners: dict[str, str] = {}
    says: dict[str, str] = {}
    does = {key: e.do for key, e in elements}
    for key, e in elements:
        if says.setdefault(e.say.casefold(), key) != key:
            yield f"{key}.say: {e.say!r} is said of {says[e.say.casefold()]} too"
        for name in e.names:
            if owners.setdefault(name.casefold(), key) != key:
                yield f"{key}.names: {name!r} is a name of {owners[name.casefold()]} too"
    globs = {n.removesuffix("{v}"): k for n, k in owners.items() if n.endswith("{v}")}
    for name, key in owners.items():
        for head, other in globs.items():
            if key != other and does[key] == does[other] and name.startswith(head):
                yield f"{key}.names: {name!r} looks like a {head!r}, which is {other}"
    for name, key in owners.items():
        if "{v}" in name and not name.endswith("{v}"):
            yield f"{key}.names: {name!r}: {{v}} stands last"


class Node(NamedTuple):
    """An element with its place."""

    key: str
    element: Element
    page: str | None
    """None: on every page."""
    subdomain: str
    verb: str
    role: str
    to: str | None


@dataclass(frozen=True)
class Atlas:
    """A site with what follows from it."""

    site: Site
    nodes: Mapping[str, Node]
    here: Mapping[str, tuple[str, ...]]
    """Page to its own elements."""
    next: Mapping[tuple[str, str], str]
    """From a page to another: the element that leads there, or nearer."""
    bounds: Mapping[str, tuple[int, int]]
    vocabulary: Mapping[str, tuple[str, ...]]

    def on(self, key: str, page: str) -> bool:
        """Whether an element is there."""
        place = self.nodes[key].page
        return place is None or place == page

    def numeric(self, key: str) -> tuple[int, int] | None:
        """The lowest and highest number, where it takes numbers."""
        return self.bounds.get(key)

    def words(self, key: str) -> tuple[str, ...]:
        """The values of an element; of numbers in steps of 1, of large ones in steps of 5."""
        return self.vocabulary.get(key, ())

    def secret(self, key: str, rng: Random) -> str:
        """What a confidential text shows this time."""
        form = self.site.secrets[self.nodes[key].element.secret or ""]
        return re.sub("#", lambda _: str(rng.randrange(10)), form)


def names() -> list[str]:
    """The domains, ours last, then those of added content."""
    folder = content.find("benchmarks", "policyguard", "sites")
    found = sorted(p.stem for p in folder.glob("*.yaml"))
    return [d for d in DOMAINS if d in found] + [d for d in found if d not in DOMAINS]


@lru_cache(maxsize=64)
def load(name: str) -> Atlas:
    """The site of a domain; `UsageError` with the near match when there is none."""
    if name not in names():
        raise unknown("domain", name, names())
    return atlas(content.load_yaml(content.find("benchmarks", "policyguard", "sites", f"{name}.yaml"), Site))


def atlas(site: Site) -> Atlas:
    """Lays out a site."""
    nodes = {}
    for key, e in site.bar.items():
        nodes[key] = Node(key, e, None, site.pages[e.to].in_ if e.to else "", e.verb, e.role, e.to)
    for name, page in site.pages.items():
        for key, e in page.elements.items():
            nodes[key] = Node(key, e, name, page.in_, e.verb, e.role, e.to)
    here = {name: tuple(page.elements) for name, page in site.pages.items()}
    ways = {pair: key for start in site.pages for pair, key in _ways(site, nodes, here, start)}
    bounds = {key: found for key, n in nodes.items() if (found := _bounds(site, n.element)) is not None}
    words = {key: _words(site, n.element) for key, n in nodes.items() if n.element.value is not None}
    return Atlas(site, nodes, here, ways, bounds, words)


def _bounds(site: Site, e: Element) -> tuple[int, int] | None:
    words = site.values[e.value] if e.value is not None else ()
    if len(words) == 2 and isinstance(words[0], int) and isinstance(words[1], int):
        return words[0], words[1]
    return None


def _words(site: Site, e: Element) -> tuple[str, ...]:
    bounds = _bounds(site, e)
    if bounds is None:
        return tuple(str(v) for v in site.values[e.value or ""])
    return tuple(str(n) for n in range(bounds[0], bounds[1] + 1, 5 if bounds[1] > 20 else 1))


def _ways(
    site: Site, nodes: Mapping[str, Node], here: Mapping[str, tuple[str, ...]], start: str
) -> Iterator[tuple[tuple[str, str], str]]:
    """Breadth first from one page: the first element on a shortest way to each other."""
    first: dict[str, str] = {}
    queue = deque([start])
    while queue:
        page = queue.popleft()
        for key in (*here[page], *site.bar):
            to = nodes[key].to
            if to is not None and to != start and to not in first and nodes[key].element.is_ != "risk":
                first[to] = first.get(page, key)
                queue.append(to)
    yield from (((start, to), key) for to, key in first.items())
