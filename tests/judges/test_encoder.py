"""The leak encoder on a tiny network: trained, written, read again, and the same scores on both sides."""

import asyncio
import json
import multiprocessing

import pytest

pytest.importorskip("torch", reason="needs the `train` extra")
pytest.importorskip("onnxruntime", reason="needs the `encoder` extra")
pytest.importorskip("onnx", reason="needs the `train` extra")

from evalkit.core.errors import ContentError, EvalkitError
from evalkit.judges import encoder, network, together, train, trainee
from evalkit.judges.encoder import LeakEncoder
from evalkit.judges.pairs import Answer, Item

WORDS = ("the", "hull", "boat", "lamp", "crew", "was", "made", "short", "long", "by", "two", "three", "metres", "in",
         "dock", "of", "a", "for", "and", "not")  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A BERT of two layers and 64 units, and a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("base")
    vocabulary = {
        w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *(f"x{i}" for i in range(60))])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=48)  # as MiniLM ships it
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def recipe():
    small = {
        "epochs": 6,
        "batch": 2,
        "dev_share": 0.25,
        "held_out": (),
        "learning_rate": 0.002,
        "dropout": 0.0,
    }
    return train.load_recipe().model_copy(update=small)


@pytest.fixture(scope="module")
def items():
    """A fact is told where the answer has its two words."""
    made = []
    for i in range(24):
        one, two = WORDS[1 + i % 6], WORDS[8 + i % 5]
        answers = [("told", f"the {one} was {two}", 1.0), ("kept", f"the {one} in dock", 0.0), ("other", "a crew", 0.0)]
        made.append(
            Item(
                f"g{i % 8}",
                (f"{one}: the {one} {two}",),
                tuple(Answer(t, "paraphrase", (y,), (1.0,)) for _, t, y in answers),
            )
        )
    return made


@pytest.fixture(scope="module")
def trained(base, recipe, items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    steps = []
    card = train.train(items, base, recipe, folder, steps.append)
    return folder, card, steps


def test_training_says_what_made_the_model_and_where_it_stands(trained, items):
    folder, card, steps = trained
    assert json.loads((folder / "training.json").read_text()) == json.loads(json.dumps(card))
    assert card["items"]["fitted"] + card["items"]["dev"] == len(items)
    assert [s.step for s in steps] == list(range(1, steps[0].steps + 1))
    assert steps[-1].eta_s == 0
    assert steps[-1].loss < steps[0].loss


def test_training_leaves_the_arithmetic_of_the_process_as_it_was(trained):
    import torch

    assert 5e-324 > 0
    assert float(torch.tensor(1e-40) * 1) > 0  # no denormals are flushed
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_same_seed_gives_the_same_files(base, recipe, items, trained, tmp_path):
    again = train.train(items, base, recipe, tmp_path)
    assert again["files"] == trained[1]["files"]
    other = train.train(items, base, recipe.model_copy(update={"seed": 1}), tmp_path)
    assert other["files"]["head.onnx"] != again["files"]["head.onnx"]


def test_several_trainings_are_averaged(base, recipe, items):
    """The mean of the weights of all, each of which is what it is alone."""
    import torch

    twice, seen = recipe.model_copy(update={"trainings": 2, "epochs": 1}), []
    both = together.mean_weights(items, base, twice, "cpu", seen.append)
    assert [s.step for s in seen] == list(range(1, seen[0].steps + 1))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one, two = (together.training(items, base, twice, "cpu", k, lambda _: None) for k in (0, 1))
    finally:
        torch.set_num_threads(threads)
    for mean, a, b in zip(both, one, two, strict=True):
        assert mean.ravel().tolist() == pytest.approx(((a + b) / 2).ravel().tolist(), abs=1e-5)
    assert any((a != b).any() for a, b in zip(one, two, strict=True))


def test_a_training_that_fails_beside_others_stops_them_all(base, recipe, items):
    twice = recipe.model_copy(update={"trainings": 2, "epochs": 400})

    def tired(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together.mean_weights(items, base, twice, "cpu", tired)

    def killed(_):
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(EvalkitError, match="out of memory"):
        together.mean_weights(items, base, twice, "cpu", killed)
    assert not multiprocessing.active_children()


def test_what_was_written_scores_as_what_was_trained(base, recipe, tmp_path):
    """Eight bits move a score by little: the exported files against the network itself, on texts of many lengths."""
    import torch

    torch.manual_seed(3)
    net = trainee.Trainee(base, recipe, "cpu")
    for p in net.head.parameters():
        p.data.mul_(3)  # untrained heads say 0.5 of everything
    net.body.eval(), net.head.eval()
    network.export_body(net.body, tmp_path / "encoder.onnx")
    network.export_head(net.head, 64, tmp_path / "head.onnx")
    (tmp_path / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
    _sign(tmp_path)
    read = LeakEncoder(tmp_path)
    spread = []
    for n in range(1, 40, 3):
        fact, answer = " ".join(WORDS[: 1 + n % 12]), " ".join(WORDS[i % 20] for i in range(n))
        item = Item("g", (fact,), (Answer(answer, "paraphrase", (1.0,), (1.0,)),))
        with torch.inference_mode():
            logit = net.logits([item], trainee.pairs_of([item], {}, 0.0))
        expected = torch.sigmoid(logit).item()
        spread.append(expected)
        assert read.probability((fact, answer)) == pytest.approx(expected, abs=0.03)
    assert max(spread) - min(spread) > 0.01


def test_a_long_answer_is_read_in_windows_and_the_best_counts(trained):
    read = LeakEncoder(trained[0])
    fact, telling = "hull: the hull short", "the hull was short"
    filler = " ".join(["x1"] * (read.reads["answer"] * 2))
    read.load()
    alone = read._answer_vectors.get_or(filler + " " + telling, read._read_answer)
    assert len(alone) >= 3
    last = max(read._compare(read._read_fact(fact), w) for w in alone)
    assert read.probability((fact, filler + " " + telling)) == last


def test_training_reads_windows_as_the_judge_does(base, recipe, monkeypatch):
    """The logit of a long answer is the highest of its windows', and gradients reach that window."""
    import torch

    monkeypatch.setattr(trainee, "has_bf16", lambda _: False)
    net = trainee.Trainee(base, recipe.model_copy(update={"longest_answer": 32, "stride": 8}), "cpu")
    net.body.eval(), net.head.eval()
    texts = ["the hull was short", " ".join(["x1"] * 70) + " the hull was short", " ".join(WORDS)]
    item = Item("g", ("hull: the hull short",), tuple(Answer(t, "long", (1.0,), (1.0,)) for t in texts))
    logits = net.logits([item], trainee.pairs_of([item], {}, 0.0))
    _, _, windows = net._read("answers", texts)
    assert [len(w) for w in windows] == [1, 3, 1]
    alone = []
    for encoding in [e for t in texts for e in _windows(net, t)]:
        text = " ".join(token for token in encoding.tokens if not token.startswith("["))
        one = Item("g", item.facts, (Answer(text, "long", (1.0,), (1.0,)),))
        alone.append(net.logits([one], trainee.pairs_of([one], {}, 0.0)).item())
    expected = [alone[0], max(alone[1:4]), alone[4]]
    assert logits.tolist() == pytest.approx(expected, abs=1e-4)
    logits[1].backward()
    assert any(p.grad is not None and bool(torch.any(p.grad != 0)) for p in net.head.parameters())


def _windows(net, text):
    encoding = net.tokenizers["answers"].encode(text)
    return [encoding, *encoding.overflowing]


async def test_scores_do_not_depend_on_company_and_the_loop_stays_free(trained):
    read, pairs = LeakEncoder(trained[0]), [("hull: the hull short", f"the hull was {w}") for w in WORDS]
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    together = await read.probabilities(pairs)
    ticking.cancel()
    alone = [LeakEncoder(trained[0]).probability(p) for p in pairs]
    assert together == alone
    assert ticks > 1
    assert await read.probabilities(pairs[::-1]) == alone[::-1]


def test_nothing_is_loaded_before_it_is_asked(trained):
    read = LeakEncoder(trained[0])
    assert read._encoder is None
    assert read.version == LeakEncoder(trained[0]).version
    read.probability(("the hull", "a boat"))
    assert read._encoder is not None


def test_split_keeps_meetings_apart(items):
    fitted, dev = train.split(items, 0.25, 0)
    assert dev
    assert not {i.group for i in fitted} & {i.group for i in dev}
    assert train.split(items, 0.25, 0) == (fitted, dev)


def test_strangers_are_never_of_the_same_meeting(items):
    def made(batch):
        pairs = trainee.pairs_of(batch, {}, 0.1)
        return [(f, a) for f, a, w in zip(pairs.facts, pairs.answers, pairs.weights, strict=True) if w == 0.1]

    assert made([items[0], items[1]]) == [(0, 3), (1, 0)]
    assert made([items[0], items[8]]) == []  # both of g0
    assert made([items[0]]) == []


def test_a_model_that_was_changed_is_refused(trained, tmp_path):
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(trained[0], copy)
    with (copy / "head.onnx").open("ab") as f:
        f.write(b"x")
    with pytest.raises(ContentError, match=r"head\.onnx: not the file that .* names"):
        LeakEncoder(copy).probability(("a", "b"))
    (copy / "head.onnx").unlink()
    with pytest.raises(ContentError, match=r"head\.onnx: missing; a leak encoder is encoder\.onnx, head\.onnx"):
        LeakEncoder(copy)


def test_the_model_folder_comes_from_the_environment_and_can_be_off(trained, monkeypatch, tmp_path):
    monkeypatch.delenv("EVALKIT_ENCODER", raising=False)
    monkeypatch.setenv("EVALKIT_LEAK_MODEL", str(trained[0]))
    assert encoder.missing() is None
    assert encoder.shared() is encoder.shared()
    monkeypatch.setenv("EVALKIT_LEAK_MODEL", str(tmp_path))
    with pytest.raises(ContentError, match=r"EVALKIT_LEAK_MODEL=.*: no encoder\.onnx there"):
        encoder.folder()
    monkeypatch.setenv("EVALKIT_ENCODER", "off")
    assert encoder.missing() == "EVALKIT_ENCODER=off"
    assert encoder.shared() is None


def _sign(folder):
    from evalkit import content

    files = {n: content.hash_files([folder / n]) for n in encoder.FILES}
    (folder / "training.json").write_text(json.dumps({"files": files}))
