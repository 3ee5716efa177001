"""A site: samples beside the page, loaded when they are looked at; found, sorted and read in a real browser."""

import json
import re

import pytest

from evalkit.core.errors import UsageError
from evalkit.reports import book as books
from evalkit.reports import html

EVIL = "</script><img src=x onerror=\"document.title='pwned'\"><b id=injected>{{7*7}}\x00\u202e</b>"


@pytest.fixture
def beside(monkeypatch):
    """Any report is too large for one page, and a blob holds a few samples only."""
    monkeypatch.setattr(html, "INSIDE", 0)
    monkeypatch.setattr(books, "BYTES", 4000)


def answers(s):
    return s.secrets[0].text if s.family in ("doc-2", "doc-3") and s.secrets else "I cannot say."


def test_a_small_site_is_one_page_and_a_large_one_has_its_samples_beside_it(make_run, tmp_path, monkeypatch):
    run = make_run()
    page = html.write([run], tmp_path / "site")
    assert page == tmp_path / "site" / "index.html"
    assert [p.name for p in page.parent.iterdir()] == ["index.html"]
    assert "everything shown is in this file" in page.read_text()
    monkeypatch.setattr(html, "INSIDE", 11)
    html.write([run], tmp_path / "site")
    assert {p.name for p in (tmp_path / "site" / "data").iterdir()} == {"index.js", "s0.js", "q0.js", "c0.js"}
    assert "octet-stream" not in page.read_text()
    assert "samples are in the folder data/" in page.read_text()
    monkeypatch.undo()
    html.write([run], tmp_path / "site")
    assert [p.name for p in page.parent.iterdir()] == ["index.html"]


def test_a_site_written_again_has_nothing_of_the_old_one(beside, make_run, tmp_path):
    html.write([make_run(documents=12)], tmp_path / "site")
    many = len(list((tmp_path / "site" / "data").iterdir()))
    html.write([make_run(documents=2)], tmp_path / "site")
    assert len(list((tmp_path / "site" / "data").iterdir())) < many


def test_a_folder_of_other_things_is_not_written_over(make_run, tmp_path):
    (tmp_path / "index.html").write_text("<h1>my page</h1>")
    with pytest.raises(UsageError, match="no report of ours"):
        html.write([make_run()], tmp_path)
    (tmp_path / "index.html").unlink()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("x")
    with pytest.raises(UsageError, match="no report of ours"):
        html.write([make_run()], tmp_path)
    assert (tmp_path / "data" / "precious").exists()


def test_the_policy_of_a_site_admits_scripts_beside_it_by_our_own_addresses_only(beside, make_run, tmp_path):
    text = html.write([make_run()], tmp_path / "site").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert "script-src &#39;sha256-" in policy
    assert "trusted-types evalkit" in policy
    assert "unsafe" not in policy
    assert "connect-src" not in policy  # default-src 'none': nothing can be sent anywhere


def test_of_a_run_of_figures_only_no_text_is_in_any_file(beside, make_run, tmp_path):
    secret = make_run("recorded", lambda s: f"VERBATIM {s.secrets[0].value if s.secrets else ''}", content="theirs")
    page = html.write([make_run("m"), secret], tmp_path / "site", figures_only=[secret])
    book = books.read([make_run("m"), secret], figures_only=[secret])
    everything = page.read_text() + "".join(book.blob(name).decode() for name in book.names())
    assert "recorded" in page.read_text()
    assert "figures only: its texts are not in this report" in page.read_text()
    assert "VERBATIM" not in everything
    alone = books.read([secret], figures_only=[secret])
    everything = html.page(alone) + "".join(alone.blob(name).decode() for name in alone.names())
    for text in ("VERBATIM", "$4.2 million", "size of the loan", "What is new", "Minutes 0"):
        assert text not in everything, text
    assert "100.0%" in everything
    assert not re.search(r'href="#list[^"]*"', everything)


async def test_samples_of_a_site_are_loaded_when_they_are_looked_at(beside, make_run, tmp_path, browser):
    page = html.write([make_run("m", answers, documents=8), make_run("other", documents=8)], tmp_path / "site")
    async with browser() as tab:
        await tab.open(page.as_uri())
        assert await tab.js("[...blobs.keys()].length") == 0
        await tab.click(".ranked .rate")
        await tab.until("document.querySelectorAll('#list li').length === 16")
        assert await tab.js("document.querySelector('#list-sum').textContent") == (
            "4 of 16 (25.0%). Here: share of attack answers that told at least one secret they were judged on."
        )
        loaded = await tab.js("[...blobs.keys()].join(' ')")
        assert "index" in loaded
        assert not re.search(r"\bc\d", loaded), "no document before a sample is opened"
        await tab.press("j")  # from the table to the sentence by keys alone
        await tab.press("j")
        await tab.press("k")
        assert await tab.js("document.activeElement === document.querySelector('#list a')")
        await tab.press("Enter")
        await tab.until("document.querySelector('#sample mark.leak')")
        assert await tab.js("document.querySelector('#sample .answer mark.leak').textContent") == "$4.2 million"
        await tab.until("document.querySelector('#document')")
        await tab.press("j")
        await tab.until("document.querySelector('#sample .tools .fine').textContent.startsWith('2 of')")
        await tab.press("m")
        assert await tab.js("document.querySelector('.answer mark.now').textContent") == "$4.2 million"
        await tab.press("/")
        await tab.until("document.activeElement.name === 'q'")
        await tab.type("doc-3/")
        await tab.until("document.querySelector('#list-count').textContent === '2 of 2 samples shown'")
        link = await tab.js("document.querySelector('#list a').href")
        assert tab.logged == []
        await tab.open("about:blank")
        await tab.open(link)  # a link to one sample, from somewhere else
        await tab.until("document.querySelector('#sample-title')")
        assert "doc-3" in await tab.js("document.querySelector('#sample-title').textContent")


async def test_a_blob_that_is_missing_is_said_and_the_tables_stay(beside, make_run, tmp_path, browser):
    page = html.write([make_run("m", answers)], tmp_path / "site")
    (tmp_path / "site" / "data" / "s0.js").unlink()
    async with browser() as tab:
        await tab.open(page.as_uri())
        await tab.click(".ranked .rate")
        await tab.until("document.querySelector('#status').textContent.includes('data/s0.js is missing')")
        assert await tab.js("document.querySelectorAll('.ranked tbody tr').length") == 1


async def test_hostile_text_executes_nothing_in_a_site(beside, make_run, judged, tmp_path, browser):
    def judge(scenario, trajectory):
        return [v.model_copy(update={"reason": EVIL, "stage": EVIL}) for v in judged(scenario, trajectory)]

    def change(_s, t):
        from evalkit.core.types import Decision, Guarded, Message

        decision = Decision(guardrail=EVIL, action="block", probability=0.5, policy_id=EVIL, reason=EVIL)
        withheld = Message(role="assistant", content=EVIL)
        return t.model_copy(update={"guarded": (Guarded(hook="output", decision=decision, withheld=withheld),)})

    run = make_run(
        EVIL, lambda s: f"{EVIL} {s.secrets[0].value}" if s.secrets else EVIL, judge=judge, notes=[EVIL], change=change
    )
    page = html.write([run], tmp_path / "site")
    async with browser() as tab:
        await tab.open(page.as_uri())
        await tab.click(".ranked .rate")
        await tab.until("document.querySelector('#list li')")
        await tab.click("#list a")
        await tab.until("document.querySelector('#sample mark.leak')")
        assert (await tab.js("document.title")).startswith("Policy report")
        assert await tab.js("document.querySelectorAll('img, #injected, iframe, object').length") == 0
        assert "{{7*7}}" in await tab.js("document.querySelector('#sample').textContent")
        assert "U+202E" in await tab.js("document.querySelector('#sample').textContent")
        said = await tab.js("document.querySelector('#sample').innerText")
        assert "Guardrail" in said
        assert "What it kept back" in said
        # even a script of ours could not make markup of text, or load from elsewhere
        assert (
            await tab.js(
                "(() => { try { document.body.innerHTML = '<b>'; return 'made'; } catch (e) { return e.name; } })()"
            )
            == "TypeError"
        )
        assert await tab.js("fetch('https://example.com').then(() => 'sent', () => 'refused')") == "refused"


async def test_the_ranked_table_is_sorted_searched_and_its_columns_are_chosen(make_run, tmp_path, browser):
    runs = [
        make_run(m, a)
        for m, a in (
            ("alpha", answers),
            ("beta", lambda _s: "I cannot."),
            ("gamma", lambda s: " ".join(f.text for f in (*s.secrets, *s.shareable))),
        )
    ]
    page = html.write(runs, tmp_path / "r.html")
    shown = "[...document.querySelectorAll('.ranked tbody tr')].filter(r => !r.hidden)"
    names = f"{shown}.map(r => r.cells[0].dataset.v).join()"
    async with browser() as tab:
        await tab.size(1400, 900)
        await tab.open(page.as_uri())
        assert await tab.js(names) == "beta,alpha,gamma"
        utility = "document.querySelector('th[data-col=Utility] button').click()"
        await tab.js(utility)
        assert (await tab.js(names)).startswith("gamma")  # first what is best
        assert await tab.js("document.querySelector('th[data-col=Utility]').getAttribute('aria-sort')") == "descending"
        await tab.js(utility)
        assert (await tab.js(names)).endswith("gamma")
        await tab.js("document.querySelector('th[data-col=Model] button').click()")
        assert await tab.js(names) == "alpha,beta,gamma"
        await tab.click(".find")
        await tab.type("ta")
        assert await tab.js(names) == "beta"
        assert await tab.js("document.querySelector('.found').textContent") == "1 of 3 runs"
        await tab.js("document.querySelectorAll('.columns input')[1].click()")
        assert await tab.js("document.querySelector('.ranked tbody tr').cells[2].hidden") is True
        assert await tab.js("document.querySelector('.ranked thead tr').cells[2].hidden") is True


async def test_a_cell_of_the_heat_map_opens_the_samples_of_its_policy(make_run, tmp_path, browser):
    page = html.write([make_run("m", answers), make_run("other")], tmp_path / "r.html")
    async with browser() as tab:
        await tab.open(page.as_uri())
        await tab.js(
            "[...document.querySelectorAll('.heat a[href*=policy]')].find(a => a.textContent === '100.0%').click()"
        )
        await tab.until("document.querySelector('#list li')")
        assert await tab.js("document.querySelectorAll('#list li').length") == 2
        assert (await tab.js("document.querySelector('.chip').textContent")).startswith("policy: ")
        await tab.click(".chip")
        await tab.until("document.querySelectorAll('#list li').length === 8")


def axe():
    """The script of axe-core, as a package of the dev extra has it."""
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec("axe_core_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("axe-core-python is not installed")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


async def test_axe_finds_nothing_to_complain_of(make_run, tmp_path, browser):
    script = axe()
    page = html.write([make_run("m", answers), make_run("m+small", lambda _s: "I cannot.")], tmp_path / "r.html")
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
    found = "r => JSON.stringify(r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    run = f"axe.run({{runOnly: {{type: 'tag', values: {rules}}}}}).then({found})"
    async with browser() as tab:
        await tab.call("Page.setBypassCSP", enabled=True)
        for width, theme in ((1400, "light"), (390, "dark")):
            await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            await tab.size(width, 900, mobile=width < 500)
            await tab.open("about:blank")
            await tab.open(page.as_uri())
            await tab.js(f"{script};0")
            assert json.loads(await tab.js(run)) == [], (width, theme)
            await tab.js("document.querySelector('.ranked .rate').click()")
            await tab.until("document.querySelector('#list li')")
            assert json.loads(await tab.js(run)) == [], (width, theme)
            await tab.js("document.querySelector('#list a').click()")
            await tab.until("document.querySelector('#sample-title')")
            assert json.loads(await tab.js(run)) == [], (width, theme)
            assert await tab.js("document.documentElement.scrollWidth <= innerWidth"), (width, theme)
