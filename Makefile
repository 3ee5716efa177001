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
test:  ## on all cores; a file stays with one of them
	$(PY) -m pytest -n auto --dist loadfile
slow:  ## minutes long: simulations, the embedded model, the released data
	$(PY) -m pytest -m "slow or model"
fmt:
	$(PY) -m ruff check --fix evalkit tests
	$(PY) -m ruff format evalkit tests
perf:  ## overhead against a bare aiohttp loop, latency, memory; prints ratios
	$(PY) tests/perf/overhead.py
perf-judge:
	$(PY) tests/perf/judge_speed.py
perf-detection:  ## what the numbers of 60,000 verdicts of a detector cost
	$(PY) tests/perf/detection.py
perf-monitor:  ## steps a second of the rule monitor, and how many times faster than the reference evaluator
	$(PY) tests/perf/monitor.py
perf-dialogues:  ## 500 scripted dialogues: CPU and wall seconds, and what langgraph takes of them
	$(PY) tests/perf/dialogues.py
measure-taubench:  ## verdicts on recorded tau-bench dialogues next to their rewards
	$(PY) tests/judges/measure_taubench.py
perf-guardrail:  ## milliseconds of a check by the trained guardrail, by stage; accuracy beside it
	$(PY) tests/perf/guardrail.py
measure-heldout:  ## the trained guardrail on 11,778 generated pairs whose policies, looks or sentences it has not seen
	$(PY) -m tests.guardrails.measure_heldout
measure-guardrail:  ## the trained guardrail on published sets it has not seen, beside baselines
	$(PY) -m tests.guardrails.measure_guardrail
perf-graph:  ## 200 policies to a graph, 1,000 sets, picture and GraphML; prints seconds
	$(PY) -m tests.perf.graph_speed
measure-policies:  ## recall and precision of the offline extraction of policies on annotated documents
	$(PY) -m tests.benchmarks.measure_policies
measure-judge:  ## agreement of the leakage judge with the released CoPriva labels
	$(PY) tests/judges/measure_leakage.py
perf-view:  ## 100,000 synthetic samples in `evalkit view`: first page, a sample, what is new; seconds and memory
	$(PY) tests/perf/view_size.py
perf-worlds:  ## worlds, scripted dialogues and events of intellagent
	$(PY) tests/perf/worlds.py
measure-policyguard:  ## 60,000 generated pairs: time, balance, and what half a pair tells
	$(PY) -m evalkit generate policyguard --n 60000 --out $${TMPDIR:-/tmp}/policyguard.jsonl --check-shortcuts
measure-baselines:  ## the baselines of trajectory policies on the labelled published sets beside the checkout
	$(PY) tests/guardrails/measure_baselines.py
measure-disclosure:  ## the disclosure guard on documents it has not seen, and on released answers beside the checkout
	$(PY) tests/guardrails/measure_disclosure.py
measure-precedents:  ## a new policy with 0, 4, 16 labelled cases and no training
	$(PY) -m evalkit generate policyguard --n 24000 --domains shopping --seed 5 --out $${TMPDIR:-/tmp}/new-policies.jsonl
	$(PY) tests/guardrails/measure_precedents.py --words --pairs $${TMPDIR:-/tmp}/new-policies.jsonl --policies 60
perf-proxy:  ## what a guard costs an event and a request, and 1,000 streams from an upstream that misbehaves
	$(PY) tests/perf/proxy.py
perf-report:  ## 200,000 samples to a site, opened in Chromium; prints seconds and memory
	$(PY) tests/perf/report_size.py
SAMPLE = runs/sample
COPRIVA ?= ../shared/data/copriva
sample:  ## the report in reports/sample/ from real runs: minutes, of which most are the embedded model's
	rm -rf $(SAMPLE)
	for m in scripted/tells-all scripted/refuses scripted/echo smollm2; do \
	  $(PY) -m evalkit run --suite copriva --limit 84 --truncated judge --model $$m --out $(SAMPLE)/copriva-$${m#*/} || exit; done
	for m in scripted/tells-all smollm2; do \
	  $(PY) -m evalkit run --suite copriva --limit 84 --truncated judge --model $$m --guardrail disclosure --out $(SAMPLE)/copriva-$${m#*/}-guarded || exit; done
	for m in oracle careless; do \
	  $(PY) -m evalkit run --suite intellagent --option events=8 --limit 48 --model scripted/$$m --out $(SAMPLE)/intellagent-$$m || exit; done
	$(PY) -m evalkit generate policyguard --n 4000 --out $(SAMPLE)/pairs.jsonl
	for m in tfidf tfidf-policy keyword; do \
	  $(PY) -m evalkit run --suite policyguard --data $(SAMPLE)/pairs.jsonl --limit 240 --model baseline:$$m --out $(SAMPLE)/policyguard-$$m || exit; done
	$(PY) -m evalkit run --suite policyguard --data $(SAMPLE)/pairs.jsonl --limit 240 --model rules --out $(SAMPLE)/policyguard-rules
	if [ -d $(COPRIVA) ]; then $(PY) -m evalkit run --suite copriva --data $(COPRIVA)/data --out $(SAMPLE)/published \
	  --model replay:$(COPRIVA)/outputs/meta-llama_llama-3.1-70b-instruct_results.json; fi  # no licence to show: figures only
	$(PY) -m evalkit report $(SAMPLE)/copriva-* $(SAMPLE)/intellagent-* $(SAMPLE)/policyguard-* --out reports/sample/index.html \
	  $$(test -d $(SAMPLE)/published && echo --figures-only $(SAMPLE)/published)
robust:  ## kill -9 ten times and resume; a server that fails in every way
	$(PY) tests/perf/robust.py
wheel:
	$(PY) -m build
.PHONY: perf-view check lint types contracts test slow fmt perf perf-judge perf-graph perf-monitor perf-dialogues perf-worlds perf-proxy measure-taubench measure-policies measure-policyguard measure-heldout measure-guardrail perf-guardrail measure-judge measure-baselines measure-disclosure measure-precedents robust wheel perf-detection perf-report sample
