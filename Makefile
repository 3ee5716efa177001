# One line each; CI and people run the same. PY is the interpreter of the environment that has evalkit[dev].
PY ?= python

check: lint types contracts test  ## everything that must be green
lint:
	$(PY) -m ruff format --check evalkit tests
	$(PY) -m ruff check evalkit tests
types:
	$(PY) -m mypy
	$(PY) -m pyright
contracts:
	$(PY) -c "from importlinter.cli import lint_imports_command as c; c()"
test:
	$(PY) -m pytest
slow:  ## minutes long: simulations, the embedded model, the released data
	$(PY) -m pytest -m "slow or model"
fmt:
	$(PY) -m ruff check --fix evalkit tests
	$(PY) -m ruff format evalkit tests
perf:  ## overhead against a bare aiohttp loop, latency, memory; prints ratios
	$(PY) tests/perf/overhead.py
perf-judge:
	$(PY) tests/perf/judge_speed.py
measure-judge:  ## agreement of the leakage judge with the released CoPriva labels
	$(PY) tests/judges/measure_leakage.py
measure-baselines:  ## the baselines of trajectory policies on the labelled published sets beside the checkout
	$(PY) tests/guardrails/measure_baselines.py
robust:  ## kill -9 ten times and resume; a server that fails in every way
	$(PY) tests/perf/robust.py
wheel:
	$(PY) -m build
.PHONY: check lint types contracts test slow fmt perf perf-judge measure-judge measure-baselines robust wheel
