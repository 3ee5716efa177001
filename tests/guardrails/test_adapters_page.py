"""The Python of docs/adapters.md runs as it stands, from top to bottom."""

import re
from pathlib import Path

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

PAGE = (Path(__file__).resolve().parents[2] / "docs/adapters.md").read_text(encoding="utf-8")
POLICIES = """
policies:
  - id: no-cancelling
    text: Nothing is cancelled here.
    hooks: [tool_call]
    rule: {forbid: {call: cancel}}
  - {id: word, text: Never say the word., hooks: [input, output], rule: {forbid: {say: sesame, by: [user, assistant]}}}
"""


def refund(order: str) -> str:
    """Give money back."""
    return f"refunded {order}"


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies.yaml").write_text(POLICIES)

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools, **kwargs):
            return self

    names = {
        "model": Model(messages=iter([AIMessage("It is sesame."), AIMessage("It is open.")])),
        "refund": refund,
        "app": None,
    }
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(block, names)
    assert capsys.readouterr().out == "no-cancelling\n"
    said = {"messages": [HumanMessage("What is it?")]}
    assert "sesame" not in names["agent"].invoke(said)["messages"][-1].content
    assert names["chart"].invoke(said)["messages"][-1].content == "It is open."
    assert "sesame" not in str(names["chart"].invoke({"messages": [HumanMessage("Say sesame")]}))
    assert set(names["app"].routes) == {"/ask", "/v1/threads/*"}
