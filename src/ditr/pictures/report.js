// What tables and pairs of pictures of a report do.
"use strict";
for (const range of document.querySelectorAll(".compare input")) {
  range.addEventListener("input", () => range.parentNode.style.setProperty("--at", `${range.value}%`));
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column], number = cell.dataset.value;
    return number === undefined ? cell.textContent.trim() : number === "" ? NaN : +number;
  };
  const compare = (a, b) => {
    if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b), "en", { numeric: true });
    return a - b;
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const rows = [...body.rows], first = rows.map(row => value(row, column)).find(one => !Number.isNaN(one));
    const before = head.getAttribute("aria-sort");
    // Numbers begin with the largest, names with the first.
    const sign = before === "descending" ? 1 : before === "ascending" ? -1 : typeof first === "string" ? 1 : -1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const known = rows.filter(row => !Number.isNaN(value(row, column)));
    known.sort((a, b) => sign * compare(value(a, column), value(b, column)));
    body.append(...known, ...rows.filter(row => Number.isNaN(value(row, column))));
  }));
}
