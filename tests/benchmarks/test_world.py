"""A world: tools over a database of its own, in which nothing an agent sends can do harm or raise."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.benchmarks import database, events
from evalkit.benchmarks import domain as domains
from evalkit.benchmarks.world import World, diff, template
from evalkit.core.errors import ContentError

TRAVELLER = {"id": "T1", "name": "Ada Keller", "birth_date": "1980-01-02", "email": "ada@x.example", "phone": "+31 6 1",
             "passport_no": "NA1", "tier": "none"}  # fmt: skip
CARD = {"id": "PM1", "traveller_id": "T1", "kind": "Visa", "digits": "1234", "label": "Visa ending in 1234"}
FLIGHT = {"id": "TN1", "origin": "AMS", "destination": "LIS", "departs_at": "2026-03-20T10:00", "delay_min": 0,
          "arrives_at": "2026-03-20T13:00", "status": "scheduled", "seats_economy": 5, "seats_business": 2,
          "price_economy": 200, "price_business": 400, "ops_note": "none"}  # fmt: skip
BOOKING = {"id": "B1", "traveller_id": "T1", "flight_id": "TN1", "passenger": "Ada Keller", "seats": 1,
           "cabin": "economy", "fare": "flex", "insured": 0, "price": 200, "paid_with": "PM1",
           "status": "confirmed", "dispute": "none", "times_changed": 0, "booked_at": "2026-01-01T10:00"}  # fmt: skip
ROWS = [("bookings", BOOKING), ("flights", FLIGHT), ("payments", CARD), ("travellers", TRAVELLER)]


@pytest.fixture
def world(travel):
    with World(travel, ROWS) as found:
        yield found


def call(world, name, **arguments):
    return world.call(name, json.dumps(arguments))


def test_rows_may_come_in_any_order_and_a_dangling_one_is_told(travel):
    with World(travel, ROWS) as world:
        assert call(world, "get_booking", booking_id="B1").ok
    with pytest.raises(ContentError, match="FOREIGN KEY"):
        World(travel, [("bookings", BOOKING)])
    with pytest.raises(ContentError, match="CHECK"):
        World(travel, [("travellers", {**TRAVELLER, "tier": "platinum"})])


def test_results_have_their_shapes(world):
    assert json.loads(call(world, "verify_identity", customer_no="T1", birth_date="1980-01-02").content) == {
        "verified": 1
    }
    assert json.loads(call(world, "get_traveller", customer_no="T1").content) == TRAVELLER
    assert [b["id"] for b in json.loads(call(world, "list_bookings", customer_no="T1").content)] == ["B1"]
    done = call(world, "cancel_booking", booking_id="B1", refund_amount=200, refund_to="PM1")
    assert json.loads(done.content) == {"ok": True, "refund_id": "RF-0001"}


def test_a_tool_has_its_own_errors(world):
    found = call(world, "get_booking", booking_id="B9")
    assert (found.ok, found.error) == (False, "no booking B9")
    assert json.loads(found.content) == {"error": "no booking B9"}
    assert (
        call(world, "cancel_booking", booking_id="B1", refund_amount=1, refund_to="PM9").error
        == "no payment method PM9"
    )


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("no_such_tool", "{}", "no tool 'no_such_tool'; there are: verify_identity"),
        ("get_booking", "{", "no JSON"),
        ("get_booking", "[1]", "the arguments are a list"),
        ("get_booking", "null", "the arguments are null"),
        ("get_booking", "3", "the arguments are a number"),
        ("get_booking", "", "'booking_id' is a required property"),
        ("get_booking", '{"booking_id": 3}', "booking_id: 3 is not of type 'string'"),
        ("get_booking", '{"booking_id": "B1", "or": 1}', "Additional properties"),
        ("add_bags", '{"booking_id": "B1", "count": 0, "amount": 1, "charge_to": "PM1"}', "count: 0 is less than"),
        ("hand_over", '{"customer_no": "T1", "desk": "king", "summary": "abc"}', "desk: 'king' is not one of"),
    ],
)
def test_a_bad_call_is_an_error_result_that_says_what_would_be_right(world, name, arguments, words):
    before = world.snapshot()
    found = world.call(name, arguments)
    assert not found.ok
    assert words in found.error
    assert world.snapshot() == before


@pytest.mark.parametrize(
    "text",
    [
        "B1' OR '1'='1",
        "'; DROP TABLE bookings; --",
        "B1\x00",
        "\ud800",
        "B1') UNION SELECT * FROM travellers --",
        "💥" * 50,
        "%",
    ],
)
def test_text_that_looks_like_sql_is_only_text(world, text):
    before = world.snapshot()
    for name in ("get_booking", "send_confirmation"):
        found = call(world, name, booking_id=text)
        assert not found.ok
        found.content.encode()
    assert world.snapshot() == before
    noted = call(world, "add_note", customer_no="T1", text=text.replace("\ud800", "x") + "abc")
    assert noted.ok
    assert world.query("SELECT COUNT(*) FROM bookings", {}) == len(before["bookings"])


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=40)
@given(st.data())
def test_no_arguments_whatever_raise_or_break_the_world(travel, data):
    tool = data.draw(st.sampled_from(travel.tools))
    known = st.sampled_from(["T1", "B1", "TN1", "PM1", "1980-01-02", "email", "payments", 1, 10**30, -1, 0.5])
    arguments = data.draw(
        st.one_of(
            st.text(max_size=20),
            json_values.map(json.dumps),
            st.fixed_dictionaries({a: st.one_of(known, json_values) for a in tool.arguments}).map(json.dumps),
        )
    )
    with World(travel, ROWS) as world:
        before = world.snapshot()
        found = world.call(tool.name, arguments)
        assert ("error" in json.loads(found.content)) == (not found.ok) or found.ok
        after = world.snapshot()
        if not found.ok or tool.access == "read":
            assert after == before
        assert set(after) == set(before)
        assert world.select("PRAGMA foreign_key_check", {}) == []


def test_a_failed_write_leaves_nothing_behind_and_takes_no_id(world):
    before = world.snapshot()
    assert not call(world, "book_flight", customer_no="T1", flight_id="TN1", passenger="Ada", seats=9, amount=1,
                    charge_to="PM1").ok  # fmt: skip
    assert world.snapshot() == before
    done = call(
        world, "book_flight", customer_no="T1", flight_id="TN1", passenger="Ada", seats=2, amount=1, charge_to="PM1"
    )
    assert json.loads(done.content)["booking_id"] == "NB-0001"


def test_several_statements_are_one(copy):
    folder = copy("tools.yaml", ":booking_id, :refund_amount, :refund_to, :now)", ":booking_id, 1, 'nobody', :now)")
    with World(domains.read(folder), ROWS) as world:
        before = world.snapshot()
        found = call(world, "cancel_booking", booking_id="B1", refund_amount=200, refund_to="PM1")
        assert "FOREIGN KEY" in found.error
        assert world.snapshot() == before
        assert call(world, "send_confirmation", booking_id="B1").ok  # no transaction is left open


def test_two_worlds_are_apart_and_the_same(travel):
    with World(travel, ROWS) as one, World(travel, ROWS) as other:
        start = one.snapshot()
        assert other.snapshot() == start
        deeds = [("cancel_booking", {"booking_id": "B1", "refund_amount": 200, "refund_to": "PM1"}),
                 ("add_note", {"customer_no": "T1", "text": "cancelled"})]  # fmt: skip
        for name, arguments in deeds:
            call(one, name, **arguments)
        assert other.snapshot() == start
        for name, arguments in deeds:
            call(other, name, **arguments)
        assert json.dumps(other.snapshot()) == json.dumps(one.snapshot())


def test_the_clock_goes_on_by_calls_and_not_by_time(world):
    first = world.now
    call(world, "get_booking", booking_id="B1")
    call(world, "add_note", customer_no="T1", text="abc")
    assert (world.now - first).total_seconds() == 120
    assert world.query("SELECT written_at FROM notes", {}) == "2026-03-10T09:02"


def test_the_difference_tells_what_was_added_removed_and_changed(world, travel):
    before = world.snapshot()
    call(world, "cancel_booking", booking_id="B1", refund_amount=200, refund_to="PM1")
    found = diff(before, world.snapshot(), travel.tables)
    assert set(found) == {"bookings", "refunds"}
    assert found["bookings"] == {
        "changed": [{"key": {"id": "B1"}, "before": {"status": "confirmed"}, "after": {"status": "cancelled"}}]
    }
    assert found["refunds"]["added"][0]["amount"] == 200
    assert diff(before, before, travel.tables) == {}
    back = diff(world.snapshot(), before, travel.tables)
    assert back["refunds"]["removed"][0]["id"] == "RF-0001"


def test_questions_about_the_end_state_cannot_write(world):
    with pytest.raises(ContentError, match="readonly"):
        world.query("DELETE FROM bookings", {})
    with pytest.raises(ContentError, match="no such column"):
        world.query("SELECT nonsense FROM bookings", {})
    assert world.query("SELECT id FROM bookings WHERE id = :id", {"id": "B1"}) == "B1"
    assert world.query("SELECT id FROM bookings WHERE id = 'B9'", {}) is None


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM bookings", "SELECT * FROM sqlite_master", "ATTACH '/tmp/x' AS y",
     "PRAGMA foreign_keys = OFF",
     "SELECT load_extension('x')", "SELECT random()", "SELECT date('now')", "SELECT 1; DELETE FROM bookings",
     "DROP TABLE bookings", "SELECT :nobody"],
)  # fmt: skip
def test_a_read_tool_that_does_more_than_read_is_refused_when_it_is_loaded(copy, sql):
    folder = copy("tools.yaml", "SELECT * FROM bookings WHERE id = :booking_id", sql)
    with pytest.raises(ContentError, match="tool get_booking"):
        domains.read(folder)


def test_a_result_too_long_to_read_is_an_error(travel):
    voucher = {"traveller_id": "T1", "booking_id": "B1", "amount": 1, "issued_at": "2026"}
    vouchers = [("vouchers", {"id": f"V{i}", **voucher}) for i in range(300)]
    with World(travel, [*ROWS, *vouchers]) as world:
        found = call(world, "list_vouchers", booking_id="B1")
    assert "300 rows, at most 200" in found.error


def test_the_template_is_made_once_and_the_same_every_time(travel):
    assert template(travel) is template(domains.load("travel"))
    rows = template(travel).connection.execute("SELECT * FROM bookings").fetchall()
    assert len(rows) == 12


def test_a_schema_that_is_wrong_names_its_file(copy):
    folder = copy("schema.sql", "CREATE TABLE airports (", "CREATE TABEL airports (")
    with pytest.raises(ContentError, match=r"schema\.sql: near \"TABEL\""):
        domains.read(folder)


def test_many_worlds_are_quick(travel):
    event = events.build(travel, ["basic-stays", "amount-consent"], 0)
    events.play(travel, event, event.gold)
    started = time.process_time()
    for _ in range(50):
        events.play(travel, event, event.gold)
    spent = (time.process_time() - started) / 50
    assert spent < 0.06, f"{spent * 1000:.1f} ms of CPU a scripted dialogue: 500 would take more than half a minute"


def test_a_calculator_knows_no_table():
    assert database.Calculator().value("max(40, :a * 25 / 100)", {"a": 200}, "here") == 50
    with pytest.raises(ContentError, match=r"here: .*:b"):
        database.Calculator().value(":b", {"a": 1}, "here")
