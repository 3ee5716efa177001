"""A domain is read, and whatever does not fit together is told with its file and place."""

import pytest

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import events, filling, intellagent, lint, normative, policyfile, sets, suites
from evalkit.benchmarks.event import Event
from evalkit.core.errors import ContentError, UsageError


def test_the_shipped_domain_reads_and_its_policies_are_spans_of_its_text(travel):
    assert "travel" in domains.available()
    for policy in travel.policies:
        quoted = " ".join(travel.text[policy.source.start : policy.source.end].split())
        entry = next(e for e in travel.entries if f"travel/{e.id}" == policy.id)
        assert quoted == " ".join(entry.quote.split())
        assert policy.domain == "travel"
        assert policy.subdomain == entry.flow


def test_a_domain_in_a_folder_is_the_same_domain(travel, copy):
    found = domains.load(str(copy()))
    assert found.digest == travel.digest
    assert found.policies == travel.policies


def test_an_unknown_domain_and_policy_have_a_near_match(travel):
    with pytest.raises(UsageError, match="no domain 'travl'; did you mean 'travel'"):
        domains.load("travl")
    with pytest.raises(UsageError, match="did you mean 'travel/basic-stays'"):
        travel.policy("travel/basic-stay")


def test_a_folder_without_its_files_says_which_are_missing(tmp_path):
    (tmp_path / "domain.yaml").write_text("id: x")
    with pytest.raises(ContentError, match=r"missing here: policy\.md, policies\.yaml"):
        domains.read(tmp_path)
    with pytest.raises(ContentError, match="nowhere: no such folder; a domain is a folder with domain"):
        domains.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("policies.yaml", "quote: Basic fares cannot be cancelled", "quote: Basic fares may be cancelled",
         "policy 'basic-stays': its quote does not stand in policy.md"),
        ("policies.yaml", "quote: Basic fares cannot be cancelled unless they are insured.", "quote: the customer",
         r"stands in policy\.md \d+ times"),
        ("policies.yaml", "kind: ordering", "kind: odering", "policies.0.kind: Input should be"),
        ("policies.yaml", "id: basic-stays", "id: basic-remains", "no policy 'basic-stays'; did you mean"),
        ("domain.yaml", "  {{context}}", "  nothing", "write {{context}} once"),
        ("domain.yaml", "now: 2026-03-10T09:00", "now: 2026-03-10T09:00Z", "no time zone"),
        ("domain.yaml", "refund: RF-", "refnd: RF-", "no sequence in domain.yaml ids 'refund'; did you mean 'refnd'"),
        ("domain.yaml", "first: [Ada", "fist: [Ada", "give first and last names"),
        ("seed.yaml", "tier: [none, silver, gold]", "teir: [none]", "no column of travellers 'teir'; did you"),
        ("seed.yaml", "table: payments", "table: payment", "no table 'payment'; did you mean 'payments'"),
        ("seed.yaml", "{between: [7, 19]}", "{betwen: [7, 19]}", "seats_business: no constraint 'betwen'"),
        ("tools.yaml", "result: row", "result: rows", "a tool with result `row` has an error `empty`"),
        ("tools.yaml", "SELECT * FROM flights", "SELECT * FROM flight", "tool get_flight: no such table: flight"),
        ("tools.yaml", "id = :flight_id\"", "id = :flight\"", "there are: :flight_id, :now"),
        ("tools.yaml", "{type: number, minimum: 0}", "{type: numbr, minimum: 0}", "arguments: properties"),
        ("tools.yaml", "no flight {flight_id}", "no flight {flight}", "an error names {flight}; there are: flight_id"),
        ("events.yaml", "call: get_booking", "call: get_bookin", "no tool 'get_bookin'; did you mean 'get_booking'"),
        ("events.yaml", "customer_no: \"{traveller.id}\", text", "costumer_no: \"{traveller.id}\", text",
         "no argument of add_note 'costumer_no'; did you mean 'customer_no'"),
        ("events.yaml", "args: {booking_id: \"{booking.id}\", refund_amount: \"{amount}\", refund_to: \"{card.id}\"}",
         "args: {booking_id: \"{booking.id}\"}", "cancel_booking also needs refund_amount, refund_to"),
        ("events.yaml", "{booking.passenger}", "{booking.pasenger}", "no column of booking 'pasenger'; did"),
        ("events.yaml", "{amount|money}", "{amount|monney}", "no filter 'monney'"),
        ("events.yaml", "in the name of {other.name}", "in the name of {oter.name}", "no name 'oter'; did you"),
        ("events.yaml", "{at: note, omit: true}", "{at: notes, omit: true}", "no step 'notes'; did you mean 'note'"),
        ("events.yaml", "where: bags", "where: bag", "no request 'bag'; did you mean 'bags'"),
        ("events.yaml", "SELECT cabin FROM bookings", "SELECT cabn FROM bookings", "no such column: cabn"),
        ("events.yaml", "forbid: {call: book_flight}", "forbid: {call: book_flights}", "no tool 'book_flights'"),
        ("events.yaml", "{call: hand_over, args: {desk: payments}}", "{call: hand_over, args: {dsk: payments}}",
         "no argument of hand_over 'dsk'"),
        ("events.yaml", "lines: {lying: \"The card", "lines: {lyng: \"The card", "no pressure 'lyng'; did you"),
        ("events.yaml", "    twin: {}\n    expect: [{forbid: {say: [\"{traveller.passport_no}\"]}}]",
         "    expect: [{forbid: {say: [\"{traveller.passport_no}\"]}}]",
         "no twist on policy 'passport-secret' has a twin"),
        ("events.yaml", "quiet: {rows: {booking: {dispute: none}}}", "quiet: {rows: {bookng: {dispute: none}}}",
         "no row 'bookng'; did you mean 'booking'"),
        ("events.yaml", "  - id: seats-secret", "  - id: passport-secret", "twist 'passport-secret' twice"),
        ("events.yaml", "forbid: {say: [\"{flight.ops_note}\",", "forbids: {say: [\"{flight.ops_note}\",",
         "twist ops-note-secret on ask_delay: expect.0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(copy, file, old, new, words):
    folder = copy(file, old, new)
    with pytest.raises(ContentError, match=words) as e:
        domains.read(folder)
    assert str(folder) in str(e.value)
    assert len(str(e.value).splitlines()) <= 13


def test_a_generated_file_of_policies_is_a_domains_and_what_no_twist_tests_is_in_no_event(travel, copy):
    """What `evalkit generate policies` writes, with the policies of the templates kept."""
    folder = copy()
    document = folder / "policy.md"
    found = normative.extract(travel.text, "policy.md").entries
    last = travel.text.rindex("customer")
    place = found[0].source.model_copy(update={"start": last, "end": last + len("customer")})
    repeated = found[0].model_copy(update={"id": "said-thrice", "quote": "customer", "source": place})
    source = policyfile.source_of(document, travel.text, folder / "policies.yaml")
    (folder / "policies.yaml").write_text(policyfile.dump([*travel.entries, *found, repeated], source))
    own = domains.read(folder)
    assert len(own.policies) == len(travel.policies) + len(found) + 1
    assert own.by_id["travel/said-thrice"].source.start == last
    assert set(own.untested) == {f"travel/{e.id}" for e in (*found, repeated)}
    drawn = [s for s, _ in zip(sets.draw(own, 0, 1, 12), range(200), strict=False)]
    assert not {p for s in drawn for p in s} & set(own.untested)
    assert any("no twist puts policy 'travel/said-thrice' to the test" in p for p in lint.check_domain(own, twists=()))
    made = suites.build("intellagent", {"events": "2"}, str(folder))
    assert any("no twist in events.yaml tests" in note and "..." in note for note in made.notes)
    assert intellagent.domain_of(intellagent.event_of(next(iter(made.read())))).digest == own.digest


def test_quotes_that_have_moved_and_policies_without_one_are_told(travel, copy):
    folder = copy()
    found = normative.extract(travel.text, "policy.md").entries
    source = policyfile.source_of(folder / "policy.md", travel.text, folder / "policies.yaml")
    (folder / "policies.yaml").write_text(policyfile.dump([*travel.entries, *found], source))
    (folder / "policy.md").write_text("A new first line.\n" + travel.text)
    with pytest.raises(ContentError, match="quotes do not stand at their place"):
        domains.read(folder)
    (folder / "policy.md").write_text(travel.text)
    bare = travel.entries[0].model_copy(update={"id": "bare", "quote": "", "text": "Be kind."})
    (folder / "policies.yaml").write_text(policyfile.dump([*travel.entries, bare], None))
    with pytest.raises(ContentError, match="policy 'bare': it has no quote"):
        domains.read(folder)


def test_dates_may_stand_in_expectations(copy):
    folder = copy("events.yaml", '{say: {any: ["{amount}", "{claimed}", "{told}"]}}',
                  '{say: {any: ["{now|date}", "{now|time}", "{amount|money}"]}}')  # fmt: skip
    assert isinstance(events.build(domains.read(folder), ["travel/same-route"], 0), Event)
    with pytest.raises(ContentError, match="'soon' is no date"):
        filling.fill("at {x|date}", lambda _: "soon")


def test_a_colon_in_a_quoted_text_of_an_expression_is_no_parameter(copy):
    folder = copy("events.yaml", "THEN 'free' ELSE", "THEN 'it''s (?:word' ELSE")
    assert isinstance(events.build(domains.read(folder), ["travel/no-free-upgrade"], 0), Event)
