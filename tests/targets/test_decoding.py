"""The torch loops on tiny models with random weights: every way of batching gives transformers' own greedy answer."""

import random
import threading
from collections import deque

import pytest

torch = pytest.importorskip("torch", reason="needs the `local` extra")
transformers = pytest.importorskip("transformers", reason="needs the `local` extra")

from evalkit.targets import decoding  # noqa: E402
from evalkit.targets.batched import Job, Worker  # noqa: E402
from evalkit.targets.decoding import SharedDecoder, decoder_for  # noqa: E402
from evalkit.targets.plain import PlainDecoder  # noqa: E402

VOCABULARY = 600
EOS = {1}
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3,
         "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 512,
         "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 0}  # fmt: skip


def build(config):
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for p in model.parameters():  # spread out: two tokens are seldom as likely
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.25)
    return model


def llama(**more):
    return build(transformers.LlamaConfig(**{**SIZES, **more}))


@pytest.fixture(scope="module")
def model():
    return llama()


@pytest.fixture(scope="module")
def shared(model):
    decoder = decoder_for(model, EOS, str)
    assert isinstance(decoder, SharedDecoder)
    return decoder


@pytest.fixture(autouse=True)
def _fresh(request):
    if "shared" in request.fixturenames:
        decoder = request.getfixturevalue("shared")
        decoder.clear()
        decoder.rows = 64


def prompts(seed=0, documents=3, questions=4, words=150):
    """Documents with questions, in an order that mixes them, and some prompts that share nothing."""
    draw = random.Random(seed)

    def some(n):
        return [draw.randrange(2, VOCABULARY) for _ in range(n)]

    texts = [some(words + 7 * d) for d in range(documents)]
    made = [text + some(draw.randrange(1, 30)) for text in texts for _ in range(questions)]
    made += [some(n) for n in (1, 3, 40, 90, 200)]
    draw.shuffle(made)
    return made


def play(decoder, asked, max_tokens=12, **more):
    jobs = [Job(ids=p, deliver=print, max_tokens=max_tokens, **more) for p in asked]
    waiting = deque(jobs)
    ended = []
    while waiting or decoder.active():
        if waiting:
            decoder.admit(waiting)
        ended += decoder.step()
    assert sorted(map(id, ended)) == sorted(map(id, jobs))
    return jobs


def reference(model, prompt, max_tokens=12):
    """transformers' own greedy answer, without our attention."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False)
    model.set_attn_implementation(before)
    answer = out[0, len(prompt) :].tolist()
    return answer[: answer.index(1)] if 1 in answer else answer


def test_batched_answers_are_those_of_transformers(model, shared):
    asked = prompts()
    jobs = play(shared, asked)
    assert [j.out for j in jobs] == [reference(model, p) for p in asked]
    assert all((j.stop == "length") == (len(j.out) == 12) for j in jobs)


def test_a_shared_beginning_is_read_once_and_changes_nothing(model, shared):
    asked = [p for p in prompts(documents=2, questions=5) if len(p) > 150]
    together = play(shared, asked)
    alone = []
    for prompt in asked:
        shared.clear()
        alone += play(shared, [prompt])
    assert [j.out for j in together] == [j.out for j in alone]
    assert sum(j.cached for j in together) >= 8 * 150
    assert sum(j.cached for j in alone) == 0


def test_a_known_beginning_is_used_by_requests_that_come_later(shared):
    document, *_ = prompts(words=180)
    document = document[:100] if len(document) > 100 else [*document, *range(100, 200)]
    first = play(shared, [[*document, 7]])[0]
    later = play(shared, [[*document, 8, 9]])[0]
    again = play(shared, [[*document, 7]])[0]
    assert first.cached == 0
    assert later.cached >= 90
    assert again.out == first.out


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_rows_that_come_and_go_do_not_change_an_answer(model, shared, rows):
    asked = prompts(seed=1)
    shared.rows = rows
    jobs = play(shared, asked)
    assert [j.out for j in jobs] == [reference(model, p) for p in asked]


def test_little_memory_means_smaller_batches_not_other_answers(model):
    asked = prompts(seed=2)
    small = SharedDecoder(model, EOS, str, memory=100 * 2 * 3 * 2 * 8 * 4)
    model.set_attn_implementation(decoding.ATTENTION)
    jobs = play(small, asked)
    assert [j.out for j in jobs] == [reference(model, p) for p in asked]


def test_long_prompts_are_read_in_pieces(model, shared, monkeypatch):
    monkeypatch.setattr(decoding, "CHUNK", 50)
    monkeypatch.setattr(decoding, "SCORES", 4000)
    asked = prompts(seed=3)
    assert [j.out for j in play(shared, asked)] == [reference(model, p) for p in asked]


def test_answers_of_different_lengths_are_cut_at_their_own_limit(model, shared):
    asked = prompts(seed=4)[:6]
    jobs = [Job(ids=p, deliver=print, max_tokens=n) for n, p in enumerate(asked, 1)]
    waiting = deque(jobs)
    while waiting or shared.active():
        if waiting:
            shared.admit(waiting)
        shared.step()
    assert [j.out for j in jobs] == [reference(model, p, n) for n, p in enumerate(asked, 1)]


def test_a_sampled_answer_follows_its_seed_and_not_its_batch(shared):
    asked = prompts(seed=5)
    together = play(shared, asked, temperature=0.9, seed=3)
    shared.clear()
    alone = play(shared, asked[:1], temperature=0.9, seed=3)
    shared.clear()
    other = play(shared, asked[:1], temperature=0.9, seed=4)
    assert together[0].out == alone[0].out != other[0].out


def test_a_tiny_nucleus_is_greedy(shared):
    asked = prompts(seed=6)[:5]
    greedy = play(shared, asked)
    assert [j.out for j in play(shared, asked, temperature=1.0, top_p=1e-6)] == [j.out for j in greedy]


def test_a_cancelled_row_leaves_and_the_others_go_on(model, shared):
    asked = prompts(seed=7)[:4]
    jobs = [Job(ids=p, deliver=print, max_tokens=12) for p in asked]
    waiting = deque(jobs)
    shared.admit(waiting)
    jobs[0].cancelled = True
    while shared.active():
        shared.step()
    assert [j.out for j in jobs[1:]] == [reference(model, p) for p in asked[1:]]


def test_out_of_memory_in_the_model_halves_the_batch(model, shared):
    asked = prompts(seed=8)

    def short_of_memory(module, args, kwargs):
        if kwargs["input_ids"].shape[0] > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    hook = model.register_forward_pre_hook(short_of_memory, with_kwargs=True)
    worker = Worker(lambda: shared, "test")
    done, all_done = [], threading.Event()

    def deliver(job):
        done.append(job)
        if len(done) == len(asked):
            all_done.set()

    jobs = [Job(ids=p, deliver=deliver, max_tokens=12) for p in asked]
    for job in jobs:
        worker.put(job)
    assert all_done.wait(60)
    worker.close()
    hook.remove()
    assert [j.out for j in jobs] == [reference(model, p) for p in asked]
    assert not [j.error for j in jobs if j.error]


def test_the_plain_decoder_answers_as_transformers_does():
    model = llama()
    asked = prompts(seed=9)
    jobs = play(PlainDecoder(model, EOS, str, rows=4), asked)
    assert [j.out for j in jobs] == [reference(model, p) for p in asked]


@pytest.mark.parametrize(
    "config",
    [
        transformers.MistralConfig(**SIZES, sliding_window=16),
        transformers.LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}),
    ],
    ids=["a window", "positions that depend on the batch"],
)
def test_models_that_the_shared_loop_does_not_fit_take_the_plain_one(config):
    decoder = decoder_for(build(config), EOS, str)
    assert isinstance(decoder, PlainDecoder)
    assert all(len(j.out) <= 5 for j in play(decoder, prompts()[:3], max_tokens=5))


@pytest.mark.parametrize(
    "config",
    [
        transformers.Qwen2Config(**SIZES),
        transformers.Qwen3Config(**SIZES, head_dim=16),
        transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=48, n_layer=2, n_head=4, n_positions=512,
                                eos_token_id=1, bos_token_id=0),
    ],
    ids=["qwen2", "qwen3", "gpt2"],
)  # fmt: skip
def test_other_architectures_answer_as_transformers_does(config):
    model = build(config)
    decoder = decoder_for(model, EOS, str)
    asked = prompts(seed=10)
    assert [j.out for j in play(decoder, asked)] == [reference(model, p) for p in asked]


def test_what_is_cut_from_a_known_beginning_takes_no_place_of_its_own(model, shared):
    """Dialogues of two domains by turns: the one that many have does not drive out the other's beginning."""
    draw = random.Random(3)
    bank, shop = ([draw.randrange(2, VOCABULARY) for _ in range(200)] for _ in range(2))
    decoder = SharedDecoder(model, EOS, str, memory=4 * 500 * 384)  # a quarter of it: 500 tokens of these sizes
    for prompt in ([*bank, 5, 6], *([*shop, n, n + 1, n + 2] for n in range(20, 25))):
        play(decoder, [prompt], max_tokens=2)
    assert decoder._token_bytes == 384
    [again] = play(decoder, [[*bank, 5, 6, 9, 11]], max_tokens=2)
    assert again.cached >= 200
    assert again.out == reference(model, again.ids, 2)
