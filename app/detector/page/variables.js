// The view of many variables: a table, a model that is trained on it, and what it detects. The
// address holds the sample, the options, the model and the result; the table itself stays in this tab.

import { el } from "./dom.js";
import { detectionPart } from "./variables_detection.js";
import { kept, pump, rowsIn } from "./variables_data.js";
import { addStyle } from "./variables_parts.js";
import { progressPart } from "./variables_progress.js";
import { sourcePart } from "./variables_source.js";
import { trainingPart, variablesOf } from "./variables_training.js";

const NAMES = ["sample", "window", "from", "to", "align", "fill", "padding", "only", "model", "result"];

/**
 * @param {HTMLElement} root
 * @param {{api: any, words: Object<string, string>, state: any}} page
 */
export function mount(root, { api, words, state }) {
  const context = { api, words, state, table: null, model: null, source: null, mlflow: null };
  // What this view shows, for when a person comes back to it from another one.
  let address = {};

  const source = sourcePart(context, onTable, onChoose);
  const training = trainingPart(context, onRange, onModel);
  const detection = detectionPart(context);
  const progress = progressPart(context, onReady, onGone);

  function onTable(table) {
    const { model } = context;
    const keepsModel = model?.modelInfo.status === "READY" && variablesOf(model).every((name) => name in table.values);
    if (!keepsModel) forgetModel();
    Object.assign(context, { table, source: null });
    state.set({ sample: table.sample ?? null, result: null });
    showTable(table, false);
    if (keepsModel) detection.offer();
  }

  function showTable(table, fromAddress) {
    context.table = table;
    training.element.hidden = false;
    training.setTable(table, fromAddress);
  }

  function onChoose(from, to) {
    const { timestamps } = context.table;
    const span = [from, to].map((each) => new Date(each).toISOString());
    const { first, count } = rowsIn(context.table, span);
    if (count > 1) training.setSpan(timestamps[first], timestamps[first + count - 1]);
  }

  function onRange() {
    drawn(source.draw(training.variables(), training.span()));
    remember();
  }

  // What cannot be drawn is no reason to show nothing else.
  function drawn(drawing) {
    drawing.catch((error) => source.problem.show(error));
  }

  function onModel(model, uploaded) {
    forgetModel();
    Object.assign(context, { model, source: uploaded });
    state.set({ model: model.modelId, result: null }, { push: true });
    remember();
    follow(model.modelId, true);
  }

  function follow(modelId, toView) {
    detection.hide();
    progress.follow(modelId);
    if (toView) progress.element.scrollIntoView({ block: "start" });
  }

  function onReady(model) {
    context.model = model;
    detection.offer();
    const result = state.get("result");
    if (result) detection.restore(result);
  }

  function forgetModel() {
    progress.stop();
    detection.hide();
    context.model = null;
    state.set({ model: null, result: null });
  }

  function onGone() {
    detection.hide();
    context.model = null;
    state.set({ model: null, result: null });
    remember();
  }

  function remember() {
    address = Object.fromEntries(NAMES.map((name) => [name, state.get(name)]));
  }

  function onAddress() {
    if (state.view() !== "variables") return;
    const isEmpty = NAMES.every((name) => state.get(name) === null);
    if (isEmpty && Object.values(address).some(Boolean)) {
      // Another view took the address; this one still shows what it did.
      state.set(address);
      return;
    }
    const [model, result] = [state.get("model"), state.get("result")];
    if (model && model !== context.model?.modelId) follow(model, false);
    else if (model && result && result !== address.result) detection.restore(result);
    else if (!model && context.model) {
      progress.stop();
      detection.hide();
      context.model = null;
    }
    remember();
  }

  function drop(event) {
    if (state.view() !== "variables" || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (event.type === "drop" && event.dataTransfer.files[0]) source.open(event.dataTransfer.files[0]);
  }

  addStyle();
  root.setAttribute("aria-labelledby", "variables-title");
  root.replaceChildren(
    el("div", { class: "intro" }, el("h1", { id: "variables-title" }, words.varTitle), el("p", {}, words.varLead)),
    source.element, training.element, progress.element, detection.element,
  );
  for (const kind of ["dragover", "drop"]) addEventListener(kind, drop);
  state.onChange(onAddress);

  const table = state.get("sample") === "pump" ? pump() : state.get("sample") ? null : kept();
  if (table) showTable(table, true);
  if (state.get("model")) follow(state.get("model"), false);
  remember();
}
