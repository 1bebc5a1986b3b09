"use strict";
/* Sorting, filters, choice of columns and charts, samples over iterations and seeds, tooltips, download. */
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const json = (id) => JSON.parse(one("#" + id).textContent);
  const number = new Intl.NumberFormat("en");

  for (const tools of all(".tools")) tools.hidden = false;

  /* Sorting: a button in each heading; rows without a value stay last. Anchors keep their place. */
  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
  };
  const compare = (kind, sign) => (a, b) => {
    if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "") || a.at - b.at;
    const order = kind === "number" ? Number(a.value) - Number(b.value) : a.value.localeCompare(b.value);
    return (Number.isNaN(order) ? 0 : sign * order) || a.at - b.at;
  };
  const sort = (table, heading, column) => {
    const before = heading.getAttribute("aria-sort");
    const first = heading.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const next = before === "none" ? first : before === first ? other : "none";
    for (const each of all("th[aria-sort]", table)) each.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", next);
    const body = one("tbody.models", table);
    const rows = [...body.rows].map((row) => ({ row, at: Number(row.dataset.at), value: value(row, column) }));
    if (next === "none") rows.sort((a, b) => a.at - b.at);
    else rows.sort(compare(heading.dataset.sort, next === "ascending" ? 1 : -1));
    body.append(...rows.map((each) => each.row));
  };
  for (const table of all("table.results")) {
    if (!one("tbody.models", table)) continue;
    [...one("tbody.models", table).rows].forEach((row, at) => { row.dataset.at = at; });
    all("thead th", table).forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, heading, column));
    });
  }

  /* Filter of models, and choice of columns. */
  for (const tools of all("[data-filter]")) {
    const input = one("input", tools);
    const rows = all("tbody.models tr", document.getElementById(input.getAttribute("aria-controls")));
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = (row.cells[0].textContent + " " + row.cells[0].title).toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      one("output", tools).textContent = words.length ? `${shown} of ${rows.length} models` : "";
    });
  }
  const choices = all("[data-columns] input");
  for (const choice of choices) {
    choice.addEventListener("change", () => {
      for (const row of all("table.results tr")) {
        row.cells[row.cells.length - choices.length + Number(choice.value)].hidden = !choice.checked;
      }
    });
  }

  /* Curves: one metric at a time, and models that are highlighted. */
  for (const panels of all("[data-panels]")) {
    const select = one("select", panels);
    const show = () => {
      for (const panel of all("[data-panel]", panels)) panel.hidden = panel.dataset.panel !== select.value;
    };
    select.addEventListener("change", show);
    show();
    const chosen = new Set();
    for (const button of all(".legend button", panels)) {
      button.addEventListener("click", () => {
        const label = button.dataset.label;
        if (!chosen.delete(label)) chosen.add(label);
        button.setAttribute("aria-pressed", chosen.has(label));
        for (const each of all("[data-label]:not(button)", panels)) {
          each.classList.toggle("dim", chosen.size > 0 && !chosen.has(each.dataset.label));
        }
      });
    }
  }

  /* Samples: drawings of a seed and an iteration; two models beside each other. */
  let frames;
  for (const group of all("[data-samples]")) {
    const lead = group.previousElementSibling;
    const find = (selector) => one(selector, group);
    const seed = find("select[data-seed]"), slider = find("input[type=range]");
    const left = find("[data-left]"), right = find("[data-right]");
    const place = (name) => {
      let at = group;
      while ((at = at.previousElementSibling)) { const found = at.querySelector(`output[data-${name}]`); if (found) return found; }
      return lead;
    };
    const seedText = place("seed"), iterationText = place("iteration");
    const draw = () => {
      frames = frames || json("frames");
      const found = frames[group.dataset.samples];
      const at = slider ? Number(slider.value) : 0;
      const iteration = number.format(found.iterations[at]);
      if (slider) slider.setAttribute("aria-valuetext", iteration);
      seedText.textContent = seed.value;
      iterationText.textContent = iteration;
      for (const figure of all("[data-model]", group)) {
        const name = figure.dataset.model;
        const frame = ((found.models[name] || {})[seed.value] || [])[at];
        const absence = one(".absence", figure);
        absence.hidden = Boolean(frame);
        if (!frame) absence.textContent = (found.absent[name] || {})[seed.value] || "not stored at this iteration";
        if (found.kind === "images") one("img", figure).hidden = !frame;
        if (found.kind === "images") { if (frame) one("img", figure).src = frame; }
        else all("path.g", figure).forEach((path, k) => path.setAttribute("d", frame ? frame[k] : ""));
      }
    };
    const choose = () => {
      const pair = left.value ? [left.value, right.value] : [];
      group.classList.toggle("beside", pair.length > 0);
      find("[data-beside]").hidden = !pair.length;
      for (const figure of all("[data-model]", group)) figure.hidden = pair.length > 0 && !pair.includes(figure.dataset.model);
    };
    seed.addEventListener("change", draw);
    if (slider) slider.addEventListener("input", draw);
    if (left) for (const each of [left, right]) each.addEventListener("change", choose);
  }

  /* Tooltips, on hover and on focus, from titles. */
  const tip = one("#tip");
  const text = (target) => {
    const from = target.closest && target.closest("[title], [data-tip]");
    if (!from) return null;
    if (from.title) { from.dataset.tip = from.title; from.removeAttribute("title"); }
    return { from, text: from.dataset.tip };
  };
  const showTip = (event) => {
    const found = text(event.target);
    tip.hidden = !found;
    if (!found) return;
    tip.textContent = found.text;
    const box = found.from.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const above = box.top - tip.offsetHeight - 6;
    tip.style.left = Math.max(8, Math.min(box.left, room)) + scrollX + "px";
    tip.style.top = (above > 0 ? above : box.bottom + 6) + scrollY + "px";
  };
  document.addEventListener("mouseover", showTip);
  document.addEventListener("focusin", showTip);
  document.addEventListener("focusout", () => { tip.hidden = true; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  /* Download of the embedded data. */
  for (const button of all("[data-download]")) {
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([one("#data").textContent], { type: "application/json" }));
      link.download = button.dataset.download.replace(/[^\w.-]+/g, "_");
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
  document.documentElement.classList.add("ready");
})();
