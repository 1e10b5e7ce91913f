"use strict";
// Tables are sorted by their headings, and long ones filtered. Without this script, and on paper, all rows stand
// as they were written.
(() => {
  const tools = document.querySelector("#tools").content.firstElementChild;
  const {lang} = document.documentElement, {decimal} = tools.dataset;
  const SCALE = {h: 3600, min: 60, s: 1, GB: 1000, MB: 1};
  const fold = text => text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase(lang);
  const compare = new Intl.Collator(lang, {numeric: true}).compare;

  // What a cell begins with: a value, and not the interval below it.
  function text(cell) {
    const found = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT, {acceptNode:
      node => node.data.trim() ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP}).nextNode();
    return found ? found.data.trim() : "";
  }

  // "97.3%", "−0,012", "3 min 20 s", "1.9 GB", "12 of 40": the number; NaN of other texts.
  function number(told) {
    const found = /^([+−-]?)(\d[\d.,\s]*)(?:(h|min|s|GB|MB|%)(?: (\d+) (?:min|s))?)?(?![^\s–(])/u.exec(told);
    if (!found) return NaN;
    const [, sign, digits, unit, rest] = found;
    const plain = digits.replace(/[^\d.,]/g, "").replace(decimal === "," ? /\./g : /,/g, "").replace(",", ".");
    const scale = SCALE[unit] ?? 1;
    return (/[−-]/.test(sign) ? -1 : 1) * (Number(plain) * scale + Number(rest ?? 0) * scale / 60);
  }

  function sorted(rows, column, down) {
    const texts = new Map(rows.map(row => [row, text(row.cells[column])]));
    const told = row => !["", "–"].includes(texts.get(row));
    const values = new Map(rows.map(row => [row, number(texts.get(row))]));
    const numeric = rows.filter(told).every(row => !Number.isNaN(values.get(row)));
    const order = numeric ? (a, b) => values.get(a) - values.get(b) : (a, b) => compare(texts.get(a), texts.get(b));
    const known = rows.filter(told).sort(order);
    return [...(down ? known.reverse() : known), ...rows.filter(row => !told(row))];
  }

  function addSorting(table, rows, last) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    let shown = rows;
    heads.forEach((head, column) => {
      if (head.tagName !== "TH" || !head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sorts";
      button.append(...head.childNodes);
      head.append(button);
      // Up, down, and back to how it was written.
      button.addEventListener("click", () => {
        const next = {ascending: "descending", descending: ""}[head.ariaSort] ?? "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        shown = next ? sorted(rows, column, next === "descending") : rows;
        body.append(...shown, ...last);
      });
    });
    addEventListener("beforeprint", () => body.append(...rows, ...last));
    addEventListener("afterprint", () => body.append(...shown, ...last));
  }

  function addFilter(table, rows) {
    const filter = tools.cloneNode(true), told = filter.querySelector("[role=status]"), sentence = told.textContent;
    told.textContent = "";
    filter.querySelector("input").addEventListener("input", event => {
      const wanted = fold(event.target.value.trim());
      for (const row of rows) row.classList.toggle("left-out", !fold(row.textContent).includes(wanted));
      const left = rows.filter(row => !row.classList.contains("left-out")).length;
      told.textContent = wanted ? sentence.replace("{shown}", left).replace("{all}", rows.length) : "";
    });
    table.parentElement.before(filter);
  }

  for (const table of document.querySelectorAll("section:not(.hero) table")) {
    const total = row => row.classList.contains("total"), all = [...table.tBodies[0].rows];
    const rows = all.filter(row => !total(row));
    if (rows.length > 2) addSorting(table, rows, all.filter(total));
    if (rows.length > 10) addFilter(table, rows);
  }
})();
