"""The self-test of a guard: it passes where every hook runs on every route, and names what was left out."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.guardrails import proxy
from evalkit.guardrails.places import PLACES
from evalkit.guardrails.policyset import GuardPolicy, Settings
from evalkit.guardrails.proxy import Serving, make_app
from evalkit.guardrails.selftest import ROUTES, fire
from evalkit.guardrails.streaming import Stream
from tests.guardrails.guarding import LIMIT, MAGIC, POLITE, Raises, Words, guard

EVERYWHERE = ("input", "output", "tool_call", "tool_result")
ROOT = Path(__file__).resolve().parents[2]


def app(g, upstream):
    return make_app(g, upstream, Serving())


def wrongs(shots):
    return {(s.route, s.hook) if not s.place else (s.route, s.place): s.wrong for s in shots if s.wrong}


async def test_a_guard_that_runs_everywhere_passes():
    policies = [MAGIC, LIMIT, POLITE.model_copy(update={"hooks": EVERYWHERE, "action": "revise"})]
    shots = await fire(guard(*policies, scorer=Words({})), app)
    assert len(shots) == len(ROUTES) * 4 + sum(len(p.routes) for p in PLACES)
    assert wrongs(shots) == {}
    assert [s.place for s in shots if s.unread] == [p.name for p in PLACES if not p.read]


async def test_in_shadow_and_sampled_it_is_tested_all_the_same():
    sampled = MAGIC.model_copy(update={"streaming": "sampled"})
    assert wrongs(await fire(guard(sampled, settings=Settings(shadow=True)), app)) == {}


async def test_policies_for_some_tools_get_a_call_of_such_a_tool():
    mails = GuardPolicy(id="mails", text="x", rule={"forbid": {"call": "send_*", "where": {"a": 1}}}, tools=("send_*",))
    assert wrongs(await fire(guard(mails.model_copy(update={"hooks": ("tool_call",)})), app)) == {}


async def test_a_stream_that_goes_past_the_guard_is_caught(monkeypatch):
    async def bare(self, answer):
        async for part in answer.parts():
            yield part

    monkeypatch.setattr(Stream, "events", bare)
    found = wrongs(await fire(guard(MAGIC, scorer=None), app))
    assert {route for route, _ in found} == {"stream", "stream, two choices"}
    assert found["stream", "output"] == ("the canary reached the client", "policy 'magic' was not asked")


async def test_an_input_that_nobody_looks_at_is_caught(monkeypatch):
    async def unchecked(self, ask):
        session = self.guard.start(ask.trace)
        return proxy.Opened(ask, session)

    policy = POLITE.model_copy(update={"hooks": ("input", "tool_result")})
    monkeypatch.setattr(proxy.Inputs, "open", unchecked)
    found = wrongs(await fire(guard(policy, scorer=Words({})), app))
    assert len(found) == len(ROUTES) * 2 + 2 * sum(p.read for p in PLACES)
    assert found["chat", "input"] == ("the canary reached the model", "policy 'polite' was not asked")


async def test_one_policy_that_is_never_asked_is_named():
    g = guard(MAGIC, POLITE, scorer=Words({}))

    def forgetful(watched, upstream):
        watched._slow["output"] = ()
        return app(watched, upstream)

    found = wrongs(await fire(g, forgetful))
    assert found["chat", "output"] == ("policy 'polite' was not asked",)
    assert ("chat", "tool_call") not in found


async def test_a_scorer_that_cannot_answer_is_told():
    found = wrongs(await fire(guard(POLITE, scorer=Raises()), app))
    assert "policy 'polite' could not be checked: RuntimeError" in found["chat", "output"][0]


POLICIES = """\
policies:
  - {id: no-codename, text: Never say it., rule: {forbid: {say: "*", matches: bluebird, by: assistant}}}
  - {id: verify, text: Verify first., rule: {require: {call: verify}, before: {call: refund}}}
"""


def run(arguments, capsys):
    with pytest.raises(SystemExit) as done:
        main(arguments)
    printed = capsys.readouterr()
    return done.value.code, printed.out, printed.err


@pytest.fixture
def policies(tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES)
    return str(path)


def test_the_command_prints_each_canary_and_fails_where_one_was_not_caught(policies, capsys, monkeypatch):
    code, out, _ = run(["guard", "selftest", "--policies", policies, "--json"], capsys)
    document = json.loads(out)
    assert code == 0
    assert len(document["shots"]) == 8
    assert document["hooks_without_policy"] == ["input", "tool_result"]

    async def bare(self, answer):
        async for part in answer.parts():
            yield part

    monkeypatch.setattr(Stream, "events", bare)
    code, out, _ = run(["guard", "selftest", "--policies", policies], capsys)
    assert code == 1
    assert "WRONG  stream               output       the canary reached the client" in out
    assert "none   no policy looks at input" in out


def test_all_policies_that_an_event_breaks_are_told(tmp_path, capsys):
    policies = tmp_path / "policies.yaml"
    rules = {
        "first": {"require": {"call": "verify"}, "before": {"call": "refund"}},
        "never": {"forbid": {"call": "refund"}},
    }
    policies.write_text(json.dumps({"policies": [{"id": k, "text": k, "rule": v} for k, v in rules.items()]}))
    calls = [{"id": "1", "function": {"name": "refund", "arguments": "{}"}}]
    path = tmp_path / "dialogue.json"
    path.write_text(json.dumps([{"role": "assistant", "tool_calls": calls}]))
    _, out, _ = run(["guard", "check", str(path), "--policies", str(policies)], capsys)
    first, second = out.splitlines()
    assert "'first'" in first
    assert second.split()[:3] == ["also", "block", "never:"]


def test_a_dialogue_is_checked_message_by_message(policies, tmp_path, capsys):
    dialogue = [
        {"role": "user", "content": "refund"},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "refund", "arguments": "{}"}}]},
        {"role": "assistant", "content": "It is bluebird."},
    ]
    path = tmp_path / "dialogue.json"
    path.write_text(json.dumps(dialogue))
    code, out, _ = run(["guard", "check", str(path), "--policies", policies], capsys)
    assert code == 1
    assert [line.split()[2] for line in out.splitlines()] == ["allow", "block", "block"]
    assert all(line.split()[4] == "ms" and float(line.split()[3]) > 0 for line in out.splitlines())
    code, out, _ = run(["guard", "check", str(path), "--policies", policies, "--json"], capsys)
    assert [row["policy"] for row in json.loads(out)] == [None, "verify", "no-codename"]
    path.write_text(json.dumps({"model": "m", "messages": dialogue}))
    assert run(["guard", "check", str(path), "--policies", policies, "--json"], capsys)[0] == 1
    path.write_text('[{"role": "wizard"}]')
    code, _, err = run(["guard", "check", str(path), "--policies", policies], capsys)
    assert code == 2
    assert "dialogue.json[0]: role 'wizard': a message has a role (system, user, assistant, tool)" in err
    path.write_text("[]")
    code, _, err = run(["guard", "check", str(path), "--policies", policies], capsys)
    assert (code, "dialogue.json: no messages in it" in err) == (2, True)
    path.write_text('{"message": []}')
    code, _, err = run(["guard", "check", str(path), "--policies", policies], capsys)
    assert code == 2
    assert "dialogue.json: a list of chat-completions messages" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "nope.yaml"], "--policies nope.yaml: no such file (a suite's policies are suite:NAME)"),
        (["--policies", "suite:nope"], "no suite 'nope'"),
        (["--guardrail", "nope"], "no guardrail 'nope'"),
        (["--upstream", "ftp://x"], "is not the address of a server"),
        (["--upstream", "http://me:key@x"], "no credentials in the address"),
        (["--through", "/v1/chat/completions"], "a path under /v1 that is not guarded"),
        (["--through", "/v1/{all:path}"], "a path under /v1 that is not guarded"),
        (["--through", "/v1/../v1/chat/completions"], "a path under /v1 that is not guarded"),
        (["--through", "/v1//chat/completions"], "a path under /v1 that is not guarded"),
        (["--through", "/v1/Chat/completions"], "a path under /v1 that is not guarded"),
        (["--through", "/v1/"], "a path under /v1 that is not guarded"),
        (["--host", "256.0.0.1", "--port", "1"], "cannot listen on 256.0.0.1:1"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, message, policies, capsys):
    base = {"--policies": policies, "--upstream": "http://127.0.0.1:1/v1", "--port": "0"}
    given = [
        a
        for pair in {**base, **dict([arguments[i : i + 2] for i in range(0, len(arguments), 2)])}.items()
        for a in pair
    ]
    code, _, err = run(["serve", *given], capsys)
    assert code == 2
    assert message in err


def test_clients_may_not_have_the_key_of_those_who_approve_their_calls(policies, capsys, monkeypatch):
    monkeypatch.setenv("EVALKIT_SERVE_KEY", "sk-one-for-all")
    monkeypatch.setenv("EVALKIT_APPROVAL_KEY", "sk-one-for-all")
    code, _, err = run(["serve", "--policies", policies, "--port", "0"], capsys)
    assert code == 2
    assert "EVALKIT_APPROVAL_KEY is the key of the clients" in err
    assert "sk-one" not in err


async def test_serve_serves_and_says_what_it_guards(policies, tmp_path):
    log = tmp_path / "decisions.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evalkit", "serve", "--policies", policies, "--upstream", "http://127.0.0.1:9/v1",
        "--port", "0", "--log", str(log), "--through", "/v1/embeddings", cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        import aiohttp

        async with aiohttp.ClientSession() as http, http.get(url.removesuffix("/v1") + "/healthz") as response:
            health = await response.json()
    finally:
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 60)
    assert health["policies"] == 2
    assert b"guard rules: 2 policies (2 formal rules)" in err
    assert b"UNGUARDED: /v1/embeddings goes through" in err
    assert b"Traceback" not in err
