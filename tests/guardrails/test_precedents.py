"""Precedents: kept, found, weighed, cited, overturned, expired, and argued by a model."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evalkit.cli import app
from evalkit.core.errors import ContentError, TargetError, UsageError
from evalkit.core.types import Policy, Reply
from evalkit.engine import precedents as cases
from evalkit.guardrails import precedent, precedents
from evalkit.guardrails.critique import argue
from evalkit.guardrails.pooling import Pooling, Trial, adapted, fit
from evalkit.guardrails.precedent import Precedent, append, overturn, read, store_of
from evalkit.guardrails.precedents import Silent, WithPrecedents, features, own_trials
from evalkit.guardrails.retrieval import Index, Near
from tests.runs import played

REFUNDS = "Refunds above 100 euros need the approval of a manager."


def case(broken, *steps, policy=REFUNDS, **more):
    verdict = "violation" if broken else "compliant"
    return Precedent(policy_id="refunds", policy=policy, steps=steps, verdict=verdict, **more)


BROKEN = case(True, "User: my blender is broken", "refund(order=7, amount=250)", span="amount=250")
KEPT = case(False, "User: my blender is broken", "ask_manager(order=7)", "refund(order=7, amount=250)")
SMALL = case(False, "User: the cup came in pieces", "refund(order=9, amount=12)")
OTHER = case(True, "Assistant: your doctor says you have measles", policy="Never talk about diagnoses.")


def guard(*kept, **more):
    return WithPrecedents(Silent(), store_of(kept), today=lambda: date(2026, 11, 28), **more)


def test_a_store_reads_what_was_written_and_holds_a_case_once(tmp_path):
    path = tmp_path / "p.jsonl"
    assert append(path, [BROKEN, KEPT]) == 2
    assert append(path, [BROKEN]) == 0
    store = read(path)
    assert list(store.precedents.values()) == [BROKEN, KEPT]
    assert store.version == read(path).version != store_of([BROKEN]).version


def test_the_id_follows_from_the_decision_and_not_from_its_words():
    assert case(True, "a", analysis="because").id == case(True, "a").id
    assert case(True, "a").id != case(False, "a").id


def test_a_span_that_is_in_no_step_is_refused():
    with pytest.raises(ValueError, match="in none of the steps"):
        case(True, "refund()", span="transfer()")


def test_an_overturned_precedent_stays_readable_and_no_longer_counts(tmp_path):
    path = tmp_path / "p.jsonl"
    append(path, [BROKEN, KEPT])
    overturn(path, BROKEN.id[:6], "the limit is 300 now", by="ada")
    store = read(path)
    assert store.active() == [KEPT]
    assert store.get(BROKEN.id) == BROKEN
    assert store.rulings[BROKEN.id].reason == "the limit is 300 now"
    overturn(path, BROKEN.id, "it was not", restore=True)
    assert read(path).active() == [BROKEN, KEPT]


def test_a_precedent_expires_after_its_last_day():
    store = store_of([case(True, "a", expires=date(2026, 1, 1))])
    assert store.active(date(2026, 1, 1))
    assert not store.active(date(2026, 1, 2))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"p\.jsonl:1: the line"),
        ('{"kind":"precedent","policy_id":"a","policy":"b","steps":["c"],"verdict":"maybe"}', r"p\.jsonl:1: verdict"),
        ('{"kind":"ruling","precedent":"abc","says":"overturned","reason":"x"}', "no precedent 'abc' stands before"),
    ],
)
def test_a_wrong_line_is_named_with_file_line_and_field(tmp_path, line, said):
    path = tmp_path / "p.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ContentError, match=said):
        read(path)


def test_like_cases_of_the_policy_are_found_with_both_verdicts():
    found = Index([BROKEN, KEPT, SMALL, OTHER]).find(REFUNDS, ["User: my mixer is broken", "refund(amount=240)"], k=2)
    assert {n.precedent.verdict for n in found} == {"violation", "compliant"}
    assert OTHER not in [n.precedent for n in found]


def test_policies_and_steps_may_be_compared_by_meaning():
    np = pytest.importorskip("numpy")

    def vector(text):
        return np.array([1.0, 0.0]) if "money" in text or "refund" in text.lower() else np.array([0.0, 1.0])

    index = Index([BROKEN, OTHER], vector, read_steps=True)
    found = index.find("Money goes back only after somebody with authority agreed.", ["pay(amount=240)"], k=2)
    assert [n.precedent for n in found] == [], "of one side alone, meaning is not enough"
    asked = ("Refunds of money above 100 euros need approval.", ["refund(amount=240)"])
    found = index.find(*asked, k=2)
    assert [n.precedent for n in found] == [BROKEN]
    words = Index([BROKEN, OTHER], vector).find(
        "Refunds of money above 100 euros need approval.", ["refund(amount=240)"]
    )
    assert words[0].likeness != found[0].likeness


def test_what_was_chosen_already_is_not_chosen_again():
    twins = [case(False, "refund(order=9, amount=12)", f"wait(minutes={n})") for n in (1, 2, 3)]
    far = case(False, "refund(order=2, amount=14)", "send_mail(text='thank you, goodbye')")
    found = [n.precedent for n in Index([*twins, far]).find(REFUNDS, ["refund(order=9, amount=12)"], k=2)]
    assert far in found


def test_without_precedents_the_scorer_stands():
    assert guard().score(REFUNDS, ["refund(amount=900)"]) == 0.5
    assert WithPrecedents(Silent(0.83), store_of([OTHER])).score(REFUNDS, ["x"]) == 0.83


def test_precedents_decide_and_are_cited():
    decided = guard(BROKEN, KEPT, SMALL, OTHER).check(
        REFUNDS, ["User: my mixer is broken", "refund(order=3, amount=250)"]
    )
    assert decided.action == "block"
    assert decided.precedents == (BROKEN.id,)
    assert BROKEN.id in decided.reason
    assert "amount=250" in decided.reason
    kept = guard(BROKEN, KEPT, SMALL).assess(Policy(id="refunds", text=REFUNDS), SMALL.steps)
    assert kept.probability < 0.5
    assert kept.precedents[0] == SMALL.id


def test_an_overturned_precedent_changes_the_decision(tmp_path):
    path = tmp_path / "p.jsonl"
    append(path, [BROKEN, SMALL])
    asked = (REFUNDS, ["User: my mixer is broken", "refund(order=3, amount=250)"])
    assert WithPrecedents(Silent(), read(path)).score(*asked) > 0.5
    overturn(path, BROKEN.id, "the limit is 300 now")
    assert WithPrecedents(Silent(), read(path)).score(*asked) < 0.5


def test_expired_precedents_stop_counting_while_the_guard_runs():
    day = [date(2026, 1, 1)]
    found = WithPrecedents(Silent(), store_of([case(True, "a b", expires=day[0])]), today=lambda: day[0])
    assert found.score(REFUNDS, ["a b"]) > 0.5
    day[0] = date(2026, 1, 2)
    assert found.score(REFUNDS, ["a b"]) == 0.5


@dataclass(frozen=True)
class Timid:
    """A scorer that finds everything harmless."""

    name: str = "timid"

    def score(self, policy, steps):
        return 0.1


def test_a_scorer_that_was_wrong_on_like_cases_is_corrected_and_one_that_was_right_is_not():
    pool = Pooling(votes=0.0, residual=4.0, reach=0.4)
    asked = ["User: my mixer is broken", "refund(order=3, amount=250)"]
    wrong = WithPrecedents(Timid(), store_of([BROKEN]), pool).score(REFUNDS, asked)
    right = WithPrecedents(Timid(), store_of([KEPT]), pool).score(REFUNDS, asked)
    assert wrong > 0.2
    assert right == pytest.approx(0.1, abs=0.05)


def test_while_it_happens_a_scorer_is_asked_for_what_is_broken_so_far():
    class Both(Timid):
        def assess(self, policy, steps):
            return precedents.Assessed(0.9, (), "", 0.9)

    found = WithPrecedents(Both(), store_of([]))
    assert found.assess(Policy(id="refunds", text=REFUNDS), ["a"]).probability == 0.9
    assert found.score(REFUNDS, ["a"]) == 0.1


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=8), st.floats(0.01, 0.99))
def test_the_pooled_probability_moves_towards_the_votes_and_by_count(votes, likeness):
    pool = Pooling(residual=0.0)
    near = [Near(case(b, "a"), s) for b, s in votes]
    n, mean, _ = pool.said(near, [0.5] * len(near))
    moved = pool.odds(0.0, near, [0.5] * len(near))
    assert moved * mean >= 0
    assert abs(moved) <= abs(pool.votes)
    more = pool.said([*near, Near(case(True, "b"), likeness)], [0.5] * (len(near) + 1))
    assert more[0] > n


def test_a_training_row_does_not_see_itself_nor_its_group():
    rows = [case(True, "refund(amount=250)", group="g"), case(True, "refund(amount=250)", "bye()", group="g"), SMALL]
    index = Index(rows)

    def seen(group):
        return features(REFUNDS, rows[0].steps, index, lambda _: 0.5, Pooling(), group)

    assert seen("g")[3] == 0.0
    assert seen("")[3] > 0.3
    assert len(seen("")) == len(precedents.FEATURES)


def test_a_policy_on_whose_cases_the_scorer_is_wrong_stops_listening_to_it():
    rows = [case(bool(i % 2), f"act{i}()", f"step number {i}", group=str(i)) for i in range(16)]
    index = Index(rows)
    inverted = own_trials(rows, index, lambda p: 0.1 if p.broken else 0.9, 8)
    right = own_trials(rows, index, lambda p: 0.9 if p.broken else 0.1, 8)
    pool = Pooling(votes=0.0, residual=0.0)
    assert adapted(pool, inverted)[0] < 0 < 0.9 < adapted(pool, right)[0]
    assert adapted(pool, []) == pool.numbers
    stiff = pool.model_copy(update={"stiffness": 1000.0})
    assert adapted(stiff, inverted)[0] == pytest.approx(1.0, abs=0.1)


def test_pooling_is_fitted_to_what_helps():
    sure = [Near(BROKEN, 0.9), Near(SMALL, 0.1)], [Near(BROKEN, 0.1), Near(SMALL, 0.9)]
    trials = [Trial(0.0, tuple(near), (0.5, 0.5), label) for near, label in zip(sure, (True, False), strict=True)] * 20
    found = fit(trials)
    assert found.votes > 1
    with pytest.raises(UsageError, match="both verdicts"):
        fit(trials[::2])


def test_nothing_is_served_without_a_store(tmp_path, monkeypatch):
    monkeypatch.delenv(precedents.FILE, raising=False)
    with pytest.raises(UsageError, match=precedents.FILE):
        precedents.make()
    monkeypatch.setenv(precedents.FILE, str(tmp_path / "none.jsonl"))
    with pytest.raises(UsageError, match="no such store"):
        precedents.make()


@dataclass
class Model:
    """Answers in turn."""

    replies: list
    name: str = "fake"
    asked: list = field(default_factory=list)

    async def generate(self, request):
        self.asked.append(request.messages)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Reply(text=reply if isinstance(reply, str) else json.dumps(reply))


def note(verdict="violation", quote="amount=250", analysis="It is above the limit."):
    return {"verdict": verdict, "facts": "A refund of 250.", "analysis": analysis, "quote": quote}


def test_a_note_is_revised_until_it_fits_the_decision_and_quotes_the_steps():
    model = Model([note("compliant"), note(quote="amount=251"), note()])
    found = asyncio.run(argue(model, [BROKEN]))
    assert found.revised == 1
    assert found.precedents[0].analysis == "It is above the limit."
    assert found.precedents[0].id == BROKEN.id
    assert "critique-revise:fake" in found.precedents[0].source
    assert len(model.asked[-1]) == 6


@pytest.mark.parametrize(
    "bad",
    [note("compliant"), note(quote="transfer"), note(analysis="The gold label says so."), "no idea", '{"verdict": 1}'],
)
def test_a_note_that_never_fits_is_dropped(bad):
    found = asyncio.run(argue(Model([bad] * 3), [BROKEN]))
    assert found.precedents == ()
    assert found.dropped == (BROKEN.id,)


def test_a_model_that_fails_is_told_apart():
    found = asyncio.run(argue(Model([TargetError("timeout", "late"), note()]), [SMALL, BROKEN]))
    assert [p.id for p in found.precedents] == [BROKEN.id]
    assert found.failed == (f"{SMALL.id}: timeout: late",)


def test_a_judged_run_gives_its_decided_cases(tmp_path):
    run = played(tmp_path, [True, False, None])
    found = list(cases.of_run(run))
    assert {p.verdict for p in found} == {"violation", "compliant"}
    broken = next(p for p in found if p.broken)
    assert broken.source.startswith("judges:")
    assert broken.span
    assert any(broken.span in step for step in broken.steps)


def test_the_command_builds_lists_and_overturns(tmp_path):
    run = played(tmp_path / "runs", [True, False])
    store = tmp_path / "p.jsonl"

    def said(*args):
        done = CliRunner().invoke(app, ["guard", "precedents", *map(str, args)])
        assert done.exit_code == 0, done.output
        return done.stdout

    built = json.loads(said("build", "--from", run, "--out", store, "--expires", "2999-01-01", "--json"))
    assert built["cases"] == built["added"] == len(read(store).precedents)
    first = next(iter(read(store).precedents))
    said("overturn", store, first, "--reason", "wrong")
    rows = json.loads(said("list", store, "--json"))["precedents"]
    assert {r["state"] for r in rows if r["id"] == first} == {"overturned"}
    assert first in said("list", store)
    said("restore", store, first, "--reason", "right")
    assert read(store).state(first) == "active"


def test_nothing_decided_is_an_error_that_says_what_to_give(tmp_path):
    with pytest.raises(UsageError, match="--from"):
        list(cases.gathered([], [], [], precedent.today()))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=5), st.booleans())
def test_any_case_survives_the_file(tmp_path_factory, steps, broken):
    path = tmp_path_factory.mktemp("p") / "p.jsonl"
    one = case(broken, *steps)
    append(path, [one])
    assert read(path).get(one.id) == one


class Puzzled:
    """A scorer that says that it cannot tell."""

    name = "puzzled"

    def score(self, policy, steps):
        return 0.01

    def assess(self, policy, steps):
        return type("Said", (), {"probability": 0.01, "unread": True})()


def test_what_the_scorer_cannot_tell_stays_untold_until_a_precedent_tells_it():
    policy = Policy(id="refunds", text=REFUNDS)
    alone = WithPrecedents(Puzzled(), store_of([]), today=lambda: date(2026, 11, 28))
    assert alone.assess(policy, BROKEN.steps).unread
    told = WithPrecedents(Puzzled(), store_of([BROKEN, KEPT]), today=lambda: date(2026, 11, 28))
    assert told.assess(policy, BROKEN.steps).precedents
    assert not told.assess(policy, BROKEN.steps).unread
