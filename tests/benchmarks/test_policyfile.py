"""policies.yaml: what is written reads back; what is wrong is said with its place."""

import pytest

from evalkit.benchmarks import normative, policyfile
from evalkit.benchmarks.policyfile import PolicyEntry
from evalkit.core.errors import ContentError
from evalkit.core.types import Span

TEXT = "# Desk\n\nYou must pay.  \nNever\n  tell the “secret”.\n"


@pytest.fixture
def written(tmp_path):
    document = tmp_path / "desk.md"
    document.write_text(TEXT, encoding="utf-8")
    out = tmp_path / "made" / "policies.yaml"
    found = normative.extract(TEXT, "desk.md")
    policyfile.write(out, policyfile.dump(found.entries, policyfile.source_of(document, TEXT, out), ["a\nnote"]))
    return out


def test_a_file_reads_back_with_the_places_checked(written):
    file = policyfile.load(written)
    assert [e.quote for e in file.policies] == ["You must pay.", "Never\n  tell the “secret”."]
    assert written.read_text(encoding="utf-8").startswith("# a note\n")


def test_the_document_beside_the_file_is_named_relatively(tmp_path):
    document = tmp_path / "desk.md"
    document.write_text(TEXT, encoding="utf-8")
    assert policyfile.source_of(document, TEXT, tmp_path / "policies.yaml").path == "desk.md"


def test_a_changed_document_is_said(written, tmp_path):
    (tmp_path / "desk.md").write_text("New. " + TEXT, encoding="utf-8")
    with pytest.raises(ContentError, match=r"2 of 2 quotes do not stand .* first: policy 'pay|must"):
        policyfile.load(written)


def test_a_document_that_is_gone_is_no_error(written, tmp_path):
    (tmp_path / "desk.md").unlink()
    assert len(policyfile.load(written).policies) == 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("policies: []", "policies"),
        ("policies: [{id: a, kind: wish, quote: long enough}]", "kind"),
        ("policies: [{id: a, kind: limit}]", "neither quote nor text"),
        ("policies: [{id: a, kind: limit, text: x}, {id: a, kind: limit, text: y}]", "policy 'a' twice"),
        ("policies: [{id: a, kind: limit, text: x, challenge: 9}]", "challenge"),
        ("policies: [{id: A B, kind: limit, text: x}]", "id"),
    ],
)
def test_what_is_wrong_is_said_with_its_file(tmp_path, text, wanted):
    path = tmp_path / "policies.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContentError, match=wanted) as caught:
        policyfile.load(path)
    assert str(path) in str(caught.value)


def test_entries_become_the_policies_that_scenarios_carry():
    entry = PolicyEntry(
        id="pay", kind="limit", quote="pay\n ten", challenge=3, flow="till", source=Span(source="d", start=1, end=4)
    )
    [policy] = policyfile.policies([entry], "shop")
    assert (policy.id, policy.text, policy.kind, policy.challenge, policy.subdomain) == (
        "shop/pay",
        "pay ten",
        "limit",
        3,
        "till",
    )
    assert policy.source == entry.source
    assert policyfile.policies([entry])[0].id == "pay"


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x", encoding="utf-8")
    with pytest.raises(ContentError, match="file"):
        policyfile.write(blocked / "policies.yaml", "x")
