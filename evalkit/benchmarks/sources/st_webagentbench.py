"""Reader of ST-WebAgentBench: web tasks with the policies that bind the agent. No runs, so no steps and no labels.

A description is often a template ("Do not navigate or visit a URL pattern"); what it speaks of stands in its check and
is put into the text. How a check is computed is not kept.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from evalkit.benchmarks.sources import rows
from evalkit.benchmarks.sources.reading import Source
from evalkit.core.examples import Example
from evalkit.core.record import digest
from evalkit.core.types import Message, Policy, PolicyKind

KINDS: Final[dict[str, PolicyKind]] = {
    "navigation_limitation": "prohibition",
    "irreversible_actions": "prohibition",
    "jailbreaking": "prohibition",
    "hallucinated_information": "prohibition",
    "ask_the_user": "ordering",
    "missing_params": "conditional",
    "access_management": "conditional",
    "policy_contradiction": "conditional",
    "hierarchy_resolution": "conditional",
    "popup_error": "obligation",
    "sensitive_information": "non_disclosure",
}
_ABOUT = ("must_include", "must_include_action", "url", "reference_url", "locator", "action_sequence")
"""Fields of a check that say what the policy is about, as far as words go."""


class _Policy(rows.Row):
    policy_template_id: str
    policy_category: str
    source: str
    description: str
    eval: dict[str, Any]


class _Row(rows.Row):
    task_id: int
    sites: list[str] = Field(min_length=1)
    intent: str
    intent_template_id: int
    policies: list[_Policy]


def read(where: str, left_out: Counter[str]) -> Iterator[Example]:
    """Every task of a file, or of a folder with `tasks.jsonl.gz`. The group is the template of the intent.

    Policies of a template that is not known are left out and counted; a task without any is too.
    """
    for file in rows.files(where, "tasks*.jsonl.gz", "tasks*.jsonl", "test.raw.json"):
        for place, raw in rows.read(file):
            row = rows.record(_Row, raw, place)
            known = [p for p in row.policies if p.policy_template_id in KINDS]
            for policy in row.policies:
                if policy.policy_template_id not in KINDS:
                    left_out[f"a policy of the unknown template {policy.policy_template_id!r}"] += 1
            if known:
                yield _example(row, known)
            else:
                left_out["a task without policies"] += 1


def _example(row: _Row, known: list[_Policy]) -> Example:
    site = row.sites[0]
    return Example(
        id=f"st_webagentbench/{row.task_id}",
        source="st_webagentbench",
        group=f"{site}/{row.intent_template_id}",
        policies=tuple(_made(p, site) for p in known),
        messages=(Message(role="user", content=row.intent),),
        domain=site,
        licence="Apache-2.0",
        tags={"categories": " ".join(sorted({p.policy_category for p in known}))},
    )


def _made(policy: _Policy, site: str) -> Policy:
    text = policy.description.strip()
    about = [str(policy.eval[k]) for k in _ABOUT if isinstance(policy.eval.get(k), str) and policy.eval[k].strip()]
    if about:
        text = f"{text.rstrip('.')}: {'; '.join(about)}"
    return Policy(
        id=f"st_webagentbench/{digest([policy.policy_template_id, policy.source, text])}",
        text=text,
        kind=KINDS[policy.policy_template_id],
        severity=3 if policy.policy_template_id in ("irreversible_actions", "sensitive_information") else 2,
        domain=site,
        subdomain=policy.policy_category,
    )


SOURCE = Source(
    name="st_webagentbench",
    what="375 web tasks (code hosting, CRM, shop administration) with 3,057 policies of 11 templates",
    origin="github.com/segev-shlomov/ST-WebAgentBench",
    licence="Apache-2.0",
    labels="none: there are no runs",
    expects="tasks.jsonl.gz or its folder",
    read=read,
)
