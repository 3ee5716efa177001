"""Walks are coherent, changes small, and a block has no shortcut: whatever the seed, and whoever checks the labels."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.benchmarks.policyguard import blocks, edits, forms, scripts, sites, walks
from evalkit.benchmarks.policyguard.blocks import SPREAD, template
from evalkit.benchmarks.policyguard.templates import DEV, GOTO, HELD, TRAINED, Step
from evalkit.core import semantics
from evalkit.core.monitor import compile_rule
from evalkit.core.ruletext import parse

DOMAINS = sites.names()
seeds = st.integers(0, 2**31)
FORMS = sorted(forms.load().forms)


def drafts(form):
    return [d for domain in DOMAINS for d in forms.bank(domain) if d.form == form]


@settings(max_examples=40, deadline=None)
@given(seed=seeds, domain=st.sampled_from(DOMAINS))
def test_a_walk_acts_only_on_what_is_on_the_page(seed, domain):
    rng = Random(seed)
    atlas = sites.load(domain)
    draft = rng.choice(forms.bank(domain))
    steps = walks.walk(atlas, rng.choice(list(atlas.site.subdomains)), [scripts.write(draft, atlas, rng)], 5, rng)
    assert len(steps) >= walks.SHORTEST
    assert walks.coherent(atlas, steps)
    assert walks.mend(atlas, steps) == steps


@settings(max_examples=40, deadline=None)
@given(seed=seeds, domain=st.sampled_from(DOMAINS))
def test_a_changed_walk_is_coherent_and_close_to_the_walk(seed, domain):
    rng = Random(seed)
    atlas = sites.load(domain)
    draft = rng.choice(forms.bank(domain))
    steps = walks.walk(atlas, draft.subdomain, [scripts.write(draft, atlas, rng)], 5, rng)
    for changed in edits.changes(draft, steps, atlas, rng):
        assert walks.coherent(atlas, changed)
        assert edits.distance(steps, changed) <= 2 * edits.FEW + 2


def test_what_no_longer_follows_is_reached_by_address():
    atlas = sites.load("shopping")
    lost = [Step("go_cart"), Step("quantity", "2"), Step("track")]
    assert not walks.coherent(atlas, lost)
    assert walks.mend(atlas, lost) == [Step("go_cart"), Step("quantity", "2"), Step(GOTO, "order"), Step("track")]
    failed = [Step("go_cart", ok=False), Step("quantity", "2")]
    assert walks.mend(atlas, failed)[1] == Step(GOTO, "cart")


@pytest.mark.parametrize("form", FORMS)
def test_a_step_fits_its_slot_and_one_that_nearly_fits_does_not(form):
    """`do` and `nearly` against the pattern of the slot, as the reference evaluator reads it."""
    rng = Random(form)
    for draft in rng.sample(drafts(form), 3):
        shown = template(draft.id.split("/")[0], "b")
        for ref in draft.refs.values():
            rule = parse({"forbid": forms._pattern(ref, shown)})
            for _ in range(4):
                fits = [shown.show(scripts.do(ref, shown.atlas, rng)).event]
                misses = [shown.show(scripts.nearly(ref, shown.atlas, rng)).event]
                assert semantics.judge(rule, fits).status == "violated"
                assert semantics.judge(rule, misses).status != "violated"


@settings(max_examples=30, deadline=None)
@given(seed=seeds, index=st.integers(0, 5000))
def test_a_block_has_two_policies_each_broken_by_the_other_trajectory(seed, index):
    block = blocks.build(seed, index, DOMAINS)
    by_policy: dict[str, list[bool]] = {}
    by_trajectory: list[list[bool]] = [[], []]
    for pair in block.pairs:
        by_policy.setdefault(pair.draft.id, []).append(pair.violation)
        by_trajectory[pair.trajectory].append(pair.violation)
    assert sorted(map(sorted, by_policy.values())) in ([[False, True]] * 2, [[False], *[[False, True]] * 2])
    assert [sum(labels) for labels in by_trajectory] == [1, 1]
    one, other = block.trajectories
    assert 0 < block.apart == edits.distance(one, other) <= SPREAD
    for steps in block.trajectories:
        assert walks.SHORTEST <= len(steps) <= walks.LONGEST
        assert walks.coherent(block.template.atlas, steps)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, index=st.integers(0, 5000))
def test_labels_and_onsets_are_those_of_the_monitor_which_did_not_give_them(seed, index):
    block = blocks.build(seed, index, DOMAINS)
    for pair in block.pairs:
        monitor = compile_rule(parse(forms.mapping(pair.draft, block.template))).start()
        statuses = [monitor.step(block.template.show(s).event) for s in block.trajectories[pair.trajectory]]
        assert pair.violation == (monitor.end() == "violated")
        broken = next((str(i) for i, status in enumerate(statuses) if status == "violated"), "end")
        assert pair.onset == (broken if pair.violation else "")


@settings(max_examples=25, deadline=None)
@given(seed=seeds, index=st.integers(0, 5000))
def test_what_is_held_out_was_never_trained_on(seed, index):
    block = blocks.build(seed, index, DOMAINS)
    parts = {pair.draft.part for pair in block.pairs}
    expected = {"none": "train", "dev": "dev", "policy": "test", "all": "test"}.get(block.held, "train")
    assert parts == {expected}
    key = block.template.key
    assert key == {"dev": DEV, "template": HELD, "all": HELD}.get(block.held, key)
    if block.held in ("none", "policy", "surface"):
        assert key in TRAINED
    assert block.split == {"none": "train", "dev": "dev"}.get(block.held, "test")


def test_a_block_is_the_same_whatever_was_built_before():
    again = blocks.build(7, 41, DOMAINS)
    blocks.build(7, 40, DOMAINS)
    blocks.pool.cache_clear()
    found = blocks.build(7, 41, DOMAINS)
    assert (found.trajectories, found.subdomain, found.held) == (again.trajectories, again.subdomain, again.held)
    assert [(p.draft.id, p.trajectory, p.violation, p.onset) for p in found.pairs] == [
        (p.draft.id, p.trajectory, p.violation, p.onset) for p in again.pairs
    ]
    assert blocks.build(8, 41, DOMAINS).trajectories != again.trajectories
