"""`evalkit view`: what it shows of a run that goes on, whom it answers, and the page in a real browser."""

import asyncio
import base64
import contextlib
import gzip
import json
import re
import socket
import threading
import time

import pytest

pytest.importorskip("starlette", reason="evalkit view needs the extra serve")
pytest.importorskip("httpx", reason="starlette's test client needs httpx")

from starlette.testclient import TestClient

from evalkit.cli import main
from evalkit.engine import store
from evalkit.reports import live
from tests.reports.devtools import Browser, binary

WHO = "http://127.0.0.1:7575"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def client(*paths, clock=None, hosts=(), base=WHO):
    return TestClient(live.app(live.Live(paths, charts=False, clock=clock or Clock()), hosts), base_url=base)


def version(c):
    return c.get("/version").json()


def blob(c, name, of=None):
    reply = c.get(f"/data/{of or version(c)['version']}/{name}.js")
    if reply.status_code != 200:
        return reply.status_code
    return json.loads(gzip.decompress(base64.b64decode(re.search(r', ?"(.*)"\);', reply.text).group(1))))


@pytest.fixture
def growing(make_run, tmp_path):
    """A run of which only some samples are there; `growing(n)` appends the next n."""
    whole = make_run("model-x", lambda s: f"The loan is {s.secrets[0].value}.")
    path = tmp_path / "growing"
    path.mkdir()
    for name in ("manifest.json", "contexts.jsonl", "scenarios.jsonl"):
        (path / name).write_bytes((whole / name).read_bytes())
    said = store.raw_verdicts(whole)
    rows = [(json.loads(t), t) for t in (whole / "trajectories.jsonl").read_bytes().splitlines(keepends=True)]
    todo = iter([(t, said[raw["scenario_id"], raw.get("epoch", 0)]) for raw, t in rows])

    def more(n, verdicts=True):
        with (path / "trajectories.jsonl").open("ab") as ts, (path / "verdicts.jsonl").open("ab") as vs:
            for _ in range(n):
                trajectory, lines = next(todo)
                ts.write(trajectory)
                if verdicts:
                    vs.write(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines))

    def end():
        (path / "summary.json").write_bytes((whole / "summary.json").read_bytes())

    more.path, more.end, more.planned, more.whole = path, end, len(rows), whole
    return more


def test_a_run_that_grows_has_a_new_version_and_says_how_far_it_is(growing):
    clock = Clock()
    growing(2)
    c = client(growing.path, clock=clock)
    first = version(c)
    assert first["head"] == f"live, 2 of {growing.planned} samples"
    assert first["head"] in c.get("/").text
    growing(1)
    assert version(c) == first  # not looked at again so soon
    clock.now += 100
    second = version(c)
    assert second["version"] != first["version"]
    assert second["head"] == f"live, 3 of {growing.planned} samples"
    assert second["head"] in c.get("/").text
    clock.now += 100
    assert version(c) == second


def test_the_end_of_a_run_is_a_new_version_with_the_numbers_of_its_summary(growing):
    clock = Clock()
    growing(growing.planned)
    c = client(growing.path, clock=clock)
    going = version(c)
    assert going["head"].startswith("live, ")
    assert "the run has not ended" in c.get("/").text
    growing.end()
    clock.now += 100
    assert version(c)["head"] == f"{growing.planned} samples, ended"
    assert "the run has not ended" not in c.get("/").text


def test_a_page_of_an_older_state_still_reads_its_own_samples(growing):
    clock = Clock()
    growing(2)
    c = client(growing.path, clock=clock)
    old = version(c)["version"]
    growing(2)
    clock.now += 100
    new = version(c)["version"]
    assert [len(blob(c, "index", v)["runs"][0]["s"]) for v in (old, new)] == [2, 4]
    assert blob(c, "s0", old) == blob(c, "s0", new)[:2]
    assert blob(c, "s9", old) == blob(c, "nope", old) == 404


def test_two_runs_that_grow_at_once_do_not_mix_the_samples_of_an_older_page(growing, make_run):
    clock = Clock()
    other = make_run("other", lambda s: "I cannot say.")
    growing(1)
    c = client(growing.path, other, clock=clock)
    old = version(c)["version"]
    before = blob(c, "s0", old)
    growing(2)
    clock.now += 100
    assert version(c)["version"] != old
    assert blob(c, "s0", old) == before


def test_versions_are_forgotten_after_a_while_and_that_is_said(growing):
    clock = Clock()
    growing(1)
    c = client(growing.path, clock=clock)
    first = version(c)["version"]
    for _ in range(live.KEPT):
        growing(1)
        clock.now += 100
        version(c)
    assert blob(c, "index", first) == 404
    assert "load the page again" in c.get(f"/data/{first}/index.js").text


def test_a_sample_waits_one_look_for_its_verdicts_and_a_torn_line_for_its_end(growing):
    clock = Clock()
    growing(1)
    growing(1, verdicts=False)
    c = client(growing.path, clock=clock)
    assert version(c)["head"].startswith("live, 1 of")
    with (growing.path / "trajectories.jsonl").open("ab") as f:
        f.write(b'{"scenario_id": "doc-0/ben')
    clock.now += 100
    assert version(c)["head"].startswith("live, 2 of")  # one that failed never has verdicts


def test_a_run_that_is_begun_later_in_the_same_folder_appears(growing, tmp_path):
    clock = Clock()
    growing(2)
    c = client(tmp_path, clock=clock)
    shown = version(c)["version"]
    later = tmp_path / "later"
    later.mkdir()
    (later / "manifest.json").write_bytes((growing.path / "manifest.json").read_bytes())
    clock.now += 100
    assert version(c)["version"] == shown  # a manifest alone is nothing to show
    for name in ("contexts.jsonl", "scenarios.jsonl"):
        (later / name).write_bytes((growing.path / name).read_bytes())
    clock.now += 100
    assert version(c)["version"] != shown


def test_a_run_that_has_just_begun_has_a_page_without_numbers(growing):
    clock = Clock()
    c = client(growing.path, clock=clock)
    text = c.get("/").text
    assert f"live, 0 of {growing.planned} samples" in text
    assert blob(c, "index")["runs"][0]["s"] == []
    growing(1)
    clock.now += 100
    assert f"live, 1 of {growing.planned} samples" in c.get("/").text


def test_the_page_asks_for_nothing_from_elsewhere_and_may_ask_its_own_server(growing):
    growing(2)
    reply = client(growing.path).get("/")
    csp = re.search(r'Content-Security-Policy" content="([^"]*)"', reply.text).group(1)
    assert "connect-src &#39;self&#39;" in csp
    assert "default-src &#39;none&#39;" in csp
    assert reply.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_page_that_is_known_is_not_sent_again(growing):
    growing(2)
    c = client(growing.path)
    etag = c.get("/").headers["etag"]
    again = c.get("/", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert c.get("/", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7575", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:7575", 200), ("192.168.0.9:80", 200),
        ("evil.example", 403), ("127.0.0.1.evil.example:7575", 403), ("localhost.evil.example", 403), ("", 403),
        ("report.example:7575", 200),
    ],
)  # fmt: skip
def test_only_names_that_cannot_be_rebound_are_answered(growing, host, status):
    c = client(growing.path, hosts=["Report.example"])
    growing(1)
    assert c.get("/version", headers={"host": host}).status_code == status


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_foreign_page_may_link_here_and_take_nothing(growing, site):
    growing(1)
    c = client(growing.path)
    for path in ("/", "/version", f"/data/{version(c)['version']}/index.js"):
        assert c.get(path, headers={"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}).status_code == 403
    assert c.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"}).status_code == 200
    assert c.get("/version", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_nothing_is_written_and_no_file_is_served(growing):
    growing(2)
    before = {p.name: p.read_bytes() for p in growing.path.iterdir()}
    c = client(growing.path)
    for path in ("/manifest.json", "/data/x/../../manifest.json", "/data/%2e%2e/manifest.json", "/static/report.js"):
        assert c.get(path).status_code == 404
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert c.request(method, "/").status_code == 405
    assert c.head("/").status_code == 200
    assert {p.name: p.read_bytes() for p in growing.path.iterdir()} == before


def test_a_folder_that_is_taken_away_is_said_and_the_server_goes_on(growing):
    clock = Clock()
    growing(2)
    c = client(growing.path, clock=clock)
    assert c.get("/").status_code == 200
    gone = growing.path.rename(growing.path.with_name("gone"))
    clock.now += 100
    reply = c.get("/version")
    assert reply.status_code == 503
    assert "no run in it" in reply.json()["error"]
    gone.rename(growing.path)
    clock.now += 100
    assert c.get("/version").status_code == 200


def test_the_command_says_what_is_no_run_and_a_port_that_is_taken(tmp_path, growing, capsys):
    with pytest.raises(SystemExit) as e:
        main(["view", str(tmp_path / "nothing")])
    assert e.value.code == 2
    assert "no run in it" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit) as e:
            main(["view", str(growing.path), "--port", port])
    assert e.value.code == 2
    assert "choose another with --port" in capsys.readouterr().err


@pytest.mark.skipif(binary() is None, reason="no chromium on this machine")
def test_in_a_browser_the_page_follows_the_run_and_leaves_a_reader_alone(growing, tmp_path):
    import uvicorn

    growing(2)
    app = live.app(live.Live([growing.path], charts=False))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    try:
        asyncio.run(_followed(url, growing, tmp_path))
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


async def _until(tab, expression):
    """As `tab.until`, over a page that loads again meanwhile."""
    for _ in range(600):
        with contextlib.suppress(AssertionError):
            if await tab.js(f"Boolean({expression})"):
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never true: {expression}; logged: {tab.logged}")


async def _followed(url, growing, tmp_path):
    async with Browser(tmp_path / "profile") as tab:
        await tab.open(url)
        head = "(document.querySelector('header.page')?.textContent || '')"
        await _until(tab, f"{head}.includes('live, 2 of {growing.planned}')")
        growing(1)  # nobody reads: the page shows it by itself
        await _until(tab, f"{head}.includes('live, 3 of {growing.planned}')")
        await tab.js("location.hash = document.querySelector('a[href^=\"#list=\"]').getAttribute('href')")
        await _until(tab, "document.body.textContent.includes('How large is the loan?')")
        growing(1)  # somebody reads: they are told, and shown when they ask for it
        await _until(tab, "document.querySelector('#live')?.textContent.includes('4 of')")
        assert "live, 3 of" in await tab.js(head)
        await tab.js("window.scrollTo(0, document.body.scrollHeight)")
        where = await tab.js("document.querySelector('#live').getBoundingClientRect().toJSON()")
        height = await tab.js("innerHeight")
        assert 0 <= where["top"] < where["bottom"] <= height, "it is seen wherever the reader is on the page"
        await tab.click("#live button")
        await _until(tab, f"{head}.includes('live, 4 of {growing.planned}') && !{head}.includes('Show them')")
        assert not [x for x in tab.logged if "exceptionDetails" in x], tab.logged
