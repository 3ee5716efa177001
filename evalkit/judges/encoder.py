"""The trained leak encoder at work: how probable is it that an answer tells a fact? ONNX Runtime, off the event loop.

Reads a model folder (`encoder.onnx`, `head.onnx`, `tokenizer.json`, `training.json`); does not train it (train.py), nor
decide what counts as told (detect.py). Each text is read alone, once: no padding, so that a score depends on its pair
and on nothing that happens to be judged beside it, and a fact costs nothing the second time.
"""

import asyncio
import importlib.util
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.core.errors import ContentError
from evalkit.core.kept import Kept
from evalkit.core.types import Fact, digest
from evalkit.judges.pairs import side

READS = {"fact": 96, "answer": 192, "stride": 64}
"""Tokens of a fact, of one window of an answer, and those that two windows share, where a model does not say."""
SCORES = 16_384
"""Scores kept: leakage, utility and refusal ask for the same pairs."""
FACTS = 2_048
ANSWERS = 256
"""Texts whose vectors are kept: some 60 kB for a fact, 300 kB for an answer."""
FILES = ("encoder.onnx", "head.onnx", "tokenizer.json")

Pair = tuple[str, str]
"""What `fact_side` makes of a fact, and the answer."""


class LeakEncoder:
    """A model folder. Thread-safe; one per process is enough (`shared`).

    Its files are checked and loaded when the first pair comes: most runs have no summary that words leave open, and
    those neither import ONNX Runtime nor wait.
    """

    def __init__(self, folder: Path, workers: int | None = None) -> None:
        self.folder = folder
        self.version, self._files, self.reads = _described(folder)
        self._workers = workers or min(os.cpu_count() or 1, 8)
        self._scores: Kept[Pair, float] = Kept(SCORES)
        self._fact_vectors: Kept[str, Any] = Kept(FACTS)
        self._answer_vectors: Kept[str, list[Any]] = Kept(ANSWERS)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._encoder: Any = None

    def load(self) -> ThreadPoolExecutor:
        """Check and load the files, once; the threads that read texts."""
        with self._lock:
            if self._pool is None:
                self._load()
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="leak-encoder")
            return self._pool

    def _load(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        _check(self.folder, self._files)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # texts are read beside each other instead: no threads wait for small matrices
        options.log_severity_level = 3

        def session(name: str) -> Any:
            return onnxruntime.InferenceSession(str(self.folder / name), options, providers=["CPUExecutionProvider"])

        self._encoder, self._head = session("encoder.onnx"), session("head.onnx")
        self._facts = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self._facts.enable_truncation(self.reads["fact"])
        self._answers = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self._answers.enable_truncation(self.reads["answer"], stride=self.reads["stride"])
        for tokenizer in (self._facts, self._answers):
            tokenizer.no_padding()  # MiniLM's own file asks for it, and here everything is attended to

    async def probabilities(self, pairs: Sequence[Pair]) -> list[float]:
        """Probability that the answer of each pair tells its fact; the event loop stays free meanwhile."""
        known = {p: s for p in pairs if (s := self._scores.get(p)) is not None}
        missing = [p for p in dict.fromkeys(pairs) if p not in known]
        if missing:
            found = await asyncio.get_running_loop().run_in_executor(self.load(), self._all, missing)
            known.update(zip(missing, found, strict=True))
        return [known[p] for p in pairs]

    def probability(self, pair: Pair) -> float:
        """Probability for one pair, now: the highest over the windows of a long answer. Four decimals."""
        score = self._scores.get(pair)
        if score is None:
            self.load()
            fact = self._fact_vectors.get_or(pair[0], self._read_fact)
            answer = self._answer_vectors.get_or(pair[1], self._read_answer)
            score = max(self._compare(fact, window) for window in answer)
            self._scores.put(pair, score)
        return score

    def vectors(self, text: str) -> Any:
        """The token vectors of a text alone, of its first window: [tokens, width]. Now, and kept."""
        self.load()
        read = self._answer_vectors.get_or(text, self._read_answer)[0]
        return read.reshape(-1, read.shape[-1])

    def _all(self, pairs: Sequence[Pair]) -> list[float]:
        return [self.probability(p) for p in pairs]

    def _read_fact(self, fact: str) -> Any:
        return self._read(self._facts.encode(fact))

    def _read_answer(self, answer: str) -> list[Any]:
        encoding = self._answers.encode(answer)
        return [self._read(e) for e in (encoding, *encoding.overflowing)]

    def _read(self, encoding: Any) -> Any:
        import numpy as np

        return self._encoder.run(None, {"input_ids": np.array([encoding.ids], np.int64)})[0]

    def _compare(self, fact: Any, answer: Any) -> float:
        import numpy as np

        logit = float(self._head.run(None, {"fact": fact, "answer": answer})[0].ravel()[0])
        return round(1.0 / (1.0 + float(np.exp(-logit))), 4)


def fact_side(fact: Fact) -> str:
    """A fact as the encoder reads it: what it is about, then what it says."""
    return side(fact.about, fact.text)


def missing() -> str | None:
    """Why there is no encoder here, or None where there is one."""
    if os.environ.get("EVALKIT_ENCODER", "") == "off":
        return "EVALKIT_ENCODER=off"
    absent = [p for p in ("onnxruntime", "tokenizers", "numpy") if importlib.util.find_spec(p) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (pip install 'evalkit-safety[encoder]')"
    return None if folder() is not None else "no trained model in judges/leakage/model"


def folder() -> Path | None:
    """The model folder: one that was trained here ($EVALKIT_LEAK_MODEL), else the shipped one."""
    named = os.environ.get("EVALKIT_LEAK_MODEL")
    if named:
        path = Path(named).expanduser()
        if not (path / FILES[0]).is_file():
            raise ContentError(f"EVALKIT_LEAK_MODEL={named}: no {FILES[0]} there; evalkit train judge --out writes one")
        return path
    try:
        return content.find("judges", "leakage", "model", FILES[0]).parent
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


def _described(folder: Path) -> tuple[str, dict[str, str], dict[str, int]]:
    """The version of a model, a digest of the hashes that training wrote down; these hashes by file; its windows."""
    card = content.load_json(folder / "training.json")
    files = card.get("files", {}) if isinstance(card, dict) else {}
    for name in FILES:
        if not (folder / name).is_file():
            raise ContentError(f"{folder / name}: missing; a leak encoder is {', '.join(FILES)} and training.json")
        if name not in files:
            raise ContentError(f"{folder / 'training.json'}: files: names no {name}")
    reads = {**READS, **card.get("reads", {})}
    return digest([*(files[n] for n in FILES), reads["answer"], reads["stride"], reads["fact"]]), files, reads


def _check(folder: Path, files: dict[str, str]) -> None:
    """Each file is the one that training wrote."""
    for name in FILES:
        if files[name] != content.hash_files([folder / name]):
            raise ContentError(f"{folder / name}: not the file that {folder / 'training.json'} names (sha256 differs)")
