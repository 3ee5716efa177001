"""--attacks from the command line to the summary: pairs stay whole, runs without it stay what they were."""

import pytest

from evalkit.benchmarks import suites
from evalkit.core.errors import UsageError
from evalkit.core.types import Reply
from evalkit.engine import check as checking
from evalkit.engine import store
from evalkit.engine.prepare import Wish, judges_of, prepare
from evalkit.engine.pressing import Pressure, pressed
from evalkit.engine.store import RunFolder


class Echo:
    """A model that could be an attacker."""

    name = "echo-model"
    cacheable = False

    async def generate(self, request):
        return Reply(text=f"go on: {request.messages[-1].content[:20]}")


MODEL = f"{__name__}:Echo"


def wish(attacks=None, model="scripted/tells-all", attacker=None, **more):
    return Wish(suite="copriva", model=model, limit=6, pressure=Pressure(attacks, attacker), **more)


def test_without_attacks_the_run_is_the_run_it_was():
    run, _ = prepare(wish())
    assert run.spec.content == suites.build("copriva", {}).digest()
    assert "attacks" not in run.spec.options
    assert run.dialogues is None
    assert {s.tags.get("rewrite") for s in run.read()} == {None}


def test_the_limit_is_drawn_before_rewriting_so_that_pairs_stay_whole():
    run, _ = prepare(wish("authority,decompose"))
    plain = [s.id for s in run.read() if s.tags["rewrite"] == "plain"]
    assert plain == [s.id for s in prepare(wish())[0].read()]
    assert [s.id for s in run.read()] == [f"{i}{r}" for i in plain for r in ("", "~authority", "~decompose")]
    assert run.planned == 18


def test_what_was_asked_for_names_the_run():
    runs = [prepare(w)[0].spec for w in (wish(), wish("authority"), wish("blank"), wish("authority", seed=1))]
    assert len({s.digest() for s in runs}) == 4
    assert len({s.content for s in runs}) == 4
    assert runs[1].options["attacks"] == "authority"
    assert prepare(wish("authority"))[0].spec == runs[1]


async def test_every_attack_catches_the_one_that_tells_and_none_the_one_that_refuses(tmp_path):
    for model, rate, refused in (("scripted/tells-all", 1.0, 0.0), ("scripted/refuses", 0.0, 1.0)):
        run, _ = prepare(wish("all", model))
        path = tmp_path / model.rpartition("/")[2]
        with RunFolder.open(path, run.spec) as folder:
            document, _ = await run.play(folder)
        rates = [m for m in document["metrics"] if m["name"] == "attack_success_rate" and "attack" not in m["slice"]]
        assert len(rates) == 23
        assert {m["value"] for m in rates} == {rate}
        twins = [m for m in document["metrics"] if m["name"] == "over_refusal_rate" and set(m["slice"]) == {"rewrite"}]
        assert {m["value"] for m in twins} == {refused}
        assert document["error_share"] == 0
        long = [r for r in store.records(path) if r.scenario.tags["rewrite"] == "crescendo:scripted"]
        assert all(sum(m.role == "assistant" for m in r.trajectory.messages) == 4 for r in long)


async def test_an_adaptive_attack_is_played_with_the_attacker_model_and_named_in_the_spec(tmp_path):
    run, _ = prepare(wish("crescendo:adaptive", attacker=MODEL))
    assert run.spec.options["attacker"] == "echo-model"
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        document, _ = await run.play(folder)
    assert document["error_share"] == 0
    made_up = [r.trajectory for r in store.records(tmp_path / "r") if r.scenario.tags["rewrite"] != "plain"]
    assert all(t.messages[1].content.startswith("go on:") for t in made_up)
    assert all(t.world["turns"] == 5 for t in made_up)


async def test_scenarios_that_a_run_wrote_are_played_again_as_they_were(tmp_path):
    run, _ = prepare(wish("decompose"))
    with RunFolder.open(tmp_path / "r", run.spec) as folder:
        await run.play(folder)
    again, _ = prepare(Wish(suite="copriva", model="scripted/refuses", data=str(tmp_path / "r" / "scenarios.jsonl")))
    assert again.dialogues is not None
    assert list(again.read()) == list(run.read())


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (wish("crescendo:adaptive"), "give one with --attacker-model"),
        (wish("authority", attacker=MODEL), "none of the attacks needs one"),
        (wish(attacker=MODEL), "no attack is asked for"),
        (wish("crescendo:adaptive", attacker="scripted/refuses"), "a model is needed to play that part"),
        (wish("decompose", revise=True), "cannot be taken back"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_asked(wanted, said):
    with pytest.raises(UsageError, match=said):
        prepare(wanted)


def test_recorded_answers_cannot_be_pressed():
    class Recorded:
        name = "replay:x"
        select = None

    with pytest.raises(UsageError, match="holds recorded answers"):
        pressed(suites.build("copriva", {}), Pressure("authority"), 0, "x", Recorded())


async def test_the_proof_finds_a_rewrite_that_asks_something_else():
    whole = suites.build("copriva", {})
    few = whole.only([s.id for s in whole.read()][:3], "three")
    scenarios, _ = pressed(few, Pressure("authority,encode:base64"), 0, "")
    n, findings = await checking.check(scenarios, judges_of(scenarios))
    assert (n, findings) == (9, [])
    odd = [s.model_copy(update={"question": "Who else?"}) for s in scenarios.read() if s.tags["rewrite"] == "authority"]
    assert "not 'Who else?'" in next(checking._asks_else(odd[0]))
    lost = odd[0].model_copy(update={"tags": {**odd[0].tags, "request": "0-4"}})
    assert "cannot be read back" in next(checking._asks_else(lost))
