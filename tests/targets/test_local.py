"""Local models: a tiny random one made here for the shape of things, and the embedded one where it is installed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.core.errors import EvalkitError, MissingDependency, TargetError, UsageError
from evalkit.core.types import Message, Request, TargetOptions
from evalkit.targets import local, models
from evalkit.targets.batched import Job

torch = pytest.importorskip("torch", reason="needs the `local` extra")
transformers = pytest.importorskip("transformers", reason="needs the `local` extra")
torch.set_num_threads(1)  # threads that wait for each other are slow where other tests run beside

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def chat(text, system=None):
    messages = [Message(role="user", content=text)]
    return tuple([Message(role="system", content=system), *messages] if system else messages)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder as people have them: random weights, bytes as tokens, a chat template."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    raw = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(SPECIAL)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=400, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.3)
    where = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(where)
    tokenizer.save_pretrained(where)
    return where


@pytest.fixture
async def tiny(folder):
    target = local.make(str(folder), TargetOptions())
    yield target
    await target.aclose()


async def failure(target, request):
    with pytest.raises(TargetError) as e:
        await target.generate(request)
    return e.value.kind, e.value.message


async def test_many_requests_at_once_are_answered_each_with_its_own_answer(tiny, folder):
    asked = [chat(f"{n} " * 30 + "what?", system="Be brief. " * 10) for n in range(6)]
    alone = [await tiny.generate(Request(m, {"max_tokens": 8})) for m in asked]
    together = await asyncio.gather(*(tiny.generate(Request(m, {"max_tokens": 8})) for m in asked))
    assert [r.text for r in together] == [r.text for r in alone]
    assert len({r.text for r in together}) > 1
    assert tiny.name == f"local/{folder}"
    first = together[0]
    assert first.usage.prompt_tokens == tiny.count_tokens(asked[0])
    assert first.usage.completion_tokens == 8
    assert first.stop == "length"
    assert first.latency_s is not None
    assert any(r.usage.cached_tokens for r in together)


def test_the_prompt_is_the_template_and_nothing_else(folder):
    target = local.make(str(folder), TargetOptions())
    ids = target._ids(chat("Hi <|end|>", system="S"))
    assert target._tokenizer.decode(ids) == "<|system|>S<|end|><|user|>Hi <|end|><|end|><|assistant|>"


async def test_a_prompt_longer_than_the_model_takes_is_never_cut(tiny):
    kind, message = await failure(tiny, Request(chat("x" * 300), {"max_tokens": 100}))
    assert kind == "context_length"
    assert "has 303 tokens" in message
    assert "takes 400" in message
    assert (await tiny.generate(Request(chat("x" * 300), {"max_tokens": 97}))).usage.prompt_tokens == 303


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(chat("x"), {"top_k": 3}), "knows no parameter 'top_k'; it knows max_tokens"),
        (Request(chat("x"), {"max_tokens": 0}), "at least 1"),
        (Request(chat("x"), tools=({"type": "function"},)), "takes no tools"),
        (Request((Message(role="tool", content="x", tool_call_id="1"),)), "no tools here"),
    ],
    ids=["parameter", "length", "tools", "template"],
)
async def test_what_it_cannot_do_is_said(tiny, request_, said):
    kind, message = await failure(tiny, request_)
    assert kind == "bad_request"
    assert said in message


async def test_a_stop_text_cuts_the_answer(tiny):
    whole = (await tiny.generate(Request(chat("x"), {"max_tokens": 30}))).text
    stop = whole[8:10]
    cut = await tiny.generate(Request(chat("x"), {"max_tokens": 30, "stop": stop}))
    assert cut.text == whole[: whole.index(stop)].strip()
    assert cut.stop == "stop"


async def test_sampling_follows_seed_and_epoch(tiny):
    def ask(seed, epoch=0):
        return tiny.generate(Request(chat("x"), {"max_tokens": 20, "temperature": 1.5, "seed": seed}, epoch=epoch))

    a, same, epoch, seed = await asyncio.gather(ask(1), ask(1), ask(1, epoch=1), ask(2))
    assert a.text == same.text
    assert a.text != epoch.text
    assert epoch.text == seed.text  # the seed of an epoch is seed + epoch


async def test_a_cancelled_request_does_not_stop_the_others(tiny):
    gone = asyncio.create_task(tiny.generate(Request(chat("a"), {"max_tokens": 300})))
    stays = asyncio.create_task(tiny.generate(Request(chat("b"), {"max_tokens": 20})))
    await asyncio.sleep(0.05)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (await stays).usage.completion_tokens <= 20
    assert (await tiny.generate(Request(chat("c"), {"max_tokens": 3}))).text


def test_an_answer_without_a_word_is_an_error(folder):
    target = local.make(str(folder), TargetOptions())
    job = Job(ids=[1], deliver=print, max_tokens=3, stop="stop")
    with pytest.raises(TargetError, match="without a word") as e:
        target._reply(job)
    assert e.value.kind == "empty"


async def test_weights_that_do_not_load_are_an_error_of_each_request(folder, tmp_path):
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    target = local.make(str(tmp_path), TargetOptions())
    kind, message = await failure(target, Request(chat("x")))
    assert kind == "target"
    assert "model.safetensors" in message
    assert "\n" not in message
    await target.aclose()


def test_a_model_without_a_chat_template_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(EvalkitError, match="no chat template"):
        local.make(str(tmp_path), TargetOptions())


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("", "local/FOLDER"),
        ("./nowhere", "no folder './nowhere'"),
        ("/nowhere/model.gguf", "no file /nowhere/model.gguf"),
        ("a/b/c", "no folder 'a/b/c'"),
        ("someone/some-model", "cannot get the model 'someone/some-model'.*smollm2"),
    ],
)
def test_names_that_lead_nowhere_say_what_would(rest, said, monkeypatch):
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    with pytest.raises(EvalkitError, match=said) as e:
        local.make(rest, TargetOptions())
    assert "\n" not in str(e.value)


def test_a_folder_that_is_no_model_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EvalkitError, match=f"{tmp_path} is no model"):
        local.make(str(tmp_path), TargetOptions())


def test_a_file_that_is_no_gguf_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(local, "notify", lambda line: None)
    (tmp_path / "x.gguf").write_bytes(b"GGUF no")
    with pytest.raises(EvalkitError, match="cannot convert") as e:
        local.make(str(tmp_path / "x.gguf"), TargetOptions())
    assert "\n" not in str(e.value)
    assert not [p for p in (tmp_path / "models").rglob("*") if p.is_file()]


def test_smollm2_takes_no_further_name():
    with pytest.raises(UsageError, match="smollm2 takes nothing"):
        local.make_embedded("big", TargetOptions())


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'evalkit-safety\[local\]'"):
        local.make_embedded("", TargetOptions())


def test_importing_the_target_imports_nothing_heavy():
    code = "import sys, evalkit.targets.local; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(Path(local.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"


# the embedded model ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2():
    if models.path("smollm2") is None:
        pytest.skip("smollm2 is not in the cache: evalkit models pull smollm2")
    return local.make_embedded("", TargetOptions())


@pytest.mark.model
def test_the_template_is_the_one_in_the_file(smollm2):
    from gguf import GGUFReader

    fields = GGUFReader(models.path("smollm2")).fields
    assert smollm2._tokenizer.chat_template == fields["tokenizer.chat_template"].contents()
    assert smollm2._context == fields["llama.context_length"].contents()


@pytest.mark.model
def test_a_chat_without_system_message_gets_the_models_own(smollm2):
    def text(messages):
        return smollm2._tokenizer.decode(smollm2._ids(messages))

    assert text(chat("Hi")) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text(chat("Hi", system="Be kind.")) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.model
def test_digits_are_single_tokens_and_blank_lines_stay_whole_before_them(smollm2):
    pieces = smollm2._tokenizer.tokenize("in 2024:\n\n1. $4.2 million")
    assert pieces[:6] == ["in", "Ġ", "2", "0", "2", "4"]
    assert pieces[6:9] == [":", "ĊĊ", "1"]


@pytest.mark.model
async def test_batched_answers_of_smollm2_are_those_of_transformers(smollm2):
    notes = "Minutes. " + " ".join(f"Item {n}: the depot in Ward {n} costs {n * 37} pounds." for n in range(1, 11))
    asked = [
        chat("What is the capital of France?"),
        *(chat(f"{notes}\n\nQuestion: {q}", "Answer briefly.") for q in
          ("What does the depot in Ward 3 cost?", "Which wards have a depot?", "Say something kind.")),
    ]  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2._folder, dtype=torch.float32).eval()
    expected = []
    for messages in asked:
        ids = torch.tensor([smollm2._ids(messages)])
        with torch.inference_mode():
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False, pad_token_id=2
            )
        expected.append(smollm2._decode(out[0, ids.shape[1] :].tolist()).strip())
    replies = await asyncio.gather(*(smollm2.generate(Request(m, {"max_tokens": 16})) for m in asked))
    assert [r.text for r in replies] == expected
    assert "Paris" in replies[0].text
    assert sum(r.usage.cached_tokens for r in replies) > 300
    await smollm2.aclose()
