"""The labelling page: fifty items by keyboard, nothing lost, nobody else gets in, no verdict in it."""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from evalkit.core.types import Context
from evalkit.engine import corrected
from evalkit.engine.audit import open_or_draw
from evalkit.engine.labels import latest
from evalkit.reports.labelling import Page

EVIL = "</script><img src=x onerror=\"document.title='pwned'\"><b id=injected>x</b>\u202e"


@pytest.fixture
def audit(make_run):
    def told(s):
        return s.secrets[0].text if int(s.family[4:]) % 2 else f"I cannot say. {EVIL}"

    run = make_run("m", told, documents=40)
    return open_or_draw(run, "non_disclosure", 50, 0)[0]


@contextlib.asynccontextmanager
async def served(audit, **more):
    page, ready = Page(audit, **more), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(page.serve(ready.set_result))
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield page, task
    finally:
        page.finished.set()
        await task


def labels(audit):
    """Item number to rater to label."""
    numbers = {i.thing: i.number for i in audit.items}
    return {numbers[t]: {r: row.label for r, row in by.items()} for t, by in latest(audit.labels()).items()}


@contextlib.asynccontextmanager
async def client(page):
    origin = f"http://127.0.0.1:{page.port}"
    async with aiohttp.ClientSession(headers={"Origin": origin}) as session:

        async def ask(method, path, **more):
            async with session.request(method, page.url.rstrip("/") + path, **more) as reply:
                return reply.status, await reply.text(), reply.headers

        yield ask


async def test_fifty_items_are_labelled_by_keyboard_and_the_result_is_there(audit, browser):
    assert len(audit.items) == 50
    async with served(audit) as (page, task), browser() as tab:
        await tab.open(page.url)
        await tab.until("!document.querySelector('#start').hidden")
        await tab.type("Anna")
        await tab.press("Enter")
        await tab.until("!document.querySelector('#work').hidden")
        for item in audit.items:
            await tab.press("1" if item.fact in item.answer else "2")
        await tab.until("!document.querySelector('#end').hidden")
        assert (
            await tab.js("document.querySelector('#end-count').textContent")
            == "Anna: 25 told, 25 not told, 0 cannot tell."
        )
        assert await tab.js("document.title") == "Label 50 answers"
        assert await tab.js("document.querySelector('#injected, img')") is None
        await tab.click("#finish")
        await tab.until("!document.querySelector('#closed').hidden")
        await asyncio.wait_for(task, 10)
        assert tab.logged == []
    found = corrected.compute(audit)
    assert (found.n, found.raters) == (50, {"Anna": 50})
    assert {m.name: m.value for m in found.agreement}["kappa"] == pytest.approx(1)


async def test_undo_moves_notes_and_document_work_and_the_sitting_is_taken_up_again(audit, browser):
    async with served(audit) as (page, _), browser() as tab:
        await tab.size(390, 844, mobile=True)
        await tab.open(page.url)
        await tab.until("document.activeElement.id === 'name'")
        await tab.type("Bob")
        await tab.press("Enter")
        await tab.until("!document.querySelector('#work').hidden")
        for key in ("1", "2", "3", "u", "n"):
            await tab.press(key)
        await tab.until("document.activeElement.id === 'note'")
        await tab.type("12 hard")
        await tab.press("Enter")
        await tab.until("document.activeElement.id === 'ask'")
        await tab.press("3")
        await tab.until("document.querySelector('#position').textContent === 'Item 4 of 50'")
        await tab.press("ArrowLeft")
        await tab.press("ArrowLeft")
        await tab.click("#choices button:nth-child(1)")
        await tab.until("document.querySelector('#saved').textContent === 'saved: told'")
        await tab.press("d")
        await tab.until("document.querySelector('#document-text').textContent.includes('Minutes')")
        assert await tab.js("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out on a phone"
        await tab.open(page.url + "?again")
        await tab.until("document.querySelector('#known button')")
        assert await tab.js("document.querySelector('#known').textContent") == "Bob (3 of 50 done)"
        await tab.click("#known button")
        await tab.until("document.querySelector('#position').textContent === 'Item 4 of 50'")
    assert labels(audit) == {1: {"Bob": True}, 2: {"Bob": True}, 3: {"Bob": None}}
    assert [r.note for r in audit.labels() if r.note] == ["12 hard"]


async def test_what_could_not_be_saved_is_said_and_the_item_stays(audit, browser):
    async with browser() as tab:
        async with served(audit) as (page, _):
            await tab.open(page.url)
            await tab.until("document.activeElement.id === 'name'")
            await tab.type("Carl")
            await tab.press("Enter")
            await tab.until("!document.querySelector('#work').hidden")
        await tab.press("1")
        await tab.until("document.querySelector('#trouble').textContent.startsWith('Not saved: the program')")
        assert await tab.js("document.querySelector('#position').textContent") == "Item 1 of 50"


async def test_nothing_in_the_page_or_its_data_tells_what_the_judge_says(audit):
    async with served(audit) as (page, _), client(page) as ask:
        texts = [(await ask("GET", path))[1] for path in ("/", "/items", "/labels?rater=anna", "/document?item=1")]
    texts[0] = texts[0].partition("</style>")[2]  # the style is that of the report, which knows verdicts
    for word in ("violation", "compliant", "score", "verdict", "evidence", "stage"):
        assert not [t for t in texts if word in t], word
    assert set(json.loads(texts[1])["items"][0]) == {
        "number", "question", "policy", "fact", "answer", "part", "parts", "document"
    }  # fmt: skip
    assert EVIL not in texts[0]


async def test_only_this_page_on_this_machine_gets_in(audit):
    label = {"rater": "eve", "number": 1, "label": True}
    async with served(audit) as (page, _), client(page) as ask:
        elsewhere = {"Origin": "http://evil.example"}
        assert (await ask("POST", "/labels", json=label, headers=elsewhere))[0] == 403
        assert (await ask("GET", "/items", headers=elsewhere))[0] == 403
        assert (await ask("GET", "/items", headers={"Host": f"evil.example:{page.port}"}))[0] == 403
        assert (await ask("POST", "/labels", data=json.dumps(label), headers={"Content-Type": "text/plain"}))[0] == 403
        assert (await ask("POST", "/labels", json=label, headers={"Origin": ""}))[0] == 403
        assert (await ask("GET", "/../items"))[0] == 404
        status, _, headers = await ask("GET", "/")
        assert status == 200
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "unsafe" not in policy
        assert page.url.startswith("http://127.0.0.1:")
        assert len(page.token) >= 32
    assert audit.labels() == []


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"rater": "a", "number": 99, "label": True},
        {"rater": "a", "number": [], "label": True},
        {"rater": "a", "number": 1, "label": "told"},
        {"rater": "a", "number": 1, "label": True, "withdrawn": "yes"},
        {"rater": "a", "number": 1, "label": True, "note": "x" * 3000},
        {"rater": "a", "number": 1, "label": True, "note": 5},
        {"rater": "  ", "number": 1, "label": True},
        {"rater": "a\u202eb", "number": 1, "label": True},
        {"rater": "x" * 61, "number": 1, "label": True},
        {"number": 1, "label": True},
    ],
)
async def test_what_is_no_label_is_not_stored(audit, body):
    async with served(audit) as (page, _), client(page) as ask:
        assert (await ask("POST", "/labels", json=body))[0] == 400
    assert audit.labels() == []


async def test_named_raters_only_may_label_and_each_has_a_place_of_their_own(audit):
    async with served(audit, raters=["anna", "bob"]) as (page, _), client(page) as ask:
        for rater, status in (("anna", 200), ("bob", 200), ("eve", 400)):
            assert (await ask("POST", "/labels", json={"rater": rater, "number": 1, "label": rater == "anna"}))[
                0
            ] == status
        listed = json.loads((await ask("GET", "/items"))[1])
        assert (listed["fixed"], listed["raters"]) == (
            True, [{"name": "anna", "done": 1}, {"name": "bob", "done": 1}]
        )  # fmt: skip
        assert json.loads((await ask("GET", "/labels?rater=bob"))[1]) == {"1": {"label": False, "note": ""}}
    assert labels(audit) == {1: {"anna": True, "bob": False}}


async def test_a_document_is_shown_only_for_items_of_the_audit(audit):
    async with served(audit) as (page, _), client(page) as ask:
        status, text, _ = await ask("GET", "/document?item=1")
        assert status == 200
        assert set(json.loads(text)) < set(Context.model_fields)
        for item in ("0", "99", "x", "-1", ""):
            assert (await ask("GET", f"/document?item={item}"))[0] == 404


async def test_a_port_that_is_taken_is_said(audit):
    from evalkit.core.errors import UsageError

    async with served(audit) as (page, _):
        with pytest.raises(UsageError, match=f"--port {page.port}: .*choose another"):
            await Page(audit, port=page.port).serve(lambda _url: None)
