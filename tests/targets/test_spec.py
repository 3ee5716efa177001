"""What the user types after --model."""

import pytest

from evalkit.core.errors import UsageError
from evalkit.core.protocols import Target
from evalkit.core.types import TargetOptions
from evalkit.targets.spec import FORMS, resolve

OPTIONS = TargetOptions()


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("scripted/refuses", "scripted/refuses"),
        ("http://127.0.0.1:8000/v1#m", "http://127.0.0.1:8000/v1#m"),
        ("python:json:dumps", "python:json:dumps"),
    ],
)
def test_a_name_becomes_a_target_of_that_name(typed, name):
    target = resolve(typed, OPTIONS)
    assert isinstance(target, Target)
    assert target.name == name


def test_with_a_base_url_any_name_is_a_model_there():
    target = resolve("org/model-7b", TargetOptions(base_url="http://127.0.0.1:9/v1"))
    assert target.name == "http://127.0.0.1:9/v1#org/model-7b"


def test_own_targets_are_found_by_module_and_name(tmp_path, monkeypatch):
    (tmp_path / "own_target.py").write_text(
        "from evalkit.core.types import Reply\n\n\nclass Own:\n    name = 'own'\n\n"
        "    async def generate(self, request):\n        return Reply(text='own')\n\n\nready = Own()\n"
    )
    monkeypatch.chdir(tmp_path)
    for typed in ("own_target:Own", "own_target:ready"):
        assert resolve(typed, OPTIONS).name == "own"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("smollm", "did you mean 'smollm2'"),
        ("gpt-4", "no model 'gpt-4'"),
        ("litellm/", "a name is missing"),
        ("replay:", "a name is missing"),
        ("scripted/echoes", "did you mean 'echo'"),
        ("http://127.0.0.1:8000/v1", "#"),
        ("", "no model ''"),
    ],
)
def test_a_wrong_name_says_what_is_right(typed, message):
    with pytest.raises(UsageError, match=message):
        resolve(typed, OPTIONS)


def test_every_form_that_an_error_lists_is_known():
    assert len(FORMS) == len(set(FORMS))
