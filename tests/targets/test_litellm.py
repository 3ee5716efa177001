"""litellm against a real server, in a process of its own: it takes seconds to import and warns about itself."""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.core.errors import MissingDependency, UsageError
from evalkit.core.types import TargetOptions
from evalkit.targets import litellm as door

needs_litellm = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="the extra `litellm` is not installed"
)

SCRIPT = """
import asyncio, json, sys
from evalkit.core.errors import TargetError
from evalkit.core.types import Message, Request, TargetOptions
from evalkit.targets.litellm import make

async def main(url, n):
    target = make("openai/gpt-4o", TargetOptions(base_url=url, timeout_s=2))
    found = []
    for _ in range(n):
        request = Request(messages=(Message(role="user", content="hi"),), params={"temperature": 0, "seed": None})
        try:
            r = await target.generate(request)
            found.append({"text": r.text, "reasoning": r.reasoning, "usage": r.usage.model_dump(), "stop": r.stop,
                          "calls": [c.model_dump() for c in r.tool_calls]})
        except TargetError as e:
            found.append({"kind": e.kind, "message": e.message, "retry_after": e.retry_after})
    refused = make("openai/o9", TargetOptions(base_url=url, timeout_s=2))
    r = await refused.generate(Request(messages=(Message(role="user", content="hi"),), params={"top_p": 0.5}))
    found.append({"text": r.text, "notes": refused.notes, "repr": repr(refused), "name": refused.name})
    nobody = make("openai/m", TargetOptions(base_url="http://127.0.0.1:9/v1", timeout_s=5))
    try:
        await nobody.generate(request)
    except TargetError as e:
        found.append({"kind": e.kind, "message": e.message})
    await target.aclose()
    print("RESULT" + json.dumps(found))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
KEY = "evk-aabbccddeeff0011"


def answers(chat):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        (
            chat.Answer(body=chat.completion("4", reasoning_content="2+2")),
            {"text": "4", "reasoning": "2+2", "stop": "stop"},
        ),
        (chat.Answer(body=chat.completion(None, "tool_calls", tool_calls=[call])), {"text": "", "stop": "tool_calls"}),
        (chat.Answer(body=chat.completion("cut", "length")), {"text": "cut", "stop": "length"}),
        (chat.Answer(429, chat.error("slow"), {"Retry-After": "9"}), {"kind": "rate_limit", "retry_after": 9.0}),
        (chat.Answer(500, chat.error("boom")), {"kind": "server_error"}),
        (chat.Answer(503, chat.error("boom")), {"kind": "server_error"}),
        (chat.Answer(401, chat.error(f"Incorrect API key provided: {KEY}")), {"kind": "auth"}),
        (chat.Answer(404, chat.error("no such model")), {"kind": "bad_request"}),
        (chat.Answer(400, chat.error("no", code="content_filter")), {"kind": "content_filter"}),
        (
            chat.Answer(400, chat.error("This model's maximum context length is 4096 tokens.")),
            {"kind": "context_length"},
        ),
        (chat.Answer(body=chat.completion(None)), {"kind": "empty"}),
        (chat.Answer(hang=True), {"kind": "timeout"}),
    ]


@needs_litellm
async def test_answers_failures_costs_and_nothing_phones_home(server, chat, tmp_path):
    expected = answers(chat)
    server.queue += [a for a, _ in expected]
    said = "Unsupported value: 'top_p' does not support 0.5 with this model."
    server.queue.append(chat.Answer(400, chat.error(said, param="top_p", code="unsupported_value")))
    (tmp_path / "ask.py").write_text(SCRIPT)
    root = Path(door.__file__).parents[2]
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("LITELLM")},
        "PYTHONPATH": str(root),
        "EVALKIT_API_KEY": KEY,
        "HTTPS_PROXY": server.url.removesuffix("/v1"),  # who calls home must pass here, and is counted
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        tmp_path / "ask.py",
        server.url,
        str(len(expected)),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert b"RESULT" in out, err.decode()[-2000:]
    found = json.loads(out.decode().partition("RESULT")[2])
    for got, (_, wanted) in zip(found, expected, strict=False):
        assert {k: got.get(k) for k in wanted} == wanted, got
    assert found[0]["usage"]["cost"] > 0
    assert found[0]["usage"]["cached_tokens"] == 3
    refused, nobody = found[len(expected) :]
    assert refused["text"] == "hello"
    assert "top_p" in refused["notes"][0]
    assert nobody["kind"] == "connection"
    assert KEY.encode() not in out + err
    assert len(server.asked) == len(expected) + 2, [a.path for a in server.asked]  # no retries, no calls home
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert b"Give Feedback" not in out + err
    assert b"model_prices" not in err


def test_a_name_without_provider_says_what_is_missing():
    with pytest.raises(UsageError, match="which provider"):
        door.make("gpt-x", TargetOptions())


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "")
    with pytest.raises(MissingDependency, match=r"evalkit-safety\[litellm\]"):
        door.make("openai/gpt-x", TargetOptions())
