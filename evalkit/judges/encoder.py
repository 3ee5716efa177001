"""The trained leak encoder at work: how probable is it that an answer tells a fact? ONNX Runtime, off the event loop.

Reads a model folder (`model.onnx`, `tokenizer.json`, `training.json`); does not train it (train.py), nor decide what
counts as told (detect.py). Every pair is run alone: no padding, so that a score depends on its pair and on nothing
that happens to be judged beside it.
"""

import asyncio
import importlib.util
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.types import Fact, digest

LONGEST = 256
"""Tokens of one window: fact, answer and three marks. Longer answers are read in windows that overlap by STRIDE."""
STRIDE = 64
LONGEST_FACT = 128
REMEMBERED = 16_384
"""Scores kept: leakage, utility and refusal ask for the same pairs."""

Pair = tuple[str, str]
"""What `fact_side` makes of a fact, and the answer."""


class LeakEncoder:
    """A loaded model. Thread-safe; one per process is enough (`shared`)."""

    def __init__(self, folder: Path, workers: int | None = None) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.folder = folder
        self.version = _checked(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # pairs run beside each other instead: no threads wait for one small matrix
        options.log_severity_level = 3
        # the weights are stored in eight bits and computed in 32: folded once here, not at every pair
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._answers = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._facts = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._facts.enable_truncation(LONGEST_FACT)
        self._answers.enable_truncation(LONGEST, stride=STRIDE, strategy="only_second")
        self._pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8), thread_name_prefix="leak-encoder")
        self._known: OrderedDict[Pair, float] = OrderedDict()

    async def probabilities(self, pairs: Sequence[Pair]) -> list[float]:
        """Probability that the answer of each pair tells its fact; the event loop stays free meanwhile."""
        loop = asyncio.get_running_loop()
        missing = [p for p in dict.fromkeys(pairs) if p not in self._known]
        found = await asyncio.gather(*(loop.run_in_executor(self._pool, self.probability, p) for p in missing))
        scores = dict(zip(missing, found, strict=True))
        return [scores[p] if p in scores else self.probability(p) for p in pairs]

    def probability(self, pair: Pair) -> float:
        """Probability for one pair, now: the highest over the windows of a long answer. Four decimals."""
        known = self._known.get(pair)
        if known is not None:
            return known
        score = max(map(self._run, self._windows(pair)))
        self._known[pair] = score
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return score

    def _windows(self, pair: Pair) -> list[Any]:
        fact, answer = pair
        short = self._facts.encode(fact, add_special_tokens=False)
        if len(short.ids) >= LONGEST_FACT:
            fact = fact[: short.offsets[-1][1]]
        encoding = self._answers.encode(fact, answer)
        return [encoding, *encoding.overflowing]

    def _run(self, encoding: Any) -> float:
        import numpy as np

        feed = {
            "input_ids": np.array([encoding.ids], np.int64),
            "attention_mask": np.array([encoding.attention_mask], np.int64),
            "token_type_ids": np.array([encoding.type_ids], np.int64),
        }
        logit = float(np.ravel(self._session.run(None, feed)[0])[0])
        return round(1.0 / (1.0 + float(np.exp(-logit))), 4)


def fact_side(fact: Fact) -> str:
    """A fact as the encoder reads it: what it is about, then what it says."""
    return f"{fact.about}: {fact.text}"


def missing() -> str | None:
    """Why there is no encoder here, or None where there is one."""
    if os.environ.get("EVALKIT_ENCODER", "") == "off":
        return "EVALKIT_ENCODER=off"
    absent = [p for p in ("onnxruntime", "tokenizers", "numpy") if importlib.util.find_spec(p) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (pip install 'evalkit-safety[encoder]')"
    return None if folder() is not None else "no trained model in judges/leakage/model"


def folder() -> Path | None:
    """The model folder of the content: one that was trained here ($EVALKIT_LEAK_MODEL), else the shipped one."""
    named = os.environ.get("EVALKIT_LEAK_MODEL")
    if named:
        path = Path(named).expanduser()
        if not (path / "model.onnx").is_file():
            raise ContentError(f"EVALKIT_LEAK_MODEL={named}: no model.onnx there; evalkit train judge --out writes one")
        return path
    try:
        return content.find("judges", "leakage", "model", "model.onnx").parent
    except ContentError:
        return None


_shared: dict[Path, LeakEncoder] = {}


def shared() -> LeakEncoder | None:
    """The encoder of this process, loaded when first asked for; None where `missing` says why."""
    if missing() is not None:
        return None
    path = folder()
    assert path is not None
    if path not in _shared:
        _shared[path] = LeakEncoder(path)
    return _shared[path]


def _checked(folder: Path) -> str:
    """The version of a model: a digest of its files, which must be those that training wrote."""
    card = content.load_json(folder / "training.json")
    files = card.get("files", {}) if isinstance(card, dict) else {}
    for name in ("model.onnx", "tokenizer.json"):
        path = folder / name
        if not path.is_file():
            raise ContentError(f"{path}: missing; a leak encoder is model.onnx, tokenizer.json and training.json")
        if files.get(name) != content.hash_files([path]):
            raise ContentError(f"{path}: not the file that {folder / 'training.json'} names (sha256 differs)")
    return digest([files["model.onnx"], files["tokenizer.json"], LONGEST, STRIDE, LONGEST_FACT])
