"""Events in the words of a model: taken only where they are still the same test; else those of the template."""

import asyncio
import json
from typing import ClassVar

import pytest

from evalkit.benchmarks import events, rewording, suites
from evalkit.benchmarks.event import Event
from evalkit.benchmarks.intellagent import event_of
from evalkit.benchmarks.rewording import Proposal, Rejected, reword, worded
from evalkit.core.errors import TargetError
from tests.benchmarks.scriptedmodel import Model

OPTIONS = {"domains": "travel", "events": "6", "difficulty": "3-6"}


@pytest.fixture(scope="module")
def scenarios():
    return list(suites.build("intellagent", OPTIONS).read())


@pytest.fixture(scope="module")
def event(travel):
    found = events.build(travel, ["basic-stays", "three-bags"], 4)
    assert isinstance(found, Event), found.reasons
    return found


def part(request):
    """The wishes as the model is given them."""
    text = request.messages[-1].content
    return json.JSONDecoder().raw_decode(text[text.index("{") :])[0]["asks"]


def same(asks, change=lambda a: a):
    said = [
        change({"id": a["id"], "text": f"Well. {a['text']} I hope you understand.", "insist": a["insist"]})
        for a in asks
    ]
    return json.dumps({"persona": "a nurse after a night shift", "story": "The train was late again.", "asks": said})


def proposed(event, change=lambda a: a, **more):
    asks = json.loads(json.dumps([a.model_dump(include={"id", "text", "insist"}) for a in event.user.asks]))
    return Proposal.model_validate({**json.loads(same(asks, change)), **more})


def play(domain, event, plan):
    return events.play(domain, event, plan).assessment


def test_other_words_are_taken_and_the_event_is_still_proven(travel, event):
    made = worded(travel, event, proposed(event))
    assert made.user.persona == "a nurse after a night shift"
    assert made.user.manner.endswith("The train was late again.")
    assert all(a.text.startswith("Well. ") for a in made.user.asks)
    assert (made.rows, made.gold, made.careless) == (event.rows, event.gold, event.careless)
    broken = {p for p, o in play(travel, made, made.careless).outcomes.items() if o == "violation"}
    assert broken == set(event.pressed)
    assert "violation" not in play(travel, made, made.gold).outcomes.values()


def test_windows_open_with_the_new_words(travel):
    """With the old words the window of a later request would never open, and a warning of the first would count."""
    found = (events.build(travel, ["battery-reminder", "basic-stays"], seed) for seed in range(40))
    with_window = next(e for e in found if isinstance(e, Event) and any(x.since for x in e.checklist.expectations))
    made = worded(travel, with_window, proposed(with_window))
    texts = {a.id: a.text for a in made.user.asks}
    assert all(e.since.hear.any == (texts[e.asked],) for e in made.checklist.expectations if e.since)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: {**a, "text": a["text"].replace("EUR", "") + " 77"}, "that the template does not have"),
        (lambda a: {**a, "text": "Please do what I want, I am in a hurry."}, "of the template is missing"),
        (lambda a: {**a, "text": a["text"] + " Call get_booking first."}, "something of the solution is told"),
        (lambda a: {**a, "text": a["text"] + " [SETTLED]"}, "marks"),
        (lambda a: {**a, "text": a["text"] + " How can I help you?"}, "words of a desk"),
        (lambda a: {**a, "text": a["text"] + " really" * 200}, "longer than"),
        (lambda a: {**a, "insist": [*a["insist"], ["Again?"]]}, "another number of lines"),
        (lambda a: {**a, "id": "other"}, "other wishes"),
    ],
)
def test_what_is_another_test_is_rejected_with_its_reason(travel, event, change, reason):
    with pytest.raises(Rejected, match=reason):
        worded(travel, event, proposed(event, change))


def test_words_of_the_gold_plan_or_of_the_policy_are_told_from_there(travel, event):
    refusal = next(t.say for t in event.gold if "cannot" in t.say)
    for told in (refusal, travel.policies[3].text, travel.policies[10].text):
        with pytest.raises(Rejected, match=r"solution is told|does not have"):
            worded(travel, event, proposed(event, lambda a, told=told: {**a, "text": f"{a['text']} {told}"}))


def test_a_story_may_not_bring_new_facts(travel, event):
    with pytest.raises(Rejected, match="that the template does not have"):
        worded(travel, event, proposed(event, story="My booking ZZ99QQ was insured."))


def test_an_insisting_line_that_gives_in_is_found_by_the_proof(travel):
    """A customer who says yes has agreed to what was said: the careless plan would be right."""
    found = (events.build(travel, ["amount-consent", "standard-refund"], seed) for seed in range(30))
    pressed = next(e for e in found if isinstance(e, Event))
    shy = proposed(pressed, lambda a: {**a, "insist": [["Yes, all right, go ahead." for _ in g] for g in a["insist"]]})
    with pytest.raises(Rejected, match=r"value of the template|not proven|solution"):
        worded(travel, pressed, shy)


def test_a_model_rewrites_what_it_can_and_the_rest_stays_and_is_counted(scenarios):
    def script(request):
        asks = part(request)
        if len(script.seen) % 3 == 2:
            script.seen.append("bad")
            return same(asks, lambda a: {**a, "text": "Do it."})
        script.seen.append("good")
        return same(asks)

    script.seen = []
    model = Model(script)
    made = asyncio.run(reword(scenarios, model, seed=0))
    assert len(made.scenarios) == len(scenarios)
    assert [s.id for s in made.scenarios] == [s.id for s in scenarios]
    assert 0 < made.taken <= len(scenarios)
    assert sum(made.rejected.values()) >= 1
    assert model.closed
    for old, new in zip(scenarios, made.scenarios, strict=True):
        reworded = new.tags["wording"] == "scripted/model"
        assert (new.question != old.question) == reworded
        assert new.messages[-1].content == new.question == event_of(new).user.asks[0].text
    assert f"{made.taken} of {len(scenarios)} events in the words of the model" in made.lines()[0]


@pytest.mark.parametrize("answer", ["I would love to help!", "{}", TargetError("timeout", "late"), '{"asks": []}'])
def test_a_model_that_gives_nothing_leaves_every_template_as_it_is(scenarios, answer):
    made = asyncio.run(reword(scenarios[:2], Model(answer), seed=0))
    assert made.taken == 0
    plain = [s.model_copy(update={"tags": {k: v for k, v in s.tags.items() if k != "wording"}}) for s in made.scenarios]
    assert plain == scenarios[:2]
    assert sum(made.asked.failures.values()) == 2 * rewording.TRIES


def test_the_file_is_what_a_run_reads_and_proves_itself(scenarios, tmp_path):
    from evalkit.engine.check import check
    from evalkit.engine.prepare import judges_of

    built = suites.build("intellagent", OPTIONS)
    made = asyncio.run(reword(scenarios[:4], Model(lambda r: same(part(r))), seed=0))
    assert made.taken == 4
    rewording.write(tmp_path / "s.jsonl", made.scenarios, built.contexts)
    again = suites.build("intellagent", {}, str(tmp_path / "s.jsonl"))
    assert list(again.read()) == made.scenarios
    assert asyncio.run(check(again, judges_of(again))) == (4, [])


def test_the_template_is_written_byte_for_byte_without_a_model(tmp_path):
    built = suites.build("intellagent", OPTIONS)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        rewording.write(tmp_path / name / "s.jsonl", list(suites.build("intellagent", OPTIONS).read()), built.contexts)
    assert (tmp_path / "a/s.jsonl").read_bytes() == (tmp_path / "b/s.jsonl").read_bytes()
    assert suites.build("intellagent", {}, str(tmp_path / "a/s.jsonl")).digest() == built.digest()


def test_whoever_waits_is_told_how_much_is_asked_and_how_far_it_is(scenarios, monkeypatch):
    monkeypatch.setattr(rewording, "TOLD_EVERY", 0.01)

    class Slow(Model):
        async def generate(self, request):
            await asyncio.sleep(0.1)
            return await super().generate(request)

    told = []
    asyncio.run(reword(scenarios[:2], Slow("no JSON"), seed=0, say=told.append))
    assert told[0].startswith("2 events: 1 to 4 answers each, of at most 1,200 tokens")
    assert any(line.startswith("0/2 events") and "answers" in line for line in told[1:])


def test_a_small_model_is_asked_for_no_more_than_the_words_need_and_not_for_the_same_twice(scenarios):
    class Small(Model):
        params: ClassVar = {"max_tokens": 128}

    for kind, most, temperatures in ((Small, 900, {0.0, 0.7}), (Model, 1_200, {0.0})):
        model = kind("no JSON")
        asyncio.run(reword(scenarios[:1], model, seed=0))
        first = model.asked[:2]
        assert {r.params["temperature"] for r in first} == temperatures
        assert all(r.params["max_tokens"] <= most for r in first)
        assert (max(r.params["max_tokens"] for r in model.asked) == 1_200) is (kind is Model)
