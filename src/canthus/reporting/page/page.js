"use strict";
// sorting, filtering and hiding; without it the page shows everything in its first order
for (const figure of document.querySelectorAll("figure.table")) {
  const body = figure.querySelector("tbody");
  const heads = [...figure.querySelectorAll("thead th")];
  const key = (row, place) => {
    const cell = row.cells[place];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  const empty = (value) => value === "-" || value === "";
  heads.forEach((head, place) => {
    head.setAttribute("aria-sort", "none");
    head.querySelector("button").addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a, place), key(b, place)];
        if (empty(x) || empty(y)) return empty(x) - empty(y); // at the end either way
        const order = typeof x === "number" && typeof y === "number"
          ? x - y
          : String(x).localeCompare(String(y), "en", { numeric: true });
        return falling ? -order : order;
      });
      body.append(...rows);
      show();
    });
  });
  const choose = figure.querySelector("[data-choose]");
  const filter = figure.querySelector("[data-filter]");
  const more = figure.querySelector("[data-more]");
  const count = figure.querySelector("[data-count]");
  const fold = Number(figure.dataset.fold || 0);
  let open = !fold;
  const show = () => {
    if (!count) return;
    const words = (filter ? filter.value : "").toLowerCase().split(/\s+/).filter(Boolean);
    let [shown, matching] = [0, 0];
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const chosen = !choose || !choose.value || row.cells[choose.dataset.choose].textContent.trim() === choose.value;
      const matches = chosen && words.every((word) => text.includes(word));
      matching += matches;
      row.hidden = !(matches && (open || matching <= fold));
      shown += !row.hidden;
    }
    if (more) {
      more.hidden = matching <= fold;
      more.textContent = open ? `show ${fold} rows` : `show all ${matching} rows`;
    }
    count.textContent = shown === body.rows.length ? "" : `${shown} of ${body.rows.length} rows`;
  };
  choose?.addEventListener("change", show);
  filter?.addEventListener("input", show);
  more?.addEventListener("click", () => {
    open = !open;
    show();
  });
  show();
}
for (const block of document.querySelectorAll(".charts-block")) {
  for (const button of block.querySelectorAll("[data-toggle]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      for (const series of block.querySelectorAll("g.series"))
        if (series.dataset.series === button.dataset.toggle) series.classList.toggle("off", !on);
    });
  }
}
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
