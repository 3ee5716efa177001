// The list of samples: filters, search, what is shown, and the way between table, list and sample.
const PAGE = 60;
const BASIC = ["run", "attack", "kind", "outcome", "q"]; // what the form has fields for
let found = []; // numbers of the samples that the filters let through, in order
let shown = 0; // how many of them are drawn
let drawnFor = null; // the filters that `found` belongs to
let turnNumber = 0; // of the choice being made: an older one that is still searching stops
let overviewAt = 0; // where the reader was before the samples were opened
let overviewFocus = null;
let toSearch = false; // the next list that is shown has its search field in focus

function say(text) {
  $("status").textContent = text;
  $("status").hidden = !text;
}

async function opened() {
  if (book) return true;
  say("Unpacking the samples…");
  await new Promise((done) => setTimeout(done)); // let the line above be drawn
  try {
    await openBook();
    say("");
    fillFilters();
    return true;
  } catch (error) {
    say(`The samples cannot be unpacked: ${error.message}. The tables are complete.`);
    return false;
  }
}

// --- choosing samples --------------------------------------------------------------------------------------

function fillFilters() {
  const form = $("filters");
  const fill = (name, all, pairs) => {
    form[name].replaceChildren(el("option", { value: "" }, all), ...pairs.map(([v, t]) => el("option", { value: v }, t)));
    form[name].parentElement.hidden = pairs.length < 2;
  };
  const values = (name) => [...(book.facets[name] || { values: [] }).values].sort().map((v) => [v, words(v)]);
  fill("run", "all", book.runs.map((r) => [r.key, r.name]));
  fill("attack", "all", values("attack"));
  fill("kind", "all kinds", values("kind"));
  const there = new Set(book.runs.flatMap((r) => [...new Set(r.o)]));
  fill("outcome", "all", book.words.filter((w, i) => there.has(i)).map((o) => [o, o]));
}

// The numbers of the samples that the filters let through, search apart: from the index alone.
function choose(p) {
  const metric = book.metrics.findIndex((m) => m.name === p.get("list"));
  const slices = [];
  for (const [name, value] of p) {
    if (!(name in book.facets) || !value) continue;
    slices.push([book.facets[name], book.facets[name].values.indexOf(value)]);
  }
  const outcome = p.get("outcome") ? book.words.indexOf(p.get("outcome")) : -1;
  const good = metric >= 0 && book.metrics[metric].good;
  const rows = [];
  book.runs.forEach((run, r) => {
    if (p.get("run") && p.get("run") !== run.key) return;
    const rank = run.parts.map((part) => (metric < 0 ? 0 : part[metric] ? badness(part[metric], good) : null));
    for (let at = 0; at < run.s.length; at++) {
      if (outcome >= 0 && run.o[at] !== outcome) continue;
      const value = rank[run.p[at]];
      if (value === null || !slices.every(([facet, code]) => inSlice(run.s[at], facet, code))) continue;
      rows.push([metric < 0 ? run.o[at] : value, book.starts[r] + at]);
    }
  });
  return rows.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((pair) => pair[1]);
}

// What counts against the model comes first, errors last.
function badness([hits, n], good) {
  return n === 0 ? 2 : good ? hits / n : 1 - hits / n;
}

const haystack = (s) => [s.scenario.id, s.scenario.question, s.answer, ...(s.scenario.policies || []).flatMap((x) => [x.id, x.text]), ...[...s.facts.values()].flatMap((f) => [f.about, f.text])]
  .join("\n").toLowerCase();

// Reads the texts of all that was chosen, blob by blob, and shows hits as they come.
async function search(all, q, mine) {
  const started = performance.now();
  let told = 0;
  for (let i = 0; i < all.length; i++) {
    const s = await sampleAt(all[i]);
    if (mine !== turnNumber) return;
    if (haystack(s).includes(q)) found.push(all[i]);
    if (performance.now() - told > 150 || i === all.length - 1) {
      told = performance.now();
      if (shown < PAGE) await drawMore();
      if (mine !== turnNumber) return;
      const done = i === all.length - 1;
      countShown(done || told - started < 300 ? "" : `searched ${(i + 1).toLocaleString("en")} of ${all.length.toLocaleString("en")}`);
    }
  }
  countShown("");
}

// --- the list ----------------------------------------------------------------------------------------------

async function drawList(p) {
  const mine = ++turnNumber;
  const metric = book.metrics.find((m) => m.name === p.get("list"));
  const all = choose(p);
  const q = (p.get("q") || "").trim().toLowerCase();
  const run = book.runs.find((r) => r.key === p.get("run"));
  const slices = [...p].filter(([name]) => name in book.facets).map(([, value]) => value);
  $("list-title").replaceChildren(visible([metric ? metric.label : "Samples", run && run.name, ...slices.map(words)].filter(Boolean).join(" · ")));
  $("list-sum").replaceChildren(visible(metric ? `${counted(metric, all)} Here: ${metric.about}.` : ""));
  drawChips(p);
  for (const name of BASIC) {
    if ($("filters")[name] !== document.activeElement) $("filters")[name].value = p.get(name) || "";
  }
  $("list").replaceChildren();
  shown = 0;
  found = q ? [] : all;
  if (q) return search(all, q, mine);
  return drawMore();
}

// Slices that the form has no field for, each with a button that takes it away.
function drawChips(p) {
  const names = [...p.keys()].filter((name) => name in book.facets && !BASIC.includes(name) && p.get(name));
  $("chips").replaceChildren(...names.map((name) => el("button", { type: "button", class: "chip", title: "Take this filter away", click: () => change(name, "") },
    `${words(name)}: ${words(p.get(name))} `, el("span", { "aria-hidden": "true" }, "×"))));
}

function counted(metric, all) {
  const index = book.metrics.indexOf(metric);
  let hits = 0, n = 0, errors = 0;
  for (const i of all) {
    const [run, at] = whereIs(i);
    const part = run.parts[run.p[at]][index];
    hits += part[0];
    n += part[1];
    errors += part[2];
  }
  const rate = n ? `${hits.toLocaleString("en")} of ${n.toLocaleString("en")} (${percent(hits, n)})` : "Nothing measured";
  return errors ? `${rate}; ${errors.toLocaleString("en")} not counted because of errors.` : `${rate}.`;
}

async function drawMore() {
  const mine = turnNumber;
  const next = found.slice(shown, shown + PAGE);
  shown += next.length;
  try {
    const samples = await Promise.all(next.map((i) => sampleAt(i)));
    if (mine !== turnNumber) return;
    $("list").append(...samples.map((s) => el("li", null, row(s))));
  } catch (error) {
    say(`These samples cannot be read: ${error.message}.`);
  }
  countShown("");
}

function countShown(more) {
  const n = found.length.toLocaleString("en");
  const text = found.length || more ? `${shown.toLocaleString("en")} of ${n} samples shown` : "No sample fits these filters.";
  $("list-count").textContent = more ? `${text}; ${more}` : text;
  $("more").hidden = shown >= found.length;
}

function row(s) {
  const failure = s.trajectory.failure;
  return el("a", { href: linkTo(s.number), "data-id": s.id },
    el("span", { class: "row-head" }, badge(s.outcome), el("bdi", null, s.run.name), about(s)),
    el("span", { class: "row-question" }, s.scenario.question || (s.scenario.policies[0] || {}).text || s.scenario.id),
    el("span", { class: "row-answer" }, ...(failure ? [`${words(failure.kind)}: ${failure.message}`] : snippet(s))));
}

// The evidence of the first leak with a little around it, or how the answer begins.
function snippet(s) {
  const index = s.trajectory.messages.findIndex((m, i) => spansOf(s, i).some((span) => span.kind === "leak"));
  if (index < 0) return [s.answer.slice(0, 180)];
  const e = spansOf(s, index).find((span) => span.kind === "leak");
  const chars = points(s.trajectory.messages[index]);
  const some = (from, to) => chars.slice(Math.max(0, from), to).join("");
  const told = el("mark", { class: "leak" }, some(e.start, Math.min(e.end, e.start + 160)) + (e.end > e.start + 160 ? "…" : ""));
  return [(e.start > 60 ? "…" : "") + some(e.start - 60, e.start), told, some(e.end, e.end + 60) + (e.end + 60 < chars.length ? "…" : "")];
}

function linkTo(number) {
  const p = filters();
  p.delete("sample");
  const rest = p.toString();
  return `#sample=${encodeURIComponent(idOf(number))}${rest ? "&" + rest : ""}`;
}

// --- moving about ------------------------------------------------------------------------------------------

function filters() {
  return new URLSearchParams(location.hash.slice(1));
}

function change(name, value) {
  const p = filters();
  p.delete("sample");
  if (value) p.set(name, value);
  else p.delete(name);
  if (!p.has("list")) p.set("list", "");
  history.replaceState(null, "", "#" + p);
  return route();
}

function go(index) {
  if (found[index] !== undefined) location.hash = linkTo(found[index]);
}

function toList() {
  const p = filters();
  p.delete("sample");
  if (!p.has("list")) p.set("list", "");
  location.hash = p.toString();
}

async function route() {
  const p = filters();
  if (!p.has("list") && !p.has("sample")) return overview();
  if (!(await opened())) return overview();
  say("");
  if (!$("results").hidden) {
    overviewAt = window.scrollY;
    overviewFocus = document.activeElement;
  }
  $("results").hidden = true;
  $("browser").hidden = false;
  const id = p.get("sample");
  p.delete("sample");
  const first = drawnFor === null;
  if (drawnFor !== p.toString()) {
    drawnFor = p.toString();
    const drawing = drawList(p);
    if (!id) show(null, first);
    await drawing;
  }
  return drawOne(id, first);
}

async function drawOne(id, first) {
  const number = id ? numberOf(id) : -1;
  if (id && number < 0) {
    say("There is no such sample in this report.");
    return show(null, first);
  }
  if (number < 0) return show(null, first);
  try {
    const sample = await sampleAt(number, true);
    if (filters().get("sample") === id) show(sample, first);
  } catch (error) {
    say(`This sample cannot be read: ${error.message}.`);
  }
}

function show(sample, first) {
  const before = document.body.dataset.view;
  document.body.dataset.view = sample ? "sample" : "list";
  $("sample").hidden = !sample;
  for (const a of $("list").querySelectorAll("[aria-current]")) a.removeAttribute("aria-current");
  if (sample) {
    drawSample(sample);
    const own = [...$("list").querySelectorAll("a")].find((a) => a.dataset.id === sample.id);
    if (own) {
      own.setAttribute("aria-current", "true");
      $("list").parentElement.scrollTop = own.offsetTop - 80; // the pane, where the list is one
    }
    $("sample-title").focus({ preventScroll: true });
    $("sample").scrollIntoView({ block: "start" });
  } else if (toSearch) {
    toSearch = false;
    $("filters").q.focus();
  } else if (first || (before !== "list" && !$("filters").contains(document.activeElement))) {
    window.scrollTo(0, 0);
    $("list-title").focus({ preventScroll: true });
  }
}

function overview() {
  const back = !$("browser").hidden;
  turnNumber++;
  $("browser").hidden = true;
  $("results").hidden = false;
  document.body.dataset.view = "overview";
  drawnFor = null;
  if (back && overviewFocus) {
    overviewFocus.focus({ preventScroll: true });
    window.scrollTo(0, overviewAt);
  }
}

// In the list: the focus to the next or previous sample; Enter opens it.
function step(event) {
  const rows = [...$("list").querySelectorAll("a")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[event.key === "j" || event.key === "ArrowDown" ? at + 1 : at - 1];
  if (!next || (at < 0 && event.key.startsWith("Arrow"))) return; // from elsewhere arrows scroll
  event.preventDefault();
  next.focus();
}

// The next marked place of the sample, round and round.
function nextMark() {
  const marks = [...$("sample").querySelectorAll(".talk mark, .answer mark, .steps mark")];
  const at = marks.findIndex((m) => m.classList.contains("now"));
  if (at >= 0) marks[at].classList.remove("now");
  const next = marks[(at + 1) % marks.length];
  if (!next) return;
  next.classList.add("now");
  next.scrollIntoView({ block: "center" });
}

$("filters").addEventListener("input", (event) => change(event.target.name, event.target.value));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", drawMore);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const view = document.body.dataset.view;
  const at = () => found.indexOf(numberOf(filters().get("sample")));
  if (view === "sample" && (event.key === "ArrowRight" || event.key === "j")) go(at() + 1);
  else if (view === "sample" && (event.key === "ArrowLeft" || event.key === "k")) go(at() - 1);
  else if (view === "sample" && event.key === "m") nextMark();
  else if (view === "sample" && event.key === "Escape") toList();
  else if (view === "list" && /^(j|k|ArrowDown|ArrowUp)$/.test(event.key)) step(event);
  else if (view === "list" && event.key === "Escape") location.hash = "results";
  else if ((view === "list" || view === "sample") && event.key === "/") {
    event.preventDefault();
    toSearch = view === "sample";
    if (toSearch) toList();
    else $("filters").q.focus();
  }
});
window.addEventListener("beforeprint", () => document.querySelectorAll("#results details").forEach((d) => { d.open = true; }));
window.addEventListener("hashchange", route);
route();
