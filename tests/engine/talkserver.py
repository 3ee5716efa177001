"""A chat-completions server over real sockets that plays the plans of events: with tool calls, or in words (JSON).

It knows the dialogue by its opening words, and the turn by counting. Runs in a thread; `asked` holds every request
body.
"""

import json
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from evalkit.core.types import Scenario


class TalkServer:
    def __init__(self, scenarios: Iterable[Scenario], plan: str = "gold", latency_s: float = 0.0) -> None:
        self.plans = {s.messages[-1].content: s.world[plan] for s in scenarios}
        self.asked: list[dict] = []
        self.latency_s = latency_s
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.asked.append(body)
                time.sleep(server.latency_s)
                answer = json.dumps(server.completion(body)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    def completion(self, body: dict) -> dict:
        said = [m for m in body["messages"] if m["role"] == "user" and not m["content"].startswith("Result of ")]
        plan = self.plans[said[0]["content"]]
        turn = plan[min(len(said), len(plan)) - 1]
        last = body["messages"][-1]
        due = turn.get("calls") and last["role"] == "user" and not last["content"].startswith("Result of ")
        message: dict = {"role": "assistant", "content": turn["say"]}
        if due and "tools" in body:
            calls = [
                {"id": f"c{i}", "type": "function", "function": {"name": c["tool"], "arguments": json.dumps(c["args"])}}
                for i, c in enumerate(turn["calls"])
            ]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        elif due:
            lines = [json.dumps({"tool": c["tool"], "arguments": c["args"]}) for c in turn["calls"]]
            message["content"] = "\n".join(lines)
        return {
            "choices": [{"index": 0, "finish_reason": "tool_calls" if due else "stop", "message": message}],
            "model": "planned",
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        }
