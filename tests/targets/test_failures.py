"""Status, headers and body of an error become the right kind, and no text carries a key."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import TargetError, UsageError
from evalkit.targets.failures import MESSAGE_LIMIT, api_key, clean, error_fields, from_status, retry_after, scrub

SECRET = "evk-9f8e7d6c5b4a39281706"


def kind(status: int, body: object = b"", headers=None) -> str:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return from_status(status, headers or {}, raw).kind


class TestKinds:
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (429, "rate_limit"),
            (500, "server_error"),
            (502, "server_error"),
            (503, "server_error"),
            (504, "server_error"),
            (529, "server_error"),
            (408, "timeout"),
            (401, "auth"),
            (403, "auth"),
            (404, "bad_request"),
            (400, "bad_request"),
            (422, "bad_request"),
            (302, "bad_request"),
        ],
    )
    def test_by_status(self, status, expected):
        assert kind(status) == expected

    @pytest.mark.parametrize(
        "body",
        [
            {"error": {"code": "content_filter", "message": "no"}},
            {
                "error": {
                    "code": "x",
                    "message": "The response was filtered",
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            {"error": {"message": "Your prompt triggered Azure OpenAI's content management policy."}},
            {"error": {"code": "content_policy_violation", "message": "no"}},
        ],
    )
    def test_a_400_of_the_content_filter(self, body):
        assert kind(400, body) == "content_filter"

    @pytest.mark.parametrize(
        "body",
        [
            {"error": {"code": "context_length_exceeded", "message": "too much"}},
            {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400},
            {"error": {"type": "exceed_context_size_error", "message": "request exceeds the available context size"}},
            {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}},
        ],
    )
    def test_a_400_of_the_context_length(self, body):
        assert kind(400, body) == "context_length"

    def test_an_account_without_credit_is_not_worth_waiting_for(self):
        assert kind(429, {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}) == "auth"

    def test_a_404_names_the_address_and_a_redirect_where_it_leads(self):
        assert "http://h/x" in from_status(404, {}, b"", "http://h/x").message
        assert "https://h/y" in from_status(301, {"location": "https://h/y"}, b"", "http://h/x").message


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"error": {"message": "it broke"}}',
            b'{"error": "it broke"}',
            b'{"message": "it broke"}',
            b'{"detail": "it broke"}',
            b'[{"error": {"message": "it broke", "status": "X"}}]',
            b"it broke",
            b"<html><style>p{color:red}</style><body><p>it broke</p></body></html>",
        ],
    )
    def test_the_message_is_found_in_every_shape(self, body):
        assert error_fields(body)["message"] == "it broke"

    @given(st.binary(max_size=200), st.integers(300, 599))
    def test_any_body_is_some_failure(self, body, status):
        error = clean(from_status(status, {}, body, "http://h/v1"), ())
        assert isinstance(error, TargetError)
        assert len(error.message) <= MESSAGE_LIMIT

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
            lambda x: (
                st.lists(x, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "message", "code", "param", "type", "detail", "innererror"]), x
                )
            ),
            max_leaves=10,
        )
    )
    def test_any_json_error_is_some_failure(self, data):
        fields = error_fields(orjson.dumps(data))
        assert all(v is None or isinstance(v, str) for v in fields.values())

    def test_nesting_deeper_than_can_be_written_is_survived(self):
        assert error_fields(b'{"error":{"message":' + b"[" * 600 + b"]" * 600 + b"}}")["message"] == "list"


class TestRetryAfter:
    NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "7"}, 7.0),
            ({"retry-after": "0.25"}, 0.25),
            ({"retry-after": "-3"}, 0.0),
            ({"retry-after": "nan"}, None),
            ({"retry-after": "inf"}, None),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "7", "retry-after-ms": "150"}, 0.15),
            ({"retry-after": "Sat, 01 Mar 2025 12:00:30 GMT"}, 30.0),
            ({"retry-after": "Sat, 01 Mar 2025 11:00:30 GMT"}, 0.0),
        ],
    )
    def test_seconds_milliseconds_and_dates(self, headers, seconds):
        assert retry_after(headers, self.NOW) == pytest.approx(seconds)

    @given(st.integers(0, 10**6))
    def test_every_http_date_is_read(self, seconds):
        date = format_datetime(self.NOW + timedelta(seconds=seconds), usegmt=True)
        assert retry_after({"retry-after": date}, self.NOW) == pytest.approx(seconds)

    @given(st.text(max_size=40))
    def test_no_header_breaks_it(self, text):
        found = retry_after({"retry-after": text}, self.NOW)
        assert found is None or found >= 0


class TestKeys:
    def test_evalkit_key_goes_anywhere_and_openai_key_only_to_openai(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-open")
        assert api_key("api.openai.com") == "sk-open"
        assert api_key("localhost") is None
        monkeypatch.setenv("EVALKIT_API_KEY", " evk \n")
        assert api_key("localhost") == api_key("api.openai.com") == "evk"

    def test_a_key_that_is_no_header_is_refused_without_being_shown(self, monkeypatch):
        monkeypatch.setenv("EVALKIT_API_KEY", "two\nlines-of-key")
        with pytest.raises(UsageError, match="EVALKIT_API_KEY") as caught:
            api_key("localhost")
        assert "lines-of-key" not in str(caught.value)

    @given(st.text(max_size=400), st.text(max_size=400))
    def test_the_key_is_never_in_a_message_wherever_it_stands(self, before, after):
        assert SECRET not in scrub(before + SECRET + after, (SECRET,))
        assert len(scrub(before + SECRET + after, (SECRET,))) <= MESSAGE_LIMIT

    def test_no_part_of_the_key_is_left_at_the_cut(self):
        for n in range(MESSAGE_LIMIT - 30, MESSAGE_LIMIT + 5):
            assert "evk-9f" not in scrub("x" * n + " " + SECRET, (SECRET,))

    def test_keys_of_the_environment_and_what_looks_like_one_go_too(self, monkeypatch):
        monkeypatch.setenv("MISTRAL_API_KEY", "plainlookingvalue")
        text = scrub("used plainlookingvalue and sk-proj-abcdef123456 and Bearer abcdefgh12345", ())
        assert text == "used [key] and [key] and [key]"

    def test_a_message_is_one_line(self):
        assert scrub("a\n\tb\x00c") == "a b c"
