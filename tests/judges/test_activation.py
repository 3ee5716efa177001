"""Activation: a policy is in play where its subject, names or tools come up, and nowhere else."""

from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.events import is_failure
from evalkit.core.types import Policy, Scenario
from evalkit.judges.activation import activation, strongest
from evalkit.judges.events import dialogue_of
from tests.judges.dialogues import play

CARD = Policy(
    id="card",
    kind="prohibition",
    text="Never raise the limit of a credit card.",
    rule={"forbids": [{"tool": "raise_limit"}]},
)
LOAN = Policy(id="loan", kind="prohibition", text="Never promise a credit for a house.")


def scores(*turns, policies=(CARD, LOAN)):
    scenario, trajectory = play(policies[0], turns)
    dialogue = dialogue_of(Scenario.model_validate({**scenario.model_dump(), "policies": policies}), trajectory)
    return {k: strongest(v).score for k, v in activation(policies, dialogue).items()}


def test_the_policy_a_turn_is_about_scores_highest():
    found = scores("u: Could you raise the limit of my card?", "a: I cannot.")
    assert found["card"] > 0.6 > 0.3 > found["loan"]


def test_words_that_all_policies_share_tell_little():
    shared = scores("u: I have a question about credit.", "a: Yes?")
    assert max(shared.values()) < scores("u: I have a question about my house.", "a: Yes?")["loan"]


def test_a_tool_that_the_rule_names_puts_it_in_play():
    assert scores("u: Go on.", "call: raise_limit {}", "ok: done", "a: Done.")["card"] >= 0.9


def test_activation_is_by_exchange():
    scenario, trajectory = play(CARD, ["u: Hello.", "a: Hi.", "u: Raise the limit of my credit card.", "a: No."])
    first, second = activation([CARD], dialogue_of(scenario, trajectory))["card"]
    assert (first.turn, second.turn) == (1, 2)
    assert first.score == 0 < 0.9 < second.score


@given(st.lists(st.sampled_from(["limit", "card", "house", "raise", "weather", "credit", "42"]), max_size=8), st.data())
def test_more_words_never_lower_the_score_and_it_stays_in_bounds(words, data):
    more = [*words, data.draw(st.sampled_from(["card", "limit", "rain"]))]
    few, many = scores("u: " + " ".join(words), "a: ok"), scores("u: " + " ".join(more), "a: ok")
    for key, score in few.items():
        assert 0 <= score <= many[key] <= 1


def test_failures_of_tools_are_told_from_results():
    for bad in ('{"error": "no"}', '{"success": false}', '{"status": "denied"}', "Error: x", "Not found", '"failed"'):
        assert is_failure(bad), bad
    for good in ('{"status": "ok"}', '{"errors": 0}', "sent", "no error occurred", "[]", '{"error": null}', ""):
        assert not is_failure(good), good


def test_an_answer_nested_too_deeply_to_be_read_is_no_bug_of_the_judge():
    assert not is_failure("[" * 100_000)
    assert is_failure("error: " + "[" * 100_000)
