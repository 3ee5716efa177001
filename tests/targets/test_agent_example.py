"""The LangGraph example of docs/agents.md runs as it stands there, with a fake chat model in the real one's place."""

import asyncio
import re
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("langgraph", reason="needs the extra `dialog`")

from langchain_core.messages import AIMessage

from evalkit.core.types import TargetOptions
from evalkit.engine.prepare import Wish, prepare
from evalkit.engine.store import RunFolder
from evalkit.targets import spec
from tests.engine import talks

DOCS = Path(__file__).resolve().parents[2] / "docs" / "agents.md"


class FakeModel:
    """Plays the gold plan of the event that it recognises; otherwise a chat model as LangChain has them."""

    def __init__(self, scenarios):
        self.plans = {s.messages[-1].content: s.world["gold"] for s in scenarios}
        self.tools: list[str] = []

    def bind_tools(self, tools):
        self.tools = [t.name for t in tools]
        return self

    async def ainvoke(self, messages):
        said = [m.content for m in messages if m.type == "human"]
        turn = self.plans[said[0]][len(said) - 1]
        if turn.get("calls") and messages[-1].type == "human":
            calls = [{"name": c["tool"], "args": c["args"], "id": f"c{i}"} for i, c in enumerate(turn["calls"])]
            return AIMessage("", tool_calls=calls)
        return AIMessage(turn["say"])


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The example as a file of the user's, and the package it imports its model from."""
    code = next(b for b in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "StateGraph" in b)
    (tmp_path / "agent.py").write_text(code)
    model = FakeModel([talks.pressed(), talks.twin()])
    package, module = types.ModuleType("langchain"), types.ModuleType("langchain.chat_models")
    module.init_chat_model = lambda name: model
    monkeypatch.setitem(sys.modules, "langchain", package)
    monkeypatch.setitem(sys.modules, "langchain.chat_models", module)
    monkeypatch.delitem(sys.modules, "agent", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield model
    sys.modules.pop("agent", None)


def test_the_example_is_short_and_one_command_evaluates_it(example, tmp_path):
    code = (tmp_path / "agent.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    lines = [s.model_dump_json(exclude_defaults=True) for s in (talks.pressed(), talks.twin())]
    (tmp_path / "scenarios.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "contexts.jsonl").write_text(talks.travel().context.model_dump_json() + "\n", encoding="utf-8")
    run, folder = prepare(Wish(suite="intellagent", model="langgraph:agent:build", data="scenarios.jsonl"))
    with RunFolder.open(folder, run.spec) as open_folder:
        document, _ = asyncio.run(run.play(open_folder))
    assert document["errors"] == {}
    success = next(m for m in document["metrics"] if m["name"] == "success_rate" and not m["slice"])
    assert (success["value"], success["n"]) == (1.0, 2)
    assert "get_booking" in example.tools


def functions():
    block = next(b for b in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "def acts" in b)
    found: dict = {}
    exec(block, found)
    return found


def test_the_functions_of_the_docs_are_agents_too(monkeypatch):
    module = types.ModuleType("documented")
    vars(module).update(functions())
    monkeypatch.setitem(sys.modules, "documented", module)
    steps = spec.resolve("python:documented:agent", TargetOptions())
    trajectory = talks.have(steps, dialogues=talks.Dialogues(talks.Limits(calls=3)))
    assert trajectory.failure.kind == "limit"  # the documented one always calls
    assert [m.tool_calls[0].name for m in trajectory.messages if m.tool_calls] == ["get_booking"] * 4
    acts = talks.have(spec.resolve("python:documented:acts", TargetOptions()))
    assert acts.failure.kind == "target"  # there is no booking AB12CD, so no price
    assert acts.messages[0].tool_calls[0].name == "get_booking"
