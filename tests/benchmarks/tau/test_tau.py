"""tau domains from checkouts in the layouts of tau-bench and tau2-bench: with their package, and with files only."""

import asyncio
import json
import shutil
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import graphsource, suites
from evalkit.benchmarks.intellagent import event_of
from evalkit.benchmarks.tau import checkout, live, signatures, tasks
from evalkit.benchmarks.tau.domain import loaded
from evalkit.benchmarks.tau.wording import spoken
from evalkit.benchmarks.world import World
from evalkit.core.errors import ContentError, UsageError
from evalkit.engine.check import check
from evalkit.engine.prepare import Wish, judges_of, prepare
from evalkit.engine.store import RunFolder
from tests.benchmarks.tau import checkouts as made


@pytest.fixture(autouse=True)
def _packages():
    """Packages of a checkout do not stay for the next test."""
    before, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("tau2", "tau_bench"):
            del sys.modules[name]
    sys.path[:] = path
    loaded.cache_clear()


def built(spec, **options):
    return suites.build("intellagent", {"domains": spec, **options})


def ran(out, model, spec, **fields):
    run, _ = prepare(Wish(suite="intellagent", model=model, options={"domains": spec}, out=out, **fields))
    with RunFolder.open(out, run.spec) as folder:
        return asyncio.run(run.play(folder))[0]


def verdicts(out):
    rows = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    return {(r["scenario_id"].rsplit("/", 1)[-1], r.get("epoch", 0), r["judge"]): r["outcome"] for r in rows}


@pytest.mark.parametrize(("kind", "make"), [("tau2", made.tau2), ("tau", made.tau)])
def test_with_the_package_tools_run_and_the_end_state_decides(tmp_path, kind, make):
    spec = f"{kind}:{make(tmp_path)}"
    scenarios = built(spec)
    found = {s.tags["task"]: event_of(s) for s in scenarios.read()}
    renew, twice = found.values()
    goal = [g for g in renew.checklist.goal if g.state is not None]
    assert [json.loads(g.state.equals) for g in goal] == [{"reader": "ann_1", "renewed": 1}]
    assert (renew.pressed, twice.pressed) == ((), ("library/document",))
    assert "by the package" in " ".join(scenarios.notes)
    n, findings = asyncio.run(check(scenarios, judges_of(scenarios)))
    assert (n, findings) == (2, [])


def test_tasks_that_cannot_be_played_are_counted_with_their_reason(tmp_path):
    notes = " ".join(built(f"tau2:{made.tau2(tmp_path)}").notes)
    assert "2 tasks; " in notes
    assert "1 left out: it starts from a state of its own (initial_state)" in notes
    assert "1 left out: the user has tools" in notes
    assert "1 left out: a call of its reference solution fails: renew_loan" in notes


def test_each_world_has_its_own_copy_of_the_database(tmp_path):
    domain = domains.load(f"tau2:{made.tau2(tmp_path)}")
    with World(domain) as one, World(domain) as other:
        assert one.call("renew_loan", '{"loan_id": "L1"}').ok
        bad = one.call("renew_loan", '{"loan_id": "L9"}')
        assert not bad.ok
        assert "Loan not found" in bad.content
        assert not one.call("renew_loan", '{"loan": "L1"}').ok, "arguments meet the schema"
        changed = "SELECT COUNT(*) FROM records WHERE value IS NOT initial"
        assert (one.query(changed, {}), other.query(changed, {})) == (1, 0)
        assert json.loads(other.call("get_loan", '{"loan_id": "L1"}').content)["renewed"] == 0


def test_policies_come_from_the_document_with_their_place(tmp_path):
    domain = domains.load(f"tau:{made.tau(tmp_path)}")
    quotes = [domain.text[p.source.start : p.source.end] for p in domain.policies[1:]]
    assert "A loan can be renewed only once." in quotes
    assert domain.file.now.isoformat() == "2025-02-03T09:00:00"
    assert graphsource.load(f"tau:{tmp_path}").entries


@pytest.mark.parametrize(("kind", "make"), [("tau2", made.tau2), ("tau", made.tau)])
def test_without_the_package_the_schemas_are_those_of_the_sources(tmp_path, kind, make):
    root = make(tmp_path)
    code = root / (
        "src/tau2/domains/library/environment.py" if kind == "tau2" else "tau_bench/envs/library/data/__init__.py"
    )
    code.unlink()
    found = loaded(checkout.one(f"{kind}:{root}"))
    assert found.live is None
    assert "cannot be" in found.why
    tools = {t.name: t for t in found.domain.tools}
    assert tools["renew_loan"].access == "write"
    assert tools["get_loan"].schema_of_arguments()["required"] == ["loan_id"]
    assert tools["get_loan"].arguments == {"loan_id": {"type": "string"}}
    if kind == "tau2":
        assert tools["change_city"].optional == ("city",)


def test_an_agent_without_tools_and_recordings_is_refused_with_what_to_install(tmp_path):
    spec = f"tau2:{made.tau2(tmp_path, code=False)}"
    with pytest.raises(UsageError, match=r"tau2 is not installed.*git clone .*recorded:FILE"):
        prepare(Wish(suite="intellagent", model="scripted/oracle", options={"domains": spec}))


def recorded(folder):
    """A flat folder: the policy, and recordings that also hold the tasks."""
    (folder / "library_policy.md").write_text(made.POLICY, encoding="utf-8")
    return made.recording(
        folder / "library_trajectories.jsonl", (0, 0, 1.0, made.GOOD), (1, 0, 0.0, made.WRONG), (0, 1, 0.0, made.WRONG)
    )


def test_recorded_dialogues_are_judged_without_the_package(tmp_path):
    file = recorded(tmp_path)
    document = ran(tmp_path / "run", f"recorded:{file}", f"tau:{tmp_path}", epochs=2)
    found = verdicts(tmp_path / "run")
    assert found["0", 0, "goal"] == "compliant"
    assert found["0", 0, "expectations"] == "compliant"
    assert found["1", 0, "expectations"] == "violation", "something was changed where nothing may be"
    assert found["0", 1, "goal"] == "violation"
    assert document["errors"] == {"unmatched": 1}, "task 1 has no second trial: an error, no verdict"


def test_recorded_calls_are_made_again_where_the_tools_are_there(tmp_path):
    file = recorded(tmp_path)
    root = made.tau(tmp_path / "checkout")
    shutil.copy(file, root / "library_trajectories.jsonl")
    ran(tmp_path / "run", f"recorded:{file}", f"tau:{root}")
    first = json.loads((tmp_path / "run/trajectories.jsonl").read_text().splitlines()[0])
    rows = (tmp_path / "run/trajectories.jsonl").read_text().splitlines()
    worlds = {json.loads(r)["scenario_id"]: json.loads(r)["world"] for r in rows}
    changed = worlds["tau/library/0"]["diff"]["records"]["changed"]
    assert [c["key"] for c in changed] == [{"name": "loans/L1"}]
    assert first["world"]["answers"]
    found = verdicts(tmp_path / "run")
    assert (found["0", 0, "goal"], found["1", 0, "expectations"]) == ("compliant", "violation")


def test_without_tools_recorded_answers_are_given_and_other_calls_are_no_score(tmp_path):
    recorded(tmp_path)
    domain = domains.load(f"tau:{tmp_path}")
    with World(domain) as world:
        assert json.loads(world.call("get_loan", '{"loan_id": "L1"}').content) == made.DATA["loans"]["L1"]
        error = world.call("renew_loan", '{"loan_id": "L9"}')
        assert (error.ok, error.error) == (False, "Error: loan not found")
        with pytest.raises(Exception, match="in no recording"):
            world.call("get_loan", '{"loan_id": "L5"}')
    document = ran(tmp_path / "run", "tests.benchmarks.tau.test_tau:curious", f"tau:{tmp_path}")
    assert document["errors"] == {"tool_error": 2}


def curious(messages, call):
    return str(call("get_loan", {"loan_id": "L5"}))


def test_what_is_wrong_with_a_checkout_is_said(tmp_path):
    with pytest.raises(ContentError, match=r"no folder .*sierra-research/tau2-bench"):
        checkout.find("tau2:/nowhere")
    with pytest.raises(ContentError, match="no domain in it: expected data/tau2"):
        checkout.find(f"tau2:{tmp_path}")
    made.tau2(tmp_path)
    with pytest.raises(UsageError, match="did you mean 'library'"):
        checkout.find(f"tau2:{tmp_path}#librari")
    tasks_file = tmp_path / "data/tau2/domains/library/tasks.json"
    tasks_file.write_text('[{"id": 3, "user_scenario": {"instructions": "x"}}]')
    with pytest.raises(ContentError, match=r"tasks\.json\[0\]: id: "):
        tasks.read(checkout.one(f"tau2:{tmp_path}"), Counter())
    with pytest.raises(UsageError, match="no recorded dialogues of tau-bench"):
        prepare(Wish(suite="intellagent", model=f"recorded:{tasks_file}"))


def test_tasks_in_python_are_read_and_not_run(tmp_path):
    root = made.tau(tmp_path)
    path = root / "tau_bench/envs/library/tasks_test.py"
    found = tasks.read(checkout.one(f"tau:{root}"), Counter())
    assert [t.id for t in found] == ["0", "1"]
    assert found[0].actions[0].args == {"loan_id": "L1"}
    path.write_text("import os\nTASKS = [Task(instruction=os.getcwd(), actions=[])]")
    with pytest.raises(ContentError, match=r"tasks_test\.py:2: Task\(\.\.\.\) holds more than literals"):
        tasks.read(checkout.one(f"tau:{root}"), Counter())


def test_several_domains_are_all_taken_and_one_that_cannot_be_is_named(tmp_path):
    root = made.tau2(tmp_path)
    shutil.copytree(root / "data/tau2/domains/library", root / "data/tau2/domains/empty")
    (root / "data/tau2/domains/empty/tasks.json").write_text("[]")
    scenarios = built(f"tau2:{root}")
    assert {s.tags["domain"] for s in scenarios.read()} == {"library"}
    assert any("#empty is left out" in note for note in scenarios.notes)
    with pytest.raises(UsageError, match=r"several domains; say which: .*#empty"):
        domains.load(f"tau2:{root}")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("You want to cancel reservation EHGLP3.", "I want to cancel reservation EHGLP3."),
        ("You are mia_li_3668. Your card ends in 7447.", "I am mia_li_3668. My card ends in 7447."),
        ("An agent told you that you are insured.", "An agent told me that I am insured."),
        ("You want it. If the agent refuses, you accept.", "I want it."),
        ("You are reactive to the agent.", "I am reactive to the agent."),
    ],
)
def test_instructions_are_said_in_the_first_person(told, said):
    assert spoken(told) == said


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]), st.dictionaries(st.sampled_from("xyz"), st.integers() | st.text(), max_size=3)
        ),
        max_size=6,
    )
)
def test_every_seen_call_fits_the_schema_made_of_it(calls):
    import jsonschema

    for schema in signatures.of_calls(calls):
        for name, args in calls:
            if name == schema["name"]:
                jsonschema.validate(args, schema["parameters"])


@given(
    st.dictionaries(st.text(max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=3), max_size=3)
)
def test_a_database_as_records_loses_nothing(data):
    records = live.flat(data)
    assert sum(len(entries) for entries in data.values()) == len(records) or any(
        "/" in k for c in data for k in (c, *data[c])
    )
    assert all(isinstance(json.loads(v), int) for v in records.values())


def test_references_in_schemas_are_resolved_even_where_a_type_holds_itself():
    tree = {"$defs": {"N": {"properties": {"next": {"$ref": "#/$defs/N"}}}}, "properties": {"n": {"$ref": "#/$defs/N"}}}
    assert signatures.resolved(tree) == {"properties": {"n": {"properties": {"next": {}}}}}
