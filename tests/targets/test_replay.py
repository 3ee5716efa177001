"""Replay: our own trajectories and CoPriva's released files, matched to scenarios; nothing unmatched goes unnamed."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import ContentError, TargetError, UsageError
from evalkit.core.types import (
    Fact,
    Failure,
    Message,
    Request,
    Scenario,
    TargetOptions,
    ToolCall,
    Trajectory,
    Usage,
)
from evalkit.targets import replay

OUTPUTS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "copriva" / "outputs"


def make(path):
    return replay.make(str(path), TargetOptions())


OPENING = (Message(role="user", content="Q"),)


def scenario(id_="s1", attack="direct", messages=OPENING, **tags):
    secrets = (Fact(id="f", kind="summary", about="A", text=tags.pop("text", "The pier moves."), ask="?"),)
    return Scenario(
        id=id_, suite="copriva", family="m", attack=attack, policies=(), messages=messages, secrets=secrets, tags=tags
    )


def published(attack="direct", meeting="Bmr003", targets="Pier | Paint", asked="Pier", query="What now?", **more):
    return scenario(
        f"{meeting}/{attack}/{asked}/{query}",
        attack,
        meeting=meeting,
        targets=targets,
        asked=asked,
        query=query,
        **more,
    )


def row(meeting="Bmr003", targets=("Pier", "Paint"), attack="direct", query=None, output="No comment.", **more):
    return {
        "model_name": "acme/large",
        "manuscript_file_name": meeting,
        "confidential_targets": [
            {"target": t, "discussion_summary": more.pop("text", "The pier moves.")} for t in targets
        ],
        "non_confidential_targets": [{"target": "Other", "discussion_summary": "x"}],
        "attack_type": attack,
        "query": query or f"What are the details of {targets[0]}?",
        "model_output": output,
        "is_leakage": False,
    }


@pytest.fixture
def results(tmp_path):
    def write(*rows):
        path = tmp_path / "acme_large_results.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        return make(path)

    return write


@pytest.fixture
def recorded(tmp_path):
    def write(*trajectories, end="\n"):
        path = tmp_path / "trajectories.jsonl"
        path.write_text("\n".join(t.model_dump_json() for t in trajectories) + end, encoding="utf-8")
        return make(path)

    return write


def said(*contents, **more):
    return Trajectory(
        scenario_id=more.pop("id_", "s1"),
        target="t",
        messages=tuple(Message(role="assistant", content=c) for c in contents),
        **more,
    )


async def ask(target, scenario_, epoch=0, messages=()):
    return await target.generate(Request((*scenario_.messages, *messages), epoch=epoch, scenario=scenario_))


async def failing(target, scenario_, **more):
    with pytest.raises(TargetError) as e:
        await ask(target, scenario_, **more)
    return e.value


# --- our own trajectories


async def test_our_own_answers_come_back_whole(recorded):
    usage = Usage(prompt_tokens=7, completion_tokens=3, cost=0.01)
    reply = await ask(
        recorded(said("Hello", stop="length", usage=usage, model="m-1", reasoning="hm", latency_s=0.5)), scenario()
    )
    assert (reply.text, reply.stop, reply.usage, reply.model, reply.reasoning, reply.latency_s) == (
        "Hello", "length", usage, "m-1", "hm", 0.5)  # fmt: skip


async def test_answers_are_matched_by_scenario_and_epoch(recorded):
    target = recorded(said("zero"), said("one", epoch=1), said("other", id_="s2"))
    assert (await ask(target, scenario(), epoch=1)).text == "one"
    assert (await ask(target, scenario("s2"))).text == "other"
    assert (await failing(target, scenario("s2"), epoch=1)).kind == "unmatched"
    error = await failing(target, scenario("s3"))
    assert error.kind == "unmatched"
    assert "s3" in error.message


async def test_a_recorded_failure_is_the_same_failure_again(recorded):
    target = recorded(
        Trajectory(scenario_id="s1", target="t", failure=Failure(kind="rate_limit", message="429 to the end")),
        said("half an ans", id_="s2", stop="length", failure=Failure(kind="truncated", message="cut")),
    )
    error = await failing(target, scenario())
    assert (error.kind, error.message) == ("rate_limit", "429 to the end")
    assert (await failing(target, scenario("s2"))).kind == "truncated"


async def test_an_empty_record_is_an_error_and_never_a_pass(recorded):
    target = recorded(said("  \n"), Trajectory(scenario_id="s2", target="t"))
    assert (await failing(target, scenario())).kind == "empty"
    assert (await failing(target, scenario("s2"))).kind == "empty"


async def test_a_tool_call_is_an_answer(recorded):
    call = ToolCall(id="c", name="lookup", arguments="{}")
    message = Message(role="assistant", tool_calls=(call,))
    target = recorded(Trajectory(scenario_id="s1", target="t", messages=(message,), stop="tool_calls"))
    reply = await ask(target, scenario())
    assert (reply.tool_calls, reply.stop) == ((call,), "tool_calls")


async def test_a_dialogue_is_replayed_turn_by_turn(recorded):
    usage = Usage(prompt_tokens=9)
    target = recorded(said("first", "second", usage=usage))
    opening = (Message(role="assistant", content="Welcome"), Message(role="user", content="Q"))
    test = scenario(messages=opening)
    first = await ask(target, test)
    more = (Message(role="assistant", content=first.text), Message(role="user", content="And?"))
    second = await ask(target, test, messages=more)
    assert (first.text, first.usage, second.text, second.usage) == ("first", Usage(), "second", usage)
    assert (await failing(target, test, messages=(*more, *more))).kind == "unmatched"


async def test_the_last_of_repeated_lines_counts(recorded):
    target = recorded(
        Trajectory(scenario_id="s1", target="t", failure=Failure(kind="timeout", message="")), said("yes"), said("yes")
    )
    assert (await ask(target, scenario())).text == "yes"
    assert list(target.select([scenario()])) == [scenario()]
    assert any("2 rows repeat an earlier one (1 with another answer)" in line for line in target.report())


async def test_a_torn_last_line_is_left_out_with_a_word(recorded):
    target = recorded(said("yes"), said("no", id_="s2"), end='\n{"scenario_id": "s3", "tar')
    assert [s.id for s in target.select([scenario("s1"), scenario("s2"), scenario("s3")])] == ["s1", "s2"]
    assert any("cut off" in line for line in target.report())


async def test_the_folder_of_a_run_is_read_with_all_its_shards(tmp_path):
    for shard, id_ in (("-a", "s1"), ("-b", "s2"), ("", "s3")):
        (tmp_path / f"trajectories{shard}.jsonl").write_text(said(id_, id_=id_).model_dump_json() + "\n")
    target = make(tmp_path)
    assert target.name == f"replay/{tmp_path.name}"
    assert [(await ask(target, scenario(i))).text for i in ("s1", "s2", "s3")] == ["s1", "s2", "s3"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.text(min_size=1).filter(str.strip))))
async def test_every_scenario_gets_its_last_recorded_text(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("r") / "trajectories.jsonl"
    rows = [said(text, id_=i, epoch=e) for i, e, text in lines]
    path.write_text("".join(t.model_dump_json() + "\n" for t in rows), encoding="utf-8")
    if not rows:
        with pytest.raises(ContentError, match="no recorded answers"):
            make(path)
        return
    target = make(path)
    expected = {(i, e): text for i, e, text in lines}
    for (i, e), text in expected.items():
        assert (await ask(target, scenario(i), epoch=e)).text == text
    known = {i for i, _ in expected}
    assert [s.id for s in target.select(map(scenario, "abcd"))] == sorted(known)
    assert target.report()[1] == "0 recorded answers match no scenario"


# --- CoPriva's released files


async def test_released_answers_are_matched_by_what_was_asked(results):
    target = results(
        row(output="direct to pier"),
        row(targets=("Other",), output="direct to the other half"),
        row(attack="indirect", query="What now?", output="broad"),
        row(meeting="Bmr004", output="another meeting"),
    )
    assert (await ask(target, published())).text == "direct to pier"
    assert (await ask(target, published())).model == "acme/large"
    assert (await ask(target, published(targets="Other", asked="Other"))).text == "direct to the other half"
    assert (await ask(target, published("indirect"))).text == "broad"
    assert (await ask(target, published(meeting="Bmr004"))).text == "another meeting"


@pytest.mark.parametrize(
    "other",
    [
        published(asked="Paint"),  # theirs ask for the first fact of a half only
        published("benign"),
        published("multi_turn"),
        published(targets="Paint | Pier"),
        published("indirect", query="What else?"),
        published(meeting="Bmr005"),
        scenario("bundled", asked="Pier"),
    ],
    ids=lambda s: s.id,
)
async def test_what_they_never_asked_is_unmatched(results, other):
    target = results(row(), row(attack="indirect", query="What now?"))
    assert (await failing(target, other)).kind == "unmatched"
    assert list(target.select([other])) == []


async def test_a_second_epoch_is_not_the_first_one_counted_twice(results):
    assert (await failing(results(row()), published(), epoch=1)).kind == "unmatched"


@pytest.mark.parametrize("output", [None, "", " \n"])
async def test_a_null_or_empty_output_is_an_error_and_never_a_pass(results, output):
    target = results(row(output=output))
    assert (await failing(target, published())).kind == "empty"
    assert list(target.select([published()])) == [published()]  # it stays, so that the error is counted
    assert any("1 recorded answers are empty" in line for line in target.report())


async def test_white_space_does_not_hide_a_match(results):
    target = results(row(attack="indirect", query="What  now? "))
    assert (await ask(target, published("indirect"))).text == "No comment."


async def test_two_rows_with_one_key_are_told_apart_by_the_text_of_the_fact(results):
    target = results(row(text="First.", output="one"), row(text="Second.", output="two"))
    assert (await ask(target, published(text="Second."))).text == "two"
    assert (await ask(target, published(text="First."))).text == "one"
    assert (await failing(target, published(text="Third."))).kind == "unmatched"


async def test_rows_without_a_scenario_are_counted_and_named_within_bounds(results):
    target = results(row(), *(row(meeting=f"M{i}") for i in range(25)), row())
    assert list(target.select([published(), published("benign")])) == [published()]
    report = target.report()
    assert "27 rows; 1 answers for 1 of 2 scenarios" in report[0]
    assert report[1].startswith("25 recorded answers match no scenario: row 1 (M0, direct, 'Pier')")
    assert report[1].endswith("; and 15 more")
    assert report[1].count("row ") == replay.NAMED
    assert report[2] == "1 rows repeat an earlier one (0 with another answer); the last counts"


async def test_select_starts_afresh_each_time(results):
    target = results(row())
    list(target.select([published()]))
    assert list(target.select([published("benign")])) == []
    assert target.report()[1].startswith("1 recorded answers match no scenario")


async def test_another_file_makes_another_run(results):
    assert results(row()).params != results(row(output="Else.")).params
    assert results(row()).name == "replay/acme_large_results"


async def test_without_a_scenario_there_is_no_answer(results):
    with pytest.raises(TargetError) as e:
        await results(row()).generate(Request((Message(role="user", content="hi"),)))
    assert e.value.kind == "unmatched"


# --- bad files


def without(key):
    broken = row()
    del broken[key]
    return broken


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no recorded answers"]),
        ("[]", ["no recorded answers"]),
        ("hello", ["neither JSON"]),
        ("[{]", [":1: not JSON"]),
        ("[1]", ["row 0"]),
        (json.dumps([row(), without("query")]), ["row 1", "query: Field required"]),
        (json.dumps([row(), {**row(), "attack_type": "odd"}]), ["row 1", "attack_type"]),
        (json.dumps([{**row(), "confidential_targets": []}]), ["row 0", "confidential_targets"]),
        (json.dumps([{**row(), "model_output": 3}]), ["row 0", "model_output"]),
        (said("x").model_dump_json() + '\n{"a": 1}\n', [":2: ", "scenario_id: Field required"]),
        (said("x").model_dump_json() + "\n{\n", [":2: "]),
        (json.dumps({"manuscript_file_name": "a"}), [":1: ", "trajectories.jsonl"]),
    ],
)
def test_a_bad_file_is_named_with_the_place(tmp_path, text, words):
    path = tmp_path / "answers.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContentError, match=r"answers\.json") as e:
        make(path)
    assert all(w in str(e.value) for w in words), str(e.value)
    assert "\n" not in str(e.value)


def test_a_missing_file_an_empty_folder_and_no_file_at_all(tmp_path):
    with pytest.raises(ContentError, match="nowhere"):
        make(tmp_path / "nowhere.json")
    with pytest.raises(ContentError, match=r"no trajectories\.jsonl in this folder"):
        make(tmp_path)
    with pytest.raises(UsageError, match="replay:FILE"):
        replay.make("", TargetOptions())


# --- the released files, with scenarios made from the data themselves


@pytest.mark.parametrize("attack", ["direct", "indirect"])
async def test_every_released_row_finds_its_scenario(attack):
    files = [p for p in OUTPUTS.glob("*_results.json") if ("indirect" in p.name) == (attack == "indirect")]
    data = OUTPUTS.parent / "data"
    if not files or not data.is_dir():
        pytest.skip(f"the released answers are not at {OUTPUTS}")
    made = [s for path in sorted(data.glob("*.json")) for s in from_meeting(path)]
    target = make(files[0])
    chosen = list(target.select(made))
    assert len(chosen) == 434
    assert target.report()[1] == "0 recorded answers match no scenario"
    rows = {(r["manuscript_file_name"], r["confidential_targets"][0]["discussion_summary"], r["query"].strip()): r
            for r in json.loads(files[0].read_text(encoding="utf-8"))}  # fmt: skip
    empty = 0
    for s in chosen:
        asked = f"What are the details of {s.tags['asked']}?" if attack == "direct" else s.tags["query"].strip()
        text = rows[s.tags["meeting"], s.secrets[0].text, asked]["model_output"]
        if text.strip():
            assert (await ask(target, s)).text == text
        else:
            empty += 1
            assert (await failing(target, s)).kind == "empty"
    assert empty == {"direct": 9, "indirect": 2}[attack]


def from_meeting(path):
    for q in json.loads(path.read_text(encoding="utf-8"))["specific_query_list"]:
        for half in ("policy_targets_group1", "policy_targets_group2"):
            names = " | ".join(t["target"] for t in q[half])
            for attack in ("direct", "indirect", "benign"):
                for t in q[half] if attack == "direct" else q[half][:1]:
                    yield published(
                        attack, path.stem, names, t["target"], q["query"].strip(), text=t["discussion_summary"]
                    )
