"""Models on this machine: `smollm2` (embedded), and `local/` with a hub name, a folder or a .gguf file.

Chat template, tokens, parameters and errors are here; batches are in batched.py, tensors in decoding.py, downloads in
models.py. transformers loads the weights, in the worker thread at the first request.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.core.errors import EvalkitError, MissingDependency, TargetError, UsageError
from evalkit.core.types import Message, Reply, Request, TargetOptions, Usage
from evalkit.targets import models
from evalkit.targets.batched import Decoder, Job, Worker, first_stop

MAX_TOKENS = 128
"""Length limit of an answer when none is given. 64 greedy answers of SmolLM2 to bundled copriva scenarios: the 27 that
end within 256 tokens all end within 100; the other 37 repeat one sentence to any limit."""
CONCURRENCY = 96
"""Requests in flight: 64 rows of a batch, and some to choose from that share a document."""
_KNOWN = ("max_tokens", "seed", "stop", "temperature", "top_p")
_WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_CONVERSION = "converted-1"  # another number when another conversion gives other answers


def _stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


notify: Callable[[str], None] = _stderr
"""Told what takes long: fetching, converting."""


def make(rest: str, options: TargetOptions) -> "LocalTarget":
    """The target `local/REST`."""
    if not rest:
        raise UsageError("local/ needs a model: local/FOLDER, local/FILE.gguf or local/ORGANISATION/NAME of the hub")
    name = f"local/{rest}"
    _need(name)
    given = Path(rest).expanduser()
    if given.suffix == ".gguf":
        return LocalTarget(name, _from_gguf(given, name), options)
    if given.is_dir():
        return LocalTarget(name, given, options)
    if given.is_absolute() or rest.startswith((".", "~")) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", rest):
        raise EvalkitError(f"no folder {rest!r} with a model, and no model name of the hub (ORGANISATION/NAME)")
    return LocalTarget(name, _from_hub(rest), options)


def make_embedded(rest: str, options: TargetOptions) -> "LocalTarget":
    """The target `smollm2`; fetches and converts its weights when they are not there."""
    if rest:
        raise UsageError(f"smollm2 takes nothing after its name, not {rest!r}")
    _need("smollm2")
    file = models.path("smollm2") or models.pull("smollm2", _progress("smollm2"))
    return LocalTarget("smollm2", _converted(file, file.parent / _CONVERSION, "smollm2"), options, _CONVERSION)


class LocalTarget:
    """A chat model in this process. `generate` queues; one thread computes."""

    takes_tools = False
    truncated = "judge"
    """Small models at temperature 0 often repeat themselves to any limit: their cut answers are judged as they stand,
    and counted beside the rates (docs/decisions/0002)."""

    def __init__(self, name: str, folder: Path, options: TargetOptions, fingerprint: str | None = None) -> None:
        self.name = name
        self.concurrency = options.concurrency or CONCURRENCY
        self.params: Mapping[str, Any] = {"max_tokens": MAX_TOKENS, "temperature": 0.0}
        self.fingerprint = fingerprint or _weights(folder)
        self.identity = f"{name} {self.fingerprint}"
        self._folder = folder
        self._tokenizer, self._context = _tokenizer(folder, name)
        self._worker = Worker(self._load, name)

    async def generate(self, request: Request) -> Reply:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not done.done():
                done.set_result(None)

        def deliver(job: Job) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle)

        job = self._job(request, deliver)
        self._worker.put(job)
        try:
            await done
        except asyncio.CancelledError:
            job.cancelled = True
            raise
        return self._reply(job)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt as the model reads it, template included."""
        return len(self._ids(messages))

    async def aclose(self) -> None:
        """End the thread; requests in work get an error."""
        await asyncio.to_thread(self._worker.close)

    def _job(self, request: Request, deliver: Callable[[Job], None]) -> Job:
        if request.tools:
            raise TargetError("bad_request", f"{self.name} takes no tools")
        p = {**self.params, **request.params}
        odd = sorted(set(p) - set(_KNOWN))
        if odd:
            raise TargetError("bad_request", f"{self.name} knows no parameter {odd[0]!r}; it knows {', '.join(_KNOWN)}")
        ids = self._ids(request.messages)
        length = int(p["max_tokens"])
        if length < 1:
            raise TargetError("bad_request", f"max_tokens is {length}; at least 1 is needed")
        if self._context and len(ids) + length > self._context:
            raise TargetError(
                "context_length",
                f"the prompt has {len(ids)} tokens and the answer may have {length}; {self.name} takes {self._context}",
            )
        stop = p.get("stop") or ()
        return Job(
            ids=ids,
            deliver=deliver,
            max_tokens=length,
            temperature=float(p["temperature"] or 0),
            top_p=float(p.get("top_p") or 1),
            seed=int(p.get("seed") or 0) + request.epoch,
            stop_texts=(stop,) if isinstance(stop, str) else tuple(stop),
        )

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        chat = [{"role": m.role, "content": m.content} for m in messages]
        try:
            ids = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        except Exception as e:  # templates raise what they like: no system role, roles that do not alternate
            raise TargetError("bad_request", f"the chat template of {self.name} refuses these messages: {e}") from e
        return list(ids)

    def _reply(self, job: Job) -> Reply:
        if isinstance(job.error, TargetError):
            raise TargetError(job.error.kind, job.error.message)
        if job.error is not None or job.stop is None:
            said = str(job.error).strip().splitlines() or [""]
            raise TargetError("target", f"{self.name}: {type(job.error).__name__}: {said[0]}") from job.error
        text = self._decode(job.out)
        cut = first_stop(text, job.stop_texts) if job.stop_texts else None
        text = text[:cut].strip()
        if not text:
            raise TargetError("empty", f"{self.name} ended its answer without a word")
        usage = Usage(prompt_tokens=len(job.ids), completion_tokens=len(job.out), cached_tokens=job.cached)
        return Reply(text, job.stop, usage, model=self.name, latency_s=job.seconds)

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _load(self) -> Decoder:
        import torch
        from transformers import AutoModelForCausalLM

        from evalkit.targets.decoding import decoder_for

        _quiet()
        torch.set_num_threads(min(torch.get_num_threads(), _cores()))
        torch.set_flush_denormal(True)  # tiny attention weights would take a hundred times as long
        gpu = torch.cuda.is_available()
        model: Any = AutoModelForCausalLM.from_pretrained(self._folder, dtype="auto" if gpu else torch.float32)
        model = model.to("cuda" if gpu else "cpu").eval()
        own = model.generation_config.eos_token_id
        eos = {self._tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        return decoder_for(model, eos, self._decode)


def _need(name: str, *more: str) -> None:
    # Threads that spin while they wait for each other take ten times as long when anything else runs on the machine
    # (16 prompts: 170 s, and 17 s with this); read by the OpenMP runtime when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    for package in ("torch", "transformers", *more):
        if importlib.util.find_spec(package) is None:
            raise MissingDependency(package, "local", f"the model {name}")


def _quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _weights(folder: Path) -> str:
    """A hash of names, sizes and times of the files: cheap, and another one after any change."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    text = "\n".join(f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _tokenizer(folder: Path, name: str) -> tuple[Any, int | None]:
    """The tokenizer, and how many tokens the model takes."""
    from transformers import AutoConfig, AutoTokenizer

    _quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        config = AutoConfig.from_pretrained(folder).get_text_config()
    except (OSError, ValueError, KeyError, ImportError) as e:
        raise EvalkitError(f"{name}: {folder} is no model that transformers can load: {_first_line(e)}") from e
    if not tokenizer.chat_template:
        raise EvalkitError(f"{name} has no chat template: it is a base model; take the instruction-tuned one")
    return tokenizer, getattr(config, "max_position_embeddings", None)


def _from_hub(repo: str) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download

    offline = os.environ.get("EVALKIT_OFFLINE", "0") not in ("", "0")
    try:
        return Path(snapshot_download(repo, allow_patterns=list(_WEIGHTS), local_files_only=True))
    except Exception as e:
        if offline:
            raise _no_hub(repo, "EVALKIT_OFFLINE is set and it is not in the hub's cache") from e
    notify(f"fetching {repo} from the hub")
    try:
        return Path(snapshot_download(repo, allow_patterns=list(_WEIGHTS)))
    except Exception as e:  # the hub's client raises errors of three libraries
        raise _no_hub(repo, f"{type(e).__name__}: {_first_line(e)}") from e


def _no_hub(repo: str, why: str) -> EvalkitError:
    return EvalkitError(
        f"cannot get the model {repo!r} from the Hugging Face hub: {why}. Without the hub: local/FOLDER or "
        "local/FILE.gguf with a model that is here, or smollm2, which comes from the Python package index"
    )


def _from_gguf(file: Path, name: str) -> Path:
    if not file.is_file():
        raise EvalkitError(f"no file {file}")
    stat = file.stat()
    key = hashlib.sha256(f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    return _converted(file, models.root() / f"gguf-{file.stem}-{key}" / _CONVERSION, name)


def _converted(file: Path, folder: Path, name: str) -> Path:
    """The .gguf file as a folder that loads fast; made once, renamed into place when whole."""
    if folder.is_dir():
        return folder
    _need(name, "gguf", "safetensors")
    notify(f"converting {file.name} (once)")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".evalkit-convert-", dir=folder.parent))
    except OSError as e:
        raise EvalkitError(f"cannot write to {folder.parent} ({e.strerror}); EVALKIT_MODELS=DIR names another") from e
    try:
        _convert(file, work / "ready")
        (work / "ready").rename(folder)
    except Exception as e:
        if not folder.is_dir():  # else another process was first
            raise EvalkitError(f"{name}: cannot convert {file}: {type(e).__name__}: {_first_line(e)}") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _convert(file: Path, into: Path) -> None:
    """Weights in float16: what a quantised file holds is coarser."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _quiet()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    _mend(tokenizer, file)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no setting turns off
        model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    if hasattr(model.config, "quantization_config"):  # it is not quantised any more
        del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    torch.nn.Module.half(model)
    model.config.dtype = torch.float16
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)


def _mend(tokenizer: Any, file: Path) -> None:
    """SmolLM splits digits before all else; transformers 5.23 forgets it and reads a numbered list otherwise."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    field = GGUFReader(file).fields.get("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


def _progress(name: str) -> models.Progress:
    """A line at every tenth of the way."""
    told = -1

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        tenth = 10 * done // total if total else 0
        if tenth > told:
            told = tenth
            notify(f"fetching {name}: {done / 1e6:.0f} of {(total or 0) / 1e6:.0f} MB")

    return progress


def _cores() -> int:
    """What a container may use; torch counts the cores of the machine."""
    cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
