// The first part of the view of many variables: a table, from a file or as a sample, and its charts.

import { el, fill } from "./dom.js";
import { drawVariables } from "./variables_chart.js";
import { keep, pump, read } from "./variables_data.js";
import { alertBox, when, whole } from "./variables_parts.js";

// As many as are looked at together; the others are there at a click.
export const MOST_SHOWN = 12;

/**
 * @param {any} context what the parts share: `api`, `words`
 * @param {(table: import("./variables_data.js").Table) => void} onTable
 * @param {(from: number, to: number) => void} onChoose a span was dragged on the chart
 */
export function sourcePart(context, onTable, onChoose) {
  const { api, words } = context;
  const problem = alertBox("var-input-error");
  const input = el("input", { type: "file", id: "var-file", hidden: true, onchange: () => input.files[0] && open(input.files[0]) });
  const choose = el("button", { type: "button", class: "primary", id: "var-choose", onclick: () => input.click() }, words.chooseFile);
  const sample = el("button", { type: "button", id: "var-sample", onclick: () => take(pump()) }, words.varSample);
  const description = el("p", { id: "var-description", "aria-live": "polite" });
  const notes = el("ul", { class: "notes", hidden: true });
  const chart = el("div", { id: "var-chart", class: "var-chart" });
  const all = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => showAll() });
  const figure = el("div", { hidden: true }, el("p", { class: "hint" }, words.varDragHint), chart, all);
  let everything = false;
  let drawing = { variables: [], chosen: null };
  // Of two files that are read at once, the one that was chosen last counts.
  let turn = 0;

  async function open(file, chosen = {}) {
    input.value = "";
    problem.clear();
    const own = (turn += 1);
    description.textContent = fill(words.varReading, { name: file.name });
    try {
      const table = await read(api, file, chosen);
      if (own === turn) take(table);
    } catch (error) {
      if (own !== turn) return;
      describe(context.table);
      problem.show(error, ...ways(file, chosen, error.details ?? {}));
    }
  }

  // Where the service cannot tell, a person can: which sheet, which notation, which column.
  function ways(file, chosen, { readings, columns, sheets }) {
    if (Array.isArray(sheets)) {
      return sheets.map((sheet) => el("button", { type: "button", onclick: () => open(file, { ...chosen, sheet }) }, sheet));
    }
    if (Array.isArray(readings)) {
      return readings.map(({ dayFirst, example }) =>
        el("button", { type: "button", onclick: () => open(file, { ...chosen, dayFirst }) },
          `${dayFirst ? words.varDayFirst : words.varMonthFirst}: ${example}`));
    }
    if (Array.isArray(columns) && !chosen.timestamp) {
      return columns.map(({ name }) =>
        el("button", { type: "button", onclick: () => open(file, { ...chosen, timestamp: name }) }, fill(words.varTimeIs, { name })));
    }
    return [];
  }

  function take(table) {
    problem.clear();
    turn += 1;
    if (!table.timestamps || table.variables.length < 1 || table.timestamps.length < 2) {
      describe(context.table);
      problem.show(words.varTooSmall);
      return;
    }
    keep(table);
    everything = false;
    onTable(table);
  }

  function describe(table) {
    description.textContent = table
      ? fill(words.varDescription, {
        name: table.sample ? words.varSampleName : table.name, rows: whole(table.timestamps.length), count: whole(table.variables.length),
        from: when(table.timestamps[0]), to: when(table.timestamps[table.timestamps.length - 1]),
      })
      : "";
    notes.replaceChildren(...(table?.notes ?? []).map((note) => el("li", {}, note)));
    notes.hidden = !table?.notes.length;
  }

  function showAll() {
    everything = !everything;
    draw(drawing.variables, drawing.chosen);
  }

  /** Draw these variables, with the span that is trained on shaded. */
  async function draw(variables, chosen) {
    drawing = { variables, chosen };
    const { table } = context;
    figure.hidden = !table || !variables.length;
    describe(table);
    if (figure.hidden) return;
    const shown = everything ? variables : variables.slice(0, MOST_SHOWN);
    all.hidden = variables.length <= MOST_SHOWN;
    all.textContent = everything ? words.varShowFewer : fill(words.varShowAll, { n: whole(variables.length) });
    const label = fill(words.varChartLabel, { names: shown.join(", ") });
    const { timestamps, values } = table;
    const span = chosen?.every(Boolean) ? chosen : undefined;
    await drawVariables(chart, { timestamps, values, variables: shown, chosen: span, onChoose }, words, label);
  }

  const element = el("section", { class: "card var-source", "aria-labelledby": "var-data-title" },
    el("h2", { id: "var-data-title" }, words.varDataTitle),
    el("p", { class: "hint" }, words.varDataHint),
    el("p", { class: "actions" }, choose, sample, input),
    problem.element, description, notes, figure);
  return { element, open, take, draw, problem };
}
