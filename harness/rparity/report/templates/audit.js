"use strict";
// Sorts, filters, and unpacks the figures and the details of cells. Without it the page has everything but these.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const form = document.getElementById("filter");
  const matrix = document.getElementById("matrix");
  const NAMES = ["engine", "case", "verdict", "cause"];

  // -- filter: #?engine=…&case=…&verdict=…&cause=…&sort=…&down=1

  // The matrix has the properties of each cell; its link leads to the details.
  const inMatrix = new Map(all("td a", matrix).map((a) => [a.hash.slice(1), a.parentElement]));

  const chosen = () => Object.fromEntries(NAMES.map((name) => [name, form.elements[name].value]));

  const matches = (element, wanted) =>
    NAMES.every((name) => {
      const value = element.dataset[name] ?? "";
      return !wanted[name] || (name === "cause" ? value.split("\n") : [value]).includes(wanted[name]);
    });

  function filter() {
    const wanted = chosen();
    for (const element of all("[data-column], td", matrix))
      element.hidden = Boolean(wanted.engine) &&
        (element.dataset.column ?? element.dataset.engine) !== wanted.engine;
    let shown = 0;
    for (const row of matrix.tBodies[0].rows) {
      const cells = all("td", row);
      const met = cells.filter((cell) => matches(cell, wanted));
      for (const cell of cells) cell.classList.toggle("off", !met.includes(cell));
      row.hidden = met.length === 0;
      shown += met.length;
    }
    for (const cell of all("details.cell")) cell.hidden = !matches(inMatrix.get(cell.id), wanted);
    for (const section of all("section.case"))
      section.hidden = all("details.cell", section).every((cell) => cell.hidden) &&
        NAMES.some((name) => wanted[name]);
    form.elements.shown.value = `${shown} of ${all("tbody td", matrix).length} cells`;
  }

  // -- sort: up, down, as it was

  const original = new Map();

  function sort(table, column, direction) {
    const body = table.tBodies[0];
    if (!original.has(table)) original.set(table, [...body.rows]);
    const rows = [...original.get(table)];
    const text = (row) => row.cells[column].textContent.trim();
    const numbers = rows.map((row) => parseFloat(text(row)));
    const numeric = numbers.some((value) => !Number.isNaN(value));
    const key = new Map(rows.map((row, i) => [row, numeric ? numbers[i] : text(row)]));
    const order = (a, b) => {
      const [x, y] = [key.get(a), key.get(b)];
      if (!numeric) return direction * x.localeCompare(y);
      return Number.isNaN(x) - Number.isNaN(y) || direction * (x - y);
    };
    body.append(...(direction ? rows.sort(order) : rows));
    const heads = [...table.tHead.rows[0].cells];
    for (const head of heads) head.removeAttribute("aria-sort");
    if (direction) heads[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  }

  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = { ascending: 1, descending: -1 }[head.getAttribute("aria-sort")] ?? 0;
        sort(table, column, now === 0 ? 1 : now === 1 ? -1 : 0);
        if (table === matrix) remember();
      });
    });
  }

  // -- the address keeps the state, so that a view can be passed on

  function remember() {
    const state = new URLSearchParams(Object.entries(chosen()).filter(([, value]) => value));
    const head = matrix.querySelector("th[aria-sort]");
    if (head) {
      state.set("sort", head.dataset.column ?? "");
      if (head.getAttribute("aria-sort") === "descending") state.set("down", "1");
    }
    history.replaceState(null, "", `#?${state}`);
  }

  function recall() {
    if (!location.hash.startsWith("#?")) {
      reveal();
      return;
    }
    const state = new URLSearchParams(location.hash.slice(2));
    for (const name of NAMES) form.elements[name].value = state.get(name) ?? "";
    const heads = [...matrix.tHead.rows[0].cells];
    const column = heads.findIndex((head) => (head.dataset.column ?? "") === state.get("sort"));
    sort(matrix, Math.max(column, 0), column < 0 ? 0 : state.get("down") ? -1 : 1);
    filter();
  }

  // -- the figures are unpacked at once, the details of a case when one of its cells is opened

  async function unpack(section) {
    const packed = section?.querySelector("template");
    if (!packed) return;
    packed.remove();
    const bytes = Uint8Array.from(atob(packed.content.textContent), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    for (const [id, content] of Object.entries(await new Response(plain).json())) {
      const element = document.getElementById(id);
      element.append(...new DOMParser().parseFromString(content, "text/html").body.childNodes);
      for (const row of all("table.values tbody tr", element)) linked(row, id);
      for (const table of all("table.sort", element)) sortable(table);
    }
  }

  // Each value has an address: that of its cell, case--engine, and its table, row and column.
  function linked(row, id) {
    const names = [...row.cells].slice(0, 3).map((name) => encodeURIComponent(name.textContent));
    row.id = [id, ...names].join("--");
    const link = document.createElement("a");
    link.href = `#${row.id}`;
    link.append(...row.cells[0].childNodes);
    row.cells[0].append(link);
  }

  const cellOf = (id) => document.getElementById(id.split("--").slice(0, 2).join("--"));

  // A link leads to what is closed, packed or filtered away: show it.
  async function reveal() {
    const id = location.hash.slice(1);
    await figures;
    const cell = cellOf(id);
    if (cell?.matches("details.cell")) await unpack(cell.closest("section.case"));
    const target = document.getElementById(id);
    if (!target) return;
    const closed = target.closest("details");
    if (closed) closed.open = true;
    if (target.closest("[hidden]")) {
      form.reset();
      filter();
    }
    target.scrollIntoView();
  }

  const figures = unpack(document.getElementById("figures"));
  form.hidden = false;
  form.addEventListener("change", () => { filter(); remember(); });
  form.addEventListener("reset", () => setTimeout(() => { filter(); remember(); }));
  for (const table of all("table.sort")) sortable(table);
  for (const cell of all("details.cell"))
    cell.addEventListener("toggle", () => cell.open && unpack(cell.closest("section.case")));
  window.addEventListener("hashchange", recall);
  filter();
  recall();
})();
