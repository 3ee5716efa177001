"""Tools that are not SQL: Python functions and a real MCP server, behind the same seam as the others."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks.world import World
from evalkit.core.errors import ContentError, UsageError
from evalkit.engine.plugged import connect

TRAVEL = Path(__file__).resolve().parents[2] / "benchmarks" / "intellagent" / "travel"
SERVER = Path(__file__).with_name("mcp_server.py")
ARGUMENTS = "arguments: {flight_id: {type: string}}"


@pytest.fixture
def with_tool(tmp_path):
    """The domain travel with one more tool."""

    def make(names, how):
        folder = tmp_path / "travel"
        shutil.copytree(TRAVEL, folder, dirs_exist_ok=True)
        text = (TRAVEL / "tools.yaml").read_text()
        for name in names.split():
            text += f"  - {{name: {name}, about: An added tool., access: read, {ARGUMENTS}, {how}}}\n"
        (folder / "tools.yaml").write_text(text)
        return domains.read(folder)

    return make


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "own_tools.py").write_text(
        "def price(flight_id):\n    return {'price': len(flight_id)}\n"
        "def seats(flight_id, world):\n"
        "    return world.connection.execute('SELECT COUNT(*) FROM flights').fetchone()[0]\n"
        "def broken(flight_id):\n    raise KeyError(flight_id)\n"
        "def odd(flight_id):\n    return {1, 2}\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def ask(domain, name, **arguments):
    with connect(domain) as plugged, World(domain, plugged=plugged) as world:
        return world.call(name, json.dumps(arguments))


def test_a_python_function_is_a_tool(functions, with_tool):
    found = ask(with_tool("price", "python: 'own_tools:price'"), "price", flight_id="TN1")
    assert json.loads(found.content) == {"price": 3}


def test_a_python_function_may_see_the_world(functions, with_tool):
    found = ask(with_tool("seats", "python: 'own_tools:seats'"), "seats", flight_id="TN1")
    assert json.loads(found.content) == 24


def test_what_a_function_raises_or_what_is_no_json_is_an_error_result(functions, with_tool):
    assert "KeyError: 'TN1'" in ask(with_tool("broken", "python: 'own_tools:broken'"), "broken", flight_id="TN1").error
    assert "TypeError" in ask(with_tool("odd", "python: 'own_tools:odd'"), "odd", flight_id="TN1").error


def test_arguments_are_checked_before_a_function_sees_them(functions, with_tool):
    found = ask(with_tool("price", "python: 'own_tools:price'"), "price", flight_id=3)
    assert "not of type 'string'" in found.error


def test_a_function_that_is_not_there_is_told(functions, with_tool):
    with pytest.raises(UsageError, match="no module 'no_such_module'"):
        connect(with_tool("price", "python: 'no_such_module:price'"))
    with pytest.raises(ContentError, match="own_tools:number is a int, not a function"):
        connect(with_tool("price", "python: 'own_tools:number'"))


def test_a_tool_that_is_not_connected_is_an_error_result(functions, with_tool):
    domain = with_tool("price", "python: 'own_tools:price'")
    with World(domain) as world:
        assert world.call("price", '{"flight_id": "TN1"}').error == "tool price is not connected"


def test_an_mcp_server_gives_results_and_errors(with_tool):
    pytest.importorskip("mcp", reason="the extra `mcp` is not installed")
    domain = with_tool("price_of broken", f"mcp: ['{sys.executable}', '{SERVER}']")
    with connect(domain) as plugged, World(domain, plugged=plugged) as world:
        assert json.loads(world.call("price_of", '{"flight_id": "TN12"}').content) == {"price": 40}
        assert "no price for TN1" in world.call("broken", '{"flight_id": "TN1"}').error
        assert "not of type 'string'" in world.call("price_of", '{"flight_id": 3}').error


@pytest.mark.slow
def test_an_mcp_server_without_the_tool_or_that_does_not_start_is_told(with_tool):
    pytest.importorskip("mcp", reason="the extra `mcp` is not installed")
    with pytest.raises(ContentError, match=r"has no tool 'nothing' \(there are: broken, price_of\)"):
        connect(with_tool("nothing", f"mcp: ['{sys.executable}', '{SERVER}']"))
    with pytest.raises(ContentError, match="does not start"):
        connect(with_tool("nothing", "mcp: ['/no/such/program']"))
