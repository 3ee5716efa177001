"""The suite intellagent: enough events, every policy, every level, and each attack with its twin."""

import json
from collections import Counter
from itertools import combinations, islice

import pytest

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import intellagent, lint, sets, suites
from evalkit.benchmarks.event import Event
from evalkit.benchmarks.events import build
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import CONTEXT_SLOT, render


@pytest.fixture(scope="module")
def suite():
    return suites.build("intellagent", {"domains": "travel"})


@pytest.fixture(scope="module")
def scenarios(suite):
    return list(suite.read())


def test_the_domain_is_large_enough(travel):
    assert len(travel.policies) >= 25
    assert {p.kind for p in travel.policies} == {
        "non_disclosure", "prohibition", "obligation", "ordering", "conditional", "limit"}  # fmt: skip
    assert len(travel.tools) >= 10
    assert len(travel.tables) >= 4
    assert 1000 <= len(travel.text.split()) <= 1500


@pytest.mark.parametrize("name", domains.available())
def test_every_twist_works_in_every_place_mode_and_pressure(name):
    assert lint.check_domain(domains.load(name)) == []


def test_lint_tells_what_does_not_work(copy):
    broken = domains.read(copy("events.yaml", "      careless: [{at: verify, omit: true}]\n", ""))
    assert any(
        "twist verify-first@frame pressed" in p and "careless plan: keeps" in p
        for p in lint.check_domain(broken, twists={"verify-first"})
    )


def test_lint_tells_of_tools_nobody_uses_and_kinds_that_are_missing(copy):
    folder = copy("policies.yaml", "kind: obligation", "kind: limit")
    tools = (folder / "tools.yaml").read_text()
    (folder / "tools.yaml").write_text(
        tools + "  - {name: burn_all, about: Burns it all down., access: write, sql: ['DELETE FROM notes']}\n"
    )
    found = lint.check_domain(domains.read(folder), twists=())
    assert any("no event uses the tool burn_all" in p for p in found)
    assert any("no policy of kind obligation" in p for p in found)


def test_there_are_enough_events_on_every_policy_and_level(scenarios, travel):
    attacks = [s for s in scenarios if s.attack != "benign"]
    assert len({s.id for s in scenarios}) == len(scenarios)
    assert len(attacks) >= 120
    assert {p.id for s in attacks for p in s.policies} == {p.id for p in travel.policies}
    assert {int(s.tags["difficulty"]) for s in attacks} == set(range(1, 13))
    assert {len(s.policies) for s in attacks} == {1, 2, 3, 4, 5}
    assert {s.attack for s in attacks} == set(travel.templates.pressure)


def test_each_attack_has_its_benign_twin(scenarios):
    by_id = {s.id: s for s in scenarios}
    attacks = [s for s in scenarios if s.attack != "benign"]
    for s in attacks:
        twin = by_id[s.tags["twin"]]
        assert twin.attack == "benign"
        assert (twin.family, twin.policies) == (s.family, s.policies)
    assert len(attacks) * 2 == len(scenarios)


def test_a_scenario_holds_all_that_a_dialogue_needs(scenarios, suite, travel):
    s = scenarios[0]
    event = intellagent.event_of(s)
    assert intellagent.domain_of(event).digest == travel.digest
    assert s.tags["difficulty"] == str(sum(p.challenge for p in s.policies))
    system, first = render(s, suite.contexts)
    assert (system.role, first.role) == ("system", "user")
    assert travel.text.strip()[:60] in system.content
    assert "09:00 on 10 March" in system.content
    assert CONTEXT_SLOT not in system.content
    assert first.content == event.user.asks[0].text
    assert type(s).model_validate_json(s.model_dump_json()) == s


def test_plans_are_in_the_world_and_nowhere_else(scenarios):
    for s in scenarios[:20]:
        event = intellagent.event_of(s)
        shown = json.dumps([m.content for m in s.messages])
        assert all(turn.say not in shown for turn in event.gold if len(turn.say) > 40)


def test_the_same_options_give_the_same_bytes_and_another_seed_others():
    few = {"domains": "travel", "events": "12"}
    assert suites.build("intellagent", few).digest() == suites.build("intellagent", few).digest()
    assert suites.build("intellagent", few).digest() != suites.build("intellagent", {**few, "seed": "1"}).digest()


def test_difficulty_can_be_chosen_exactly():
    found = list(suites.build("intellagent", {"domains": "travel", "events": "8", "difficulty": "6"}).read())
    assert len(found) == 16
    assert {s.tags["difficulty"] for s in found} == {"6"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"events": "many"}, "a whole number"), ({"events": "0"}, "a whole number"),
        ({"difficulty": "0-3"}, "a level or a range"),
        ({"difficulty": "5-2"}, "a level or a range"), ({"difficulty": "hard"}, "a level or a range"),
        ({"domains": "travl"}, "did you mean 'travel'"), ({"domains": " ,"}, "name some, or all"),
        ({"difficulty": "60"}, "no event of difficulty 60 to 60"),
    ],
)  # fmt: skip
def test_wrong_options_are_told(options, words):
    with pytest.raises((UsageError, ContentError), match=words):
        suites.build("intellagent", {"domains": "travel", **options})


def test_a_domain_of_ones_own_is_found_again_from_its_events(copy):
    folder = copy("domain.yaml", "id: travel", "id: mine")
    made = suites.build("intellagent", {"events": "3"}, str(folder))
    event = intellagent.event_of(next(iter(made.read())))
    assert event.domain == "mine"
    assert intellagent.domain_of(event).id == "mine"
    (folder / "policy.md").write_text((folder / "policy.md").read_text() + "\nOne more rule.\n")
    with pytest.raises(ContentError, match="made of other files"):
        intellagent.domain_of(event)


def test_a_scenario_without_a_world_is_no_event(scenarios):
    with pytest.raises(ContentError, match="has no world"):
        intellagent.event_of(scenarios[0].model_copy(update={"world": None}))


def test_sets_have_exact_difficulty_and_never_repeat(travel):
    found = list(islice(sets.draw(travel, 3, 2, 9), 300))
    costs = [sum(travel.by_id[p].challenge for p in s) for s in found]
    assert set(costs) == set(range(2, 10))
    assert len({frozenset(s) for s in found}) == 300
    assert all(len(set(s)) == len(s) <= sets.MOST for s in found)
    assert found == list(islice(sets.draw(travel, 3, 2, 9), 300))
    uses = Counter(p for s in found for p in s)
    assert set(uses) == {p.id for p in travel.policies}


def test_sets_end_where_there_are_no_more(travel):
    ones = [p.id for p in travel.policies if p.challenge == 1]
    found = list(sets.draw(travel, 0, 1, 1))
    assert sorted(found) == sorted((p,) for p in ones)


@pytest.mark.parametrize("level", [2, 3])
def test_every_set_that_there_is_comes_once(travel, level):
    found = list(sets.draw(travel, 0, level, level))
    cost = {p.id: p.challenge for p in travel.policies}
    exist = [s for n in range(1, sets.MOST + 1) for s in combinations(cost, n) if sum(cost[p] for p in s) == level]
    assert {frozenset(s) for s in found} == {frozenset(s) for s in exist}
    assert len(found) == len(exist)


def test_fewer_events_than_asked_for_are_told_with_how_many_sets_there_are():
    options = {"domains": "travel", "difficulty": "1", "events": "50"}
    built = suites.build("intellagent", options)
    ones = sum(p.challenge == 1 for p in domains.load("travel").policies)
    assert sum(1 for _ in built.read()) == 2 * ones
    assert f"{ones} events and {ones} benign twins" in built.notes[0]
    assert (
        f"though 50 were asked for: no more than {ones} different sets of policies have difficulty 1" in built.notes[0]
    )
    assert "asked for" not in suites.build("intellagent", {**options, "events": str(ones)}).notes[0]


@pytest.mark.slow
def test_nearly_every_pair_of_policies_can_meet(travel):
    pairs = list(combinations([p.id for p in travel.policies], 2))
    made = [isinstance(build(travel, pair, 0), Event) for pair in pairs]
    assert sum(made) >= 0.98 * len(pairs)


def test_a_domain_named_twice_is_taken_once():
    found = [s.id for s in suites.build("intellagent", {"domains": "travel, travel", "events": "1"}).read()]
    assert len(found) == len(set(found)) == 2
