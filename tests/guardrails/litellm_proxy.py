"""Run by test_litellm_proxy.py in a process of its own: litellm's real proxy with our guard inside it and beside it.

Prints one JSON document: what each request came to. Exit code 77 where the proxy cannot be imported.
"""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_TELEMETRY="False", LITELLM_LOG="CRITICAL")
sys.path += [p for p in os.environ.get("EVALKIT_LITELLM_PROXY", "").split(os.pathsep) if p]

try:
    import httpx
    import uvicorn
    from aiohttp import web
    from litellm.proxy import proxy_server
except ImportError as e:
    print(f"{type(e).__name__}: {e}")
    sys.exit(77)

from evalkit.guardrails.generic import Endpoint
from evalkit.guardrails.named import make_guard
from evalkit.guardrails.policyset import load

POLICIES = """
policies:
  - {id: word, text: Never say the word., hooks: [input, output], rule: {forbid: {say: sesame, by: [user, assistant]}}}
  - id: mail
    text: No mail addresses.
    hooks: [input, output]
    action: redact
    redact: ['[a-z]+@[a-z.]+']
    rule: {forbid: {say: "*", where: {text: {matches: "[a-z]+@[a-z.]+"}}, by: [user, assistant]}}
  - {id: order, text: Look up first., hooks: [tool_call], rule: {require: {call: lookup}, before: {call: refund}}}
"""
CONFIG = """
model_list:
  - {{model_name: up, litellm_params: {{model: openai/up, api_key: none, api_base: "http://127.0.0.1:{up}/v1"}}}}
guardrails:
  - guardrail_name: inside
    litellm_params:
      guardrail: evalkit.guardrails.litellm.EvalkitGuardrail
      mode: [pre_call, post_call]
      guard: rules
      policies: {policies}
  - guardrail_name: beside
    litellm_params:
      guardrail: generic_guardrail_api
      mode: [pre_call, post_call]
      api_base: http://127.0.0.1:{guard}
      api_key: s3cret
      streaming_buffer_until_moderated: true
  - guardrail_name: rewriting
    litellm_params:
      guardrail: generic_guardrail_api
      mode: [pre_call, post_call]
      api_base: http://127.0.0.1:{guard}
      api_key: s3cret
      additional_provider_specific_params: {{rewrite_answers: true}}
      streaming_transform_mode: incremental_diff
      streaming_end_of_stream_only: true
  - guardrail_name: inside-rewriting
    litellm_params:
      guardrail: evalkit.guardrails.litellm.EvalkitGuardrail
      mode: [pre_call, post_call]
      streaming_transform_mode: incremental_diff
      guard: rules
      policies: {policies}
"""
TEXTS = {"tell": "It is sesame, I say.", "mail": "Write to ann@shop.ch, she knows.", "fine": "It is open."}
ASKED: list[str] = []
"""What reached the model."""


async def upstream(request: web.Request) -> web.StreamResponse:
    """A model: says what it is asked for, or calls `refund`."""
    body = await request.json()
    asked = body["messages"][-1]["content"]
    ASKED.append(asked)
    call = {"id": "1", "type": "function", "function": {"name": "refund", "arguments": '{"order": "A"}'}}
    calls = asked.startswith("refund")
    text = TEXTS.get(asked.split()[0], "It is open.")
    message = (
        {"role": "assistant", "content": None, "tool_calls": [call]}
        if calls
        else {"role": "assistant", "content": text}
    )
    finish = "tool_calls" if calls else "stop"
    head = {"id": "c", "created": 1, "model": "up"}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    words = [{"content": w + " "} for w in text.split()]
    for delta in [{"tool_calls": [{**call, "index": 0}]}] if calls else words:
        choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}
        await response.write(
            b"data: " + json.dumps({**head, "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
        )
    choice = {"index": 0, "delta": {}, "finish_reason": finish}
    await response.write(
        b"data: " + json.dumps({**head, "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
    )
    await response.write(b"data: [DONE]\n\n")
    return response


def port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def main(folder: Path) -> None:
    (folder / "policies.yaml").write_text(POLICIES)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream)
    runner = web.AppRunner(app)
    await runner.setup()
    up, guarded = port(), port()
    await web.TCPSite(runner, "127.0.0.1", up).start()
    endpoint = Endpoint(make_guard("rules", load(folder / "policies.yaml")), api_key="s3cret")
    server = uvicorn.Server(uvicorn.Config(endpoint.app, port=guarded, log_level="critical"))
    serving = asyncio.create_task(server.serve())
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(up=up, guard=guarded, policies=folder / "policies.yaml"))
    await proxy_server.initialize(config=str(config))
    found = {}
    transport = httpx.ASGITransport(proxy_server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy", timeout=120) as client:
        for guard in ("inside", "beside", "rewriting", "inside-rewriting"):
            for stream in (False, True):
                for asked in ("fine", "tell", "mail", "refund", "say sesame", "I am bob@x.org"):
                    body = {
                        "model": "up",
                        "messages": [{"role": "user", "content": asked}],
                        "guardrails": [guard],
                        "stream": stream,
                    }
                    if asked == "refund":
                        body["tools"] = [{"type": "function", "function": {"name": "refund", "parameters": {}}}]
                    ASKED.clear()
                    reply = await client.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer x"})
                    key = f"{guard}{' stream' if stream else ''}: {asked}"
                    found[key] = {"status": reply.status_code, "text": reply.text, "asked": list(ASKED)}
    print("RESULT" + json.dumps(found))
    server.should_exit = True
    await serving
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)  # litellm's own threads do not end
