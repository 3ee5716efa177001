"""A published set (`--option source=NAME --data PATH`) as scenarios of the suite policyguard. Parses nothing itself."""

from collections.abc import Iterator, Mapping

from evalkit.benchmarks.detection import detection
from evalkit.benchmarks.sources.reading import reading, source
from evalkit.benchmarks.suites import ScenarioSet, Suite
from evalkit.core.errors import UsageError
from evalkit.core.types import Scenario


def make(suite: Suite, options: Mapping[str, str], data: str | None) -> ScenarioSet:
    """The examples of the set that the option `source` names, from `data`: a file, a folder or `hub:ID`."""
    name = options.get("source", "")
    described = source(name)
    if data is None:
        raise UsageError(f"--option source={name}: say where it lies, --data {described.expects}")
    rows = reading(name, data)

    def read() -> Iterator[Scenario]:
        for example in rows:
            scenario = detection(example)
            # the case alone: the prompt is the suite's, and is put around it when a chat model is asked
            yield scenario.model_copy(update={"messages": scenario.messages[-1:]})

    for _ in read():  # rows are counted as they are read
        pass
    notes = [f"{name}: {rows.read:,} examples; {described.licence}"]
    notes += [f"{name}: {n:,} rows left out: {why}" for why, n in rows.left_out.most_common()]
    return ScenarioSet(suite, read, options=options, notes=tuple(notes))
