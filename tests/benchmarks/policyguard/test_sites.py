"""The sites of the content are whole; what is wrong with one is said by name; names vary as the splits need."""

import re

import pytest

from evalkit import content
from evalkit.benchmarks.policyguard import sites
from evalkit.benchmarks.policyguard.templates import DEV, GOTO, HELD, SCROLL, STOP, TRAINED, Step, Template, line_of
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.events import from_mappings
from evalkit.core.phrases import inflect
from evalkit.core.steps import Action, action_step, parse_action

GOOD = """\
id: shed
title: Shed
about: a tool shed
start: door
subdomains: {tools: tools, seeds: seeds, log: log}
values: {tool: [rake, spade, hoe], many: [1, 9]}
secrets: {code: "code ####"}
bar:
  go_log: {do: click link, names: [Log, Diary, Records], to: log, say: open the log}
pages:
  door:
    in: tools
    titles: [Door, Entry, Gate]
    elements:
      take: {do: click button, names: ["Take {v}", "Fetch {v}", "Lift {v}"], value: tool, is: risk, say: take a tool}
      many: {do: type spinbutton, names: [How many, Number, Amount], value: many, is: field, say: say how many}
  log:
    in: log
    titles: [Log page, Diary page, Record page]
    elements:
      note: {do: type textbox, names: [Note, Remark, Line], value: tool, is: public, say: write a note}
      code: {do: read text, names: [Code, Lock, Digits], secret: code, is: secret, say: look up the code}
flows:
  fetch: {in: tools, steps: [take, many, go_log]}
  sow: {in: seeds, steps: [take, many, note]}
  write: {in: log, steps: [go_log, note, code]}
"""


@pytest.fixture
def load(tmp_path):
    """Write a site and lay it out."""

    def write(text):
        path = tmp_path / "shed.yaml"
        path.write_text(text)
        return sites.atlas(content.load_yaml(path, sites.Site))

    return write


@pytest.mark.parametrize("domain", sites.names())
def test_every_shipped_site_is_whole_and_has_what_policies_need(domain):
    atlas = sites.load(domain)
    kinds = {n.element.is_ for n in atlas.nodes.values()}
    assert kinds == {"view", "field", "check", "risk", "public", "secret"}
    assert len(atlas.nodes) >= 45
    assert len(atlas.site.subdomains) >= 4
    assert {f.in_ for f in atlas.site.flows.values()} == set(atlas.site.subdomains)
    assert any(atlas.numeric(k) for k in atlas.nodes)
    assert list(sites.problems(atlas.site)) == []


def test_the_domains_are_the_five_of_the_paper_and_three_of_ours():
    assert sites.names() == list(sites.DOMAINS)
    with pytest.raises(UsageError, match=r"shoping.*shopping"):
        sites.load("shoping")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("to: log", "to: attic", "go_log.to: no page 'attic'"),
        ("value: tool, is: risk", "value: tols, is: risk", "take.value: no vocabulary 'tols'"),
        ("[Note, Remark, Line]", "[Note, Log, Line]", "'Log' is a name of go_log too"),
        ("[Note, Remark, Line]", '[Note, "A; b", Line]', "no quotes"),
        ("[How many, Number, Amount]", "[How many, Number]", "at least 3"),
        ("do: click link", "do: press link", "'press link' is not a verb"),
        ("say: write a note", "say: take a tool", "is said of take too"),
        ("steps: [take, many, note]", "steps: [take, many, nope]", "flows.sow: no element 'nope'"),
        ("sow: {in: seeds", "sow: {in: log", "subdomain seeds: no flow"),
        ("start: door", "start: window", "no page 'window'"),
        ("secret: code, is: secret", "secret: code, is: view", "what is read is a secret"),
        ('"Fetch {v}"', "Fetch it", "all of them have {v}, or none"),
        ("is: public", "is: bold", "is"),
    ],
)
def test_what_is_wrong_with_a_site_is_said(load, old, new, said):
    assert GOOD.count(old) == 1
    with pytest.raises(ContentError) as e:
        load(GOOD.replace(old, new))
    assert said in str(e.value)
    assert "shed.yaml" in str(e.value)


def test_ways_lead_by_the_shortest_links_and_not_by_what_has_consequences(load):
    atlas = load(GOOD)
    assert atlas.next == {("door", "log"): "go_log"}
    assert atlas.words("many") == tuple("123456789")
    for domain in sites.names():
        found = sites.load(domain)
        assert all(found.nodes[key].element.is_ != "risk" for key in found.next.values())


def test_templates_call_things_differently_and_held_out_ones_by_names_of_their_own():
    atlas = sites.load("shopping")
    trained = {Template(atlas, k).name(key) for k in TRAINED for key in atlas.nodes}
    for held in (DEV, HELD):
        names = [Template(atlas, held).name(key) for key in atlas.nodes]
        assert 0.6 < sum(name not in trained for name in names) / len(names) <= 1
    a, b = (Template(atlas, k) for k in "ab")
    assert sum(a.name(k) != b.name(k) for k in atlas.nodes) > len(atlas.nodes) / 5


def test_a_step_is_event_text_and_mapping_of_the_same_thing():
    atlas = sites.load("shopping")
    template = Template(atlas, "a")
    for key, node in atlas.nodes.items():
        for ok in (True, False):
            result = "card 4821 33 10" if node.verb == "read" and ok else None
            step = Step(key, next(iter(atlas.words(key)), None), ok, result)
            shown = template.show(step)
            assert from_mappings([shown.mapping])[0] == shown.event
            outcome = result if ok else "failed"
            e = shown.event
            action = Action(e.name, e.role, e.target, e.arguments.get("value"), outcome)
            assert shown.line == action_step(action) == line_of(e)
            assert parse_action(shown.line) == action
    assert template.show(Step(GOTO, "cart")).line.startswith("Goto page '")
    assert template.show(Step(SCROLL, "down")).line == "Scroll: 'down'"
    assert template.show(Step(STOP, "done")).line == "Stop: 'done'"


def test_a_name_with_a_value_is_matched_by_a_pattern_without_it():
    template = Template(sites.load("shopping"), "a")
    assert template.name("open_order").endswith("*")
    assert template.name("open_order", "184021").endswith(" 184021")


def test_the_verbs_of_the_content_are_inflected_as_english_has_them():
    verbs = {n.element.say.split()[0] for d in sites.names() for n in sites.load(d).nodes.values()}
    irregular = {v: inflect(f"{v} it", "participle").split()[0] for v in verbs}
    regular = {v for v, done in irregular.items() if done in (f"{v}ed", f"{v}d", f"{v[:-1]}ied")}
    assert {v: irregular[v] for v in verbs - regular} == {v: done for v, done in KNOWN.items() if v in verbs - regular}
    assert verbs - regular <= set(KNOWN)
    doubled = {v for v in verbs if re.fullmatch(rf"{v}{v[-1]}ing", inflect(v, "gerund"))}
    assert doubled == verbs & {"ban", "cancel", "commit", "flag", "get", "put", "run", "set", "ship", "star"}


KNOWN = {
    "ban": "banned", "buy": "bought", "cancel": "cancelled", "choose": "chosen", "commit": "committed", "find": "found",
    "flag": "flagged", "get": "got", "give": "given", "hide": "hidden", "hold": "held",
    "make": "made", "pay": "paid", "put": "put", "read": "read", "run": "run", "send": "sent", "set": "set",
    "ship": "shipped", "star": "starred", "undo": "undone", "write": "written",
}  # fmt: skip
