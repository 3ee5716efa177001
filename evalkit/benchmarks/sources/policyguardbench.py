"""Reader of PolicyGuardBench (arXiv 2510.03485): one policy and the steps of one web agent, in one string a row.

Written from the published schema (research/policyguard.md §2.6); the data were not at hand. A row whose `input` is not
in the published layout is counted; more than one in twenty of them, and the data are not the published ones.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from evalkit.benchmarks.sources import rows
from evalkit.benchmarks.sources.reading import Source
from evalkit.core.errors import ContentError
from evalkit.core.examples import Example, Pair, read_layout
from evalkit.core.record import digest
from evalkit.core.types import Policy

HUB_ID = "Rakancorle1/PolicyGuardBench"
LICENCE = "CC BY-SA 4.0 (the paper; the card of the data set may say otherwise)"
TOLERATED = 0.05
"""Share of rows that may be out of layout: below it they are noise, above it the format is another one."""
OUT_OF_LAYOUT = "input is not in the published layout"


class _Row(rows.Row):
    instruction: str
    input: str
    output: Literal["violation", "no_violation"]
    attack_type: str | None = None


def read(where: str, left_out: Counter[str]) -> Iterator[Example]:
    """Every row of a file or of a folder of files, or of `hub:ID` (`hub:` alone is the published set).

    The group is the trajectory: the published split holds whole trajectories out, so rows of one are not independent.
    """
    first = ""
    total = 0
    for place in _places(where):
        for at, raw in rows.read(place):
            total += 1
            row = rows.record(_Row, raw, at)
            try:
                pair = read_layout(row.input)
            except ValueError as e:
                left_out[OUT_OF_LAYOUT] += 1
                first = first or f"{at}: input: {e}"
                continue
            yield _example(pair, row)
    if left_out[OUT_OF_LAYOUT] > TOLERATED * total:
        raise ContentError(
            f"{first} (and so {left_out[OUT_OF_LAYOUT]} of {total} rows); expected four lines, "
            "'Policy: ', 'Trajectory Actions: Step 1: ...; Step 2: ...', 'Domain: ', 'Subdomain: '"
        )


def _places(where: str) -> list[str]:
    if where.startswith(rows.HUB):
        return [where if where != rows.HUB else rows.HUB + HUB_ID]
    return [str(f) for f in rows.files(where, *(f"*{kind}" for kind in rows.KINDS))]


def _example(pair: Pair, row: _Row) -> Example:
    rule = digest(pair.policy)
    tags = {"policy": rule, "attack_type": row.attack_type or ""}
    return Example(
        id=f"policyguardbench/{digest([row.input, row.attack_type])}",
        source="policyguardbench",
        group=f"{pair.domain}/{digest(pair.steps)}",
        policies=(Policy(id=rule, text=pair.policy, kind="prohibition", domain=pair.domain, subdomain=pair.subdomain),),
        steps=pair.steps,
        label=row.output == "violation",
        grade="llm",
        domain=pair.domain,
        subdomain=pair.subdomain,
        licence=LICENCE,
        tags={k: v for k, v in tags.items() if v},
    )


SOURCE = Source(
    name="policyguardbench",
    what="59,997 pairs of a policy and a web agent's steps, five WebArena sites",
    origin=f"hub:{HUB_ID} (arXiv 2510.03485)",
    licence=LICENCE,
    labels="violation or not, by gpt-oss-120B; authors re-labelled 287 pairs and agreed on 89.8 %",
    expects=f"hub:{HUB_ID}, or a JSON, JSONL or parquet file of its rows (instruction, input, output)",
    read=read,
)
