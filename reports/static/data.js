"use strict";
// The samples of the report: an index of numbers, and texts in blobs that are unpacked when first needed.
// A blob stands in the page, or beside it as a script that hands itself over (a page from disk may not fetch).
const KEPT = 60; // blobs of texts kept unpacked
const blobs = new Map(); // name to promise of its content, the last used last
const handed = new Map(); // name to what waits for the script
let book = null; // the index, made ready by openBook

window.evalkitBlob = (name, text) => handed.get(name)?.(text);

function blob(name) {
  const known = blobs.get(name);
  if (known) {
    blobs.delete(name);
    blobs.set(name, known);
    return known;
  }
  const here = document.getElementById(`blob-${name}`);
  const text = here ? Promise.resolve(here.textContent) : fromFile(name);
  const found = text.then(unpacked);
  found.catch(() => blobs.delete(name));
  blobs.set(name, found);
  if (blobs.size > KEPT) blobs.delete([...blobs.keys()].find((k) => k !== "index"));
  return found;
}

async function unpacked(text) {
  if (!("DecompressionStream" in window)) throw new Error("this browser is too old to unpack samples (it has no DecompressionStream)");
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

let scripts = null; // the only maker of script addresses: a name of ours in the folder of ours
function address(name) {
  const make = (n) => {
    if (!/^[a-z]+\d*$/.test(n)) throw new Error(`no blob ${n}`);
    return document.body.dataset.source + n + ".js";
  };
  scripts ??= window.trustedTypes ? trustedTypes.createPolicy("evalkit", { createScriptURL: make }) : { createScriptURL: make };
  return scripts.createScriptURL(name);
}

function fromFile(name) {
  return new Promise((done, failed) => {
    const node = document.createElement("script");
    const end = (act, value) => {
      handed.delete(name);
      node.remove();
      act(value);
    };
    handed.set(name, (text) => end(done, text));
    node.onerror = () => end(failed, new Error(`${document.body.dataset.source}${name}.js is missing or cannot be read`));
    node.src = address(name);
    document.head.append(node);
  });
}

async function openBook() {
  if (book) return book;
  const found = await blob("index");
  found.starts = [];
  found.n = 0;
  for (const run of found.runs) {
    found.starts.push(found.n);
    found.n += run.s.length;
  }
  const names = found.runs.map((r) => r.model);
  for (const run of found.runs) run.name = names.filter((n) => n === run.model).length > 1 ? `${run.model} (${run.key})` : run.model;
  book = found;
  return book;
}

// --- one sample by its number: what the index knows ------------------------------------------------------------

function whereIs(i) {
  let r = book.starts.length - 1;
  while (book.starts[r] > i) r--;
  return [book.runs[r], i - book.starts[r]];
}

function wordOf(i) {
  const [run, at] = whereIs(i);
  return book.words[run.o[at]];
}

function idOf(i) {
  const [run, at] = whereIs(i);
  return `${run.key}/${book.ids[run.s[at]]}/${run.e[at] || 0}`;
}

// The number of a sample by its id; -1 where there is none.
function numberOf(id) {
  const run = book.runs.findIndex((r) => id.startsWith(`${r.key}/`));
  if (run < 0) return -1;
  const [, scenario, epoch] = /^[^/]*\/(.*)\/(\d+)$/s.exec(id) || [];
  const { s, e } = book.runs[run];
  for (let at = 0; at < s.length; at++) {
    if (book.ids[s[at]] === scenario && (e[at] || 0) === Number(epoch)) return book.starts[run] + at;
  }
  return -1;
}

// Whether a scenario is in a slice; several values of a slice are several policies of one scenario.
function inSlice(scenario, facet, code) {
  const own = facet.of[scenario];
  return Array.isArray(own) ? own.includes(code) : own === code;
}

function sliceOf(i, name) {
  const [run, at] = whereIs(i);
  const facet = book.facets[name];
  const own = facet ? facet.of[run.s[at]] : undefined;
  return own === undefined || own === -1 ? "" : [own].flat().map((c) => facet.values[c]).join(", ");
}

// --- and its texts ---------------------------------------------------------------------------------------------

async function member(kind, number) {
  const bounds = book.bounds[kind];
  let low = 0, high = bounds.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (bounds[middle] <= number) low = middle;
    else high = middle - 1;
  }
  return (await blob(`${kind}${low}`))[number - bounds[low]];
}

async function sampleAt(i, withDocument) {
  const [run, at] = whereIs(i);
  const [{ t, v }, { record, context }] = await Promise.all([member("s", i), member("q", run.s[at])]);
  const text = withDocument && context !== null ? await member("c", context) : null;
  t.messages ??= [];
  const part = run.parts[run.p[at]];
  return {
    number: i, run, scenario: record, outcome: wordOf(i), parts: part, trajectory: t, verdicts: v, context: text,
    answer: t.messages.map((m) => m.content || "").join("\n\n"),
    kind: (record.tags || {}).kind || "", id: idOf(i),
    facts: new Map([...(record.secrets || []), ...(record.shareable || [])].map((f) => [f.id, f])),
  };
}
