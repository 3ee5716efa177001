// The ranked tables: sort by a column, find a run, choose columns. Without this script they are whole, in rank order.
for (const box of document.querySelectorAll(".ranking")) {
  const table = box.querySelector("table"), body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells], rows = [...body.rows];
  const valueOf = (tr, i) => tr.cells[i].dataset.v;
  let by = -1, turned = false;

  function sort(i) {
    turned = by === i ? !turned : false;
    by = i;
    const up = ("high" in heads[i].dataset) === turned; // first what is best: low, where low is good
    const numeric = i > 0;
    const order = rows.map((tr, n) => [valueOf(tr, i), n, tr]).sort(([a, m], [b, n]) => {
      if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1) || m - n; // what was not measured is last, either way
      const d = numeric ? Number(a) - Number(b) : a.localeCompare(b);
      return (up ? d : -d) || m - n;
    });
    body.append(...order.map((x) => x[2]));
    heads.forEach((th, n) => (n === i ? th.setAttribute("aria-sort", up ? "ascending" : "descending") : th.removeAttribute("aria-sort")));
  }

  heads.forEach((th, i) => {
    const button = el("button", { type: "button", class: "sort", click: () => sort(i) });
    button.append(...th.childNodes);
    th.append(button);
  });

  const pick = el("select", { change: () => sort(Number(pick.value)) }, ...heads.map((th, i) => el("option", { value: String(i) }, th.dataset.col)));
  box.querySelector(".controls").append(el("label", { class: "narrow" }, "Sort by ", pick)); // the heads are not seen on a phone

  const input = box.querySelector(".find"), told = box.querySelector(".found");
  input.addEventListener("input", () => {
    const q = input.value.trim().toLowerCase();
    for (const tr of rows) tr.hidden = ![tr.cells[0].dataset.v, tr.querySelector(".params")?.textContent || ""].some((t) => t.toLowerCase().includes(q));
    told.textContent = q ? `${rows.filter((tr) => !tr.hidden).length} of ${rows.length} runs` : "";
  });

  const chosen = box.querySelector(".columns");
  heads.forEach((th, i) => {
    if (i === 0) return;
    const toggle = el("input", { type: "checkbox", checked: "", change: () => {
      for (const tr of [table.tHead.rows[0], ...rows]) tr.cells[i].hidden = !toggle.checked;
    } });
    chosen.append(el("label", null, toggle, " ", th.dataset.col));
  });
  box.querySelector(".controls").hidden = false;
}
