"""Small checkouts of our own writing in the layouts of tau-bench and tau2-bench: a library's loans desk."""

import json
from pathlib import Path

POLICY = """# Desk policy

The current time is 2025-02-03 09:00:00 EST.

Before you renew a loan, you must list the loan and get the reader's yes.

A loan can be renewed only once. You must not change the address of another reader.
"""
DATA = {
    "readers": {"ann_1": {"name": "Ann", "city": "Ely"}, "bob_2": {"name": "Bob", "city": "Rye"}},
    "loans": {"L1": {"reader": "ann_1", "renewed": 0}, "L2": {"reader": "ann_1", "renewed": 1}},
}
TASKS = [
    {
        "id": "renew",
        "user_scenario": {
            "persona": None,
            "instructions": {
                "domain": "library",
                "reason_for_call": "You want to renew your loan L1.",
                "known_info": "You are Ann. Your reader id is ann_1.",
                "task_instructions": "If the agent asks for a reason, say that you read slowly.",
            },
        },
        "initial_state": None,
        "evaluation_criteria": {
            "actions": [
                {"action_id": "0", "name": "get_loan", "arguments": {"loan_id": "L1"}, "info": None},
                {"action_id": "1", "name": "renew_loan", "arguments": {"loan_id": "L1"}, "info": None},
            ],
            "communicate_info": ["1"],
            "nl_assertions": ["The agent is kind."],
            "reward_basis": ["DB", "COMMUNICATE"],
        },
    },
    {
        "id": "twice",
        "user_scenario": {"instructions": "You are ann_1. You want to renew loan L2, again."},
        "evaluation_criteria": {"actions": [{"name": "get_loan", "arguments": {"loan_id": "L2"}}]},
    },
    {
        "id": "started",
        "user_scenario": {"instructions": "You want something."},
        "initial_state": {"initialization_data": {"agent_data": {"loans": {}}}},
        "evaluation_criteria": {"actions": []},
    },
    {
        "id": "phone",
        "user_scenario": {"instructions": "You want your phone to work."},
        "evaluation_criteria": {"actions": [{"name": "reboot", "arguments": {}, "requestor": "user"}]},
    },
    {
        "id": "broken",
        "user_scenario": {"instructions": "You want to renew loan L9."},
        "evaluation_criteria": {"actions": [{"name": "renew_loan", "arguments": {"loan_id": "L9"}}]},
    },
]
TOOLS2 = '''
import json
from copy import deepcopy
from pathlib import Path

FILE = Path(__file__).parents[4] / "data/tau2/domains/library/db.json"


class ToolType:
    READ, WRITE = "read", "write"


def is_tool(kind):
    def mark(function):
        function.kind = kind
        return function
    return mark


class Tool:
    def __init__(self, name, properties):
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
        function = {"name": name, "description": name + " of the library", "parameters": parameters}
        self.openai_schema = {"type": "function", "function": function}


class LibraryTools:
    """What the desk can do."""

    def __init__(self, db):
        self.db = db

    def get_tools(self):
        loan = {"loan_id": {"$ref": "#/$defs/Id"}}
        return {
            "get_loan": Tool("get_loan", {"loan_id": {"type": "string"}}),
            "renew_loan": Tool("renew_loan", {"loan_id": {"type": "string"}}),
            "change_city": Tool("change_city", {"reader_id": {"type": "string"}, "city": {"type": "string"}}),
        }

    def tool_type(self, name):
        return getattr(self, name).kind

    def use_tool(self, name, **arguments):
        return getattr(self, name)(**arguments)

    @is_tool(ToolType.READ)
    def get_loan(self, loan_id: str):
        """Look a loan up.

        Args:
            loan_id: its number
        """
        return self.db["loans"][loan_id]

    @is_tool(ToolType.WRITE)
    def renew_loan(self, loan_id: str):
        """Renew a loan."""
        if loan_id not in self.db["loans"]:
            raise ValueError("Loan not found")
        self.db["loans"][loan_id]["renewed"] += 1
        return "renewed"

    @is_tool(ToolType.WRITE)
    def change_city(self, reader_id: str, city: str = "Ely"):
        """Move a reader."""
        self.db["readers"][reader_id]["city"] = city
        return self.db["readers"][reader_id]
'''
ENVIRONMENT2 = """
import json
from tau2.domains.library.tools import FILE, LibraryTools


class Environment:
    def __init__(self, tools):
        self.tools = tools


def get_environment(db=None):
    return Environment(LibraryTools(json.loads(FILE.read_text()) if db is None else db))
"""
TOOL1 = """
import json
from typing import Any, Dict


class {cls}:
    @staticmethod
    def invoke(data: Dict[str, Any], {args}) -> str:
        {body}

    @staticmethod
    def get_info() -> Dict[str, Any]:
        return {{"type": "function", "function": {{"name": "{name}", "description": "{about}", "parameters": {{
            "type": "object", "properties": {properties}, "required": {required}}}}}}}
"""
TASKS1 = """
from tau_bench.types import Action, Task

TASKS_TEST = [
    Task(
        annotator="me",
        user_id="ann_1",
        instruction="You are ann_1. You want to renew your loan L1. You are calm and reactive.",
        actions=[Action(name="renew_loan", kwargs={"loan_id": "L1"})],
        outputs=["1"],
    ),
    Task(user_id="ann_1", instruction="You are ann_1 and want to renew loan L2 again.", actions=[], outputs=[]),
]
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def tau2(root: Path, *, code: bool = True) -> Path:
    """A checkout of tau2-bench with one domain."""
    home = root / "data/tau2/domains/library"
    write(home / "policy.md", POLICY)
    write(home / "tasks.json", json.dumps(TASKS))
    write(home / "db.json", json.dumps(DATA))
    where = root / ("src/tau2/domains/library" if code else "elsewhere")
    if code:
        for folder in (root / "src/tau2", root / "src/tau2/domains", where):
            write(folder / "__init__.py", "")
        write(where / "tools.py", TOOLS2)
        write(where / "environment.py", ENVIRONMENT2)
    return root


def tau(root: Path, *, code: bool = True) -> Path:
    """A checkout of tau-bench with one domain."""
    home = root / "tau_bench/envs/library"
    write(home / "wiki.md", POLICY)
    write(home / "tasks_test.py", TASKS1)
    get = {"cls": "GetLoan", "name": "get_loan", "about": "Look a loan up.", "args": "loan_id: str"}
    renew = {"cls": "RenewLoan", "name": "renew_loan", "about": "Renew a loan.", "args": "loan_id: str"}
    shape = {"properties": '{"loan_id": {"type": "string"}}', "required": '["loan_id"]'}
    write(home / "tools/get_loan.py", TOOL1.format(**get, **shape, body='return json.dumps(data["loans"][loan_id])'))
    body = "\n        ".join(
        (
            'if loan_id not in data["loans"]:',
            '    return "Error: loan not found"',
            'data["loans"][loan_id]["renewed"] += 1',
            'return json.dumps(data["loans"][loan_id])',
        )
    )
    write(home / "tools/renew_loan.py", TOOL1.format(**renew, **shape, body=body))
    if code:
        for folder in (root / "tau_bench", root / "tau_bench/envs", home):
            write(folder / "__init__.py", "")
        tools = "from .get_loan import GetLoan\nfrom .renew_loan import RenewLoan\nALL_TOOLS = [GetLoan, RenewLoan]\n"
        write(home / "tools/__init__.py", tools)
        write(home / "data/__init__.py", f"def load_data():\n    return {DATA!r}\n")
    return root


def call(identity: str, name: str, **arguments) -> dict:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": identity, "type": "function", "function": function}],
    }


def result(identity: str, text: str) -> dict:
    return {"role": "tool", "tool_call_id": identity, "content": text}


def recording(path: Path, *dialogues: tuple[int, int, float, list[dict]]) -> Path:
    """Recorded dialogues of tau-bench: (task, trial, reward, messages after the system prompt)."""
    tasks = [
        {"user_id": "ann_1", "instruction": "You are ann_1. You want to renew your loan L1.", "outputs": ["1"],
         "actions": [{"name": "renew_loan", "kwargs": {"loan_id": "L1"}}]},
        {"user_id": "ann_1", "instruction": "You want to renew loan L2 again.", "outputs": [], "actions": []},
    ]  # fmt: skip
    rows = [
        {"task_id": task, "trial": trial, "reward": reward, "info": {"task": tasks[task]},
         "traj": [{"role": "system", "content": POLICY}, *messages]}
        for task, trial, reward, messages in dialogues
    ]  # fmt: skip
    write(path, "".join(json.dumps(r) + "\n" for r in rows))
    return path


GOOD = [
    {"role": "user", "content": "Hello, please renew loan L1."},
    call("c1", "get_loan", loan_id="L1"),
    result("c1", json.dumps(DATA["loans"]["L1"])),
    {"role": "assistant", "content": "I would renew L1. Shall I?"},
    {"role": "user", "content": "Yes."},
    call("c2", "renew_loan", loan_id="L1"),
    result("c2", json.dumps({"reader": "ann_1", "renewed": 1})),
    {"role": "assistant", "content": "Done, it was renewed 1 time."},
]
WRONG = [
    {"role": "user", "content": "Renew L2."},
    call("c1", "renew_loan", loan_id="L9"),
    result("c1", "Error: loan not found"),
    call("c2", "renew_loan", loan_id="L2"),
    result("c2", json.dumps({"reader": "ann_1", "renewed": 2})),
    {"role": "assistant", "content": "Done."},
]
