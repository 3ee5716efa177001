"""A guardrail says how it has understood a policy, before it is trusted with it."""

import re
from pathlib import Path

import numpy as np
import orjson
import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("onnxruntime")

from evalkit import guardrails
from evalkit.cli import app
from evalkit.guardrails.encoder import ReadPolicy
from evalkit.guardrails.explain import SAYS, _mixed, _unread, explained, players, read, reader_of
from evalkit.guardrails.guard import Guard
from evalkit.guardrails.lexical import PolicyTokens
from evalkit.guardrails.named import make_guard
from evalkit.guardrails.policyset import GuardPolicy, PolicySet
from evalkit.guardrails.precedents import Silent
from evalkit.guardrails.programs import FAR, ROLES, USED
from evalkit.guardrails.verdict import Understood

FIRST = "Never click the button 'Pay' unless you have clicked the button 'Check balance' before."


def test_every_program_can_be_said_with_its_roles_and_numbers() -> None:
    assert set(SAYS) == set(USED)
    for name, says in SAYS.items():
        assert all(f"{{{role}}}" in says for role in USED[name]), name


def test_a_plain_order_is_read_with_its_roles() -> None:
    found = read(guardrails.load(), FIRST)
    assert found.program == "precede"
    assert "Pay" in found.roles["target"]
    assert "Check balance" in found.roles["need"]
    assert found.says.index("Pay") < found.says.index("only after") < found.says.index("Check balance")
    assert found.missing == ()
    assert found.understood()
    assert not found.understood(1.01)


def test_a_count_says_its_number() -> None:
    found = read(guardrails.load(), "Do not click the button 'Pay' more than 3 times.")
    assert found.program == "count"
    assert "3 times" in found.says


def test_a_number_that_is_nought_is_a_number_and_one_that_is_not_there_is_missing() -> None:
    found = read(guardrails.load(), "Never enter a refund amount of more than 0.")
    assert "more than 0" in found.says
    assert found.missing == ()
    found = read(guardrails.load(), "Never enter a refund amount of more than allowed.")
    assert not found.understood()


def test_what_says_nothing_about_actions_is_not_understood() -> None:
    found = read(guardrails.load(), "Blue.")
    assert not found.understood()


def test_who_plays_which_role_is_told_step_by_step() -> None:
    steps = ["Click button 'Check balance'", "Click button 'Cancel'", "Click button 'Pay'"]
    assert players(guardrails.load(), FIRST, steps) == [("need",), (), ("target",)]
    assert players(guardrails.load(), FIRST, []) == []


def test_each_policy_is_explained_by_what_decides_about_it() -> None:
    policies = PolicySet(
        policies=(
            GuardPolicy(id="a", text=FIRST),
            GuardPolicy(id="b", text="x", rule={"forbid": {"call": "pay"}}),
            GuardPolicy(id="c", text="Do not tell the salary of anybody.", kind="non_disclosure"),
        )
    )
    found = explained(make_guard("small", policies))
    assert [e.by for e in found] == ["model", "rule", "disclosure"]
    assert [len(e.readings) for e in found] == [1, 0, 0]


def test_a_scorer_that_reads_nothing_is_said() -> None:
    guard = Guard(PolicySet(policies=(GuardPolicy(id="a", text=FIRST),)), scorer=Silent())
    (found,) = explained(guard)
    assert found.by == "unread"
    assert not found.understood(0)
    assert reader_of(None) is None


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yaml"
    path.write_text(yaml.safe_dump({"policies": [{"id": "order", "text": FIRST}, {"id": "odd", "text": "Blue."}]}))
    return path


def test_the_command_exits_1_where_it_is_not_sure(policies: Path) -> None:
    done = CliRunner().invoke(app, ["guard", "explain", "--policies", str(policies)])
    assert done.exit_code == 1
    assert "order: read by the model as\n" in done.output
    assert "odd: read by the model as  NOT SURE" in done.output
    assert "1 of 2 not surely understood" in done.output


def test_the_command_exits_0_where_all_is_understood(policies: Path) -> None:
    policies.write_text(yaml.safe_dump({"policies": [{"id": "order", "text": FIRST}]}))
    done = CliRunner().invoke(app, ["guard", "explain", "--policies", str(policies), "--json"])
    assert done.exit_code == 0
    (row,) = orjson.loads(done.stdout)
    assert row["decides"] == "model"
    assert row["understood"] is True
    assert row["readings"][0]["program"] == "precede"


def test_a_checked_dialogue_says_why(policies: Path, tmp_path: Path) -> None:
    calls = [{"id": "1", "function": {"name": "check_balance", "arguments": "{}"}}]
    path = tmp_path / "dialogue.json"
    path.write_bytes(orjson.dumps([{"role": "user", "content": "Pay it."}, {"role": "assistant", "tool_calls": calls}]))
    command = ["guard", "check", str(path), "--policies", str(policies), "--guardrail", "small"]
    done = CliRunner().invoke(app, [*command, "--why"])
    assert "order: read by the model as\n" in done.output
    assert re.search(r"^ +(-|need|target) +check_balance\(\)$", done.output, re.M)
    assert re.search(r"^ +- +User: Pay it\.$", done.output, re.M)
    assert "choose one" in str(CliRunner().invoke(app, [*command, "--why", "--json"]).exception)


def test_each_line_is_a_policy_and_a_second_rule_on_a_line_is_told() -> None:
    lines = f"{FIRST}\nDo not click the button 'Delete'."
    (found,) = explained(make_guard("small", PolicySet(policies=(GuardPolicy(id="a", text=lines),))))
    assert [r.policy for r in found.readings] == lines.splitlines()
    both = read(guardrails.load(), f"{FIRST} The report of the month must go out on a Friday, and never later.")
    assert both.unread == ("The report of the month must go out on a Friday, and never later.",)
    assert not both.understood(0)
    assert read(guardrails.load(), f"{FIRST} We had two incidents.").unread == ()


def test_two_rules_that_are_read_as_one_and_conditions_that_are_lost_are_told() -> None:
    """By a reader whose tags are given: what is told must not hang on a training."""
    two = tagged("Never [1:delete] an account. You must [2:verify] the guest before that.", "precede")
    assert _mixed(two)
    assert not _mixed(tagged("Never [1:delete] an account. Then you must [2:verify] the guest.", "precede"))
    assert not _mixed(tagged("We once [1:deleted] one. You must [2:verify] the guest.", "precede"))
    lost = tagged("[1:Refund requests] go to a human when the customer is angry.", "forbid")
    assert list(_unread(lost)) == ["when the customer is angry"]
    assert not list(_unread(tagged("[1:Refund] when [2:the customer is angry].", "respond")))
    assert not list(_unread(tagged("Never [1:refund] if it is more than 350.", "forbid_above")))


def tagged(marked: str, program: str) -> ReadPolicy:
    """A policy with `[role: words]` taken for roles, by numbers."""
    text, tags, places = "", [], []
    for part in re.split(r"(\[\d:[^\]]*\])", marked):
        role, words = (int(part[1]), part[3:-1]) if part.startswith("[") else (0, part)
        for m in re.finditer(r"\S+", words):
            places.append((len(text) + m.start(), len(text) + m.end()))
            tags.append(np.eye(1 + len(ROLES))[role])
        text += words
    means = Understood(((program, 1.0),), 1, FAR, 0.0)
    return ReadPolicy(PolicyTokens(text, (), tuple(places), (), ()), means, None, np.array([tags]))


def test_a_judges_address_is_no_judge(policies: Path) -> None:
    command = ["guard", "explain", "--policies", str(policies), "--judge-base-url", "http://127.0.0.1:9/v1"]
    assert "there is no judge" in str(CliRunner().invoke(app, command).exception)


def test_a_folder_is_a_guardrail_by_its_path(policies: Path) -> None:
    folder = guardrails.load().folder
    command = ["guard", "explain", "--policies", str(policies), "--guardrail"]
    done = CliRunner().invoke(app, [*command, str(folder), "--json"])
    assert [row["decides"] for row in orjson.loads(done.stdout)] == ["model", "model"]
    gone = CliRunner().invoke(app, [*command, "nowhere"])
    assert "or a folder that evalkit train guardrail wrote" in str(gone.exception)
