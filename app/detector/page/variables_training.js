// The second part of the view of many variables: what to train on and how, or which model to use.

import { el, fill } from "./dom.js";
import { models, rowsIn, split, upload, usualWindow } from "./variables_data.js";
import { alertBox, field, spanFields, whole, when } from "./variables_parts.js";

const FILL_METHODS = ["Linear", "Previous", "Subsequent", "Zero", "Fixed", "NotFill"];
const LONGEST_NAME = 24;

/**
 * @param {any} context what the parts share: `api`, `words`, `state`, `table`
 * @param {() => void} onRange the variables or the span that are trained on changed
 * @param {(model: any, source: {dataSource: string, variables: string[]}|null) => void} onModel
 */
export function trainingPart(context, onRange, onModel) {
  const { api, words, state } = context;
  const problem = alertBox("var-train-error");
  const span = spanFields(words, "var-train", () => changed());
  const boxes = el("div", { class: "var-names" });
  const count = el("span", { class: "hint" });
  const select = (id, values, names, onchange) =>
    el("select", { id, onchange }, ...values.map((value) => el("option", { value }, names[value])));
  const window_ = el("input", { type: "number", id: "var-window", min: "28", max: "2880", step: "1", inputmode: "numeric", onchange: () => remember() });
  const name = el("input", { type: "text", id: "var-name", maxlength: String(LONGEST_NAME), autocomplete: "off" });
  const align = select("var-align", ["Outer", "Inner"], { Outer: words.varOuter, Inner: words.varInner }, () => remember());
  const fillNames = Object.fromEntries(FILL_METHODS.map((method) => [method, words[`varFill${method}`]]));
  const filling = select("var-fill", FILL_METHODS, fillNames, () => remember());
  const padding = el("input", { type: "number", id: "var-padding", step: "any", value: "0", onchange: () => remember() });
  const paddingField = field(words.varPadding, padding);
  const train = el("button", { type: "submit", class: "primary", id: "var-train" }, words.varTrain);
  const existing = el("select", { id: "var-existing" });
  const use = el("button", { type: "button", id: "var-use", onclick: () => useExisting() }, words.varUse);
  const existingRow = el("div", { class: "fields", hidden: true }, field(words.varExisting, existing), use);
  let known = [];

  function remember() {
    paddingField.hidden = filling.value !== "Fixed";
    const [from, to] = span.get();
    const chosen = variables();
    state.set({
      window: window_.value, from, to, align: align.value === "Outer" ? null : align.value,
      fill: filling.value === "Linear" ? null : filling.value, padding: filling.value === "Fixed" ? padding.value : null,
      only: chosen.length === context.table?.variables.length ? null : JSON.stringify(chosen),
    });
  }

  function changed() {
    const rows = context.table ? rowsIn(context.table, span.get()).count : 0;
    const chosen = variables();
    count.textContent = fill(words.varChosen, { count: whole(chosen.length), rows: whole(rows) });
    remember();
    onRange();
  }

  function variables() {
    return [...boxes.querySelectorAll("input:checked")].map((box) => box.value);
  }

  function check(all) {
    for (const box of boxes.querySelectorAll("input")) box.checked = all;
    changed();
  }

  /** Show the fields for a table, with what the address says where it is for this table. */
  function setTable(table, fromAddress = false) {
    problem.clear();
    const remembered = fromAddress ? rememberedOptions() : {};
    const only = new Set(remembered.only ?? table.variables);
    boxes.replaceChildren(...table.variables.map((variable) =>
      el("label", { class: "check" }, el("input", { type: "checkbox", value: variable, checked: only.has(variable), onchange: changed }), el("span", {}, variable))));
    const { train: usual } = split(table);
    span.set([remembered.from ?? usual[0], remembered.to ?? usual[1]]);
    window_.value = remembered.window ?? usualWindow(rowsIn(table, usual).count);
    align.value = remembered.align ?? "Outer";
    filling.value = remembered.fill ?? "Linear";
    padding.value = remembered.padding ?? "0";
    name.value = table.name.replace(/\.[^.]*$/, "").slice(0, LONGEST_NAME);
    changed();
    offerModels();
  }

  function rememberedOptions() {
    const found = Object.fromEntries(["window", "from", "to", "align", "fill", "padding"].map((key) => [key, state.get(key) ?? undefined]));
    // A stranger's link may say anything.
    if (!["Outer", "Inner"].includes(found.align)) delete found.align;
    if (!FILL_METHODS.includes(found.fill)) delete found.fill;
    if (!/^\d{2,4}$/.test(found.window)) delete found.window;
    if (!Number.isFinite(Number(found.padding))) delete found.padding;
    for (const key of ["from", "to"]) if (Number.isNaN(Date.parse(found[key]))) delete found[key];
    try {
      const only = JSON.parse(state.get("only") ?? "null");
      if (Array.isArray(only)) found.only = only;
    } catch {
      // A link that somebody cut: then every variable is chosen.
    }
    return found;
  }

  async function offerModels() {
    const { table } = context;
    try {
      const { body } = await api.get(models(), { query: { top: 100 } });
      known = body.models.filter((model) => model.modelInfo.status === "READY" && variablesOf(model).every((each) => each in table.values) && variablesOf(model).length);
    } catch {
      // Training says what is wrong with the service; this offer is left out meanwhile.
      known = [];
    }
    existing.replaceChildren(...known.map((model) => el("option", { value: model.modelId }, named(model))));
    existingRow.hidden = !known.length;
  }

  function named(model) {
    const { displayName } = model.modelInfo;
    const names = { name: displayName || model.modelId.slice(0, 8), count: whole(variablesOf(model).length), when: when(model.createdTime) };
    return fill(words.varExistingName, names);
  }

  function useExisting() {
    const model = known.find((each) => each.modelId === existing.value);
    if (model) onModel(model, null);
  }

  async function begin(event) {
    event.preventDefault();
    problem.clear();
    const asked = request();
    if (!asked) return;
    train.disabled = true;
    train.textContent = words.varUploading;
    try {
      const chosen = variables();
      const dataSource = await upload(api, context.table, chosen);
      const { body } = await api.post(models(), { dataSource, ...asked });
      onModel(body, { dataSource, variables: chosen });
    } catch (error) {
      problem.show(error);
    } finally {
      train.disabled = false;
      train.textContent = words.varTrain;
    }
  }

  /** What is asked of the service, or null where that cannot be: then it is said why. */
  function request() {
    const [startTime, endTime] = span.get();
    const rows = startTime && endTime ? rowsIn(context.table, [startTime, endTime]).count : 0;
    const slidingWindow = Number(window_.value);
    const wrong = !variables().length ? words.varNoVariables
      : !startTime || !endTime ? words.varNoSpan
        : rows <= slidingWindow ? fill(words.varFewRows, { rows: whole(rows), window: whole(slidingWindow) }) : null;
    if (wrong) {
      problem.show(wrong);
      return null;
    }
    const alignPolicy = { alignMode: align.value, fillNAMethod: filling.value };
    if (filling.value === "Fixed") alignPolicy.paddingValue = Number(padding.value);
    return { dataSchema: "OneTable", startTime, endTime, displayName: name.value, slidingWindow, alignPolicy };
  }

  const more = el("details", {}, el("summary", {}, words.varMore),
    el("div", { class: "fields" }, field(words.varAlign, align), field(words.varFill, filling), paddingField));
  const quiet = (text, all) => el("button", { type: "button", class: "quiet", onclick: () => check(all) }, text);
  const form = el("form", { id: "var-form", novalidate: true, onsubmit: begin },
    el("fieldset", {}, el("legend", {}, words.varVariables), boxes, el("p", { class: "actions" }, quiet(words.varAll, true), quiet(words.varNone, false))),
    el("div", { class: "fields" }, ...span.elements, field(words.varWindow, window_), field(words.varName, name)),
    el("p", { class: "hint" }, words.varWindowHint), more, problem.element,
    el("p", { class: "actions" }, train, count));
  const element = el("section", { class: "card", "aria-labelledby": "var-train-title", hidden: true },
    el("h2", { id: "var-train-title" }, words.varTrainTitle), form, existingRow);
  paddingField.hidden = true;
  return {
    element, setTable, variables, span: span.get,
    setSpan(from, to) {
      span.set([from, to]);
      changed();
    },
  };
}

/** The variables of a model, in the order of their names. */
export function variablesOf(model) {
  return model.modelInfo.diagnosticsInfo.variableStates.map((state) => state.variable).sort();
}
