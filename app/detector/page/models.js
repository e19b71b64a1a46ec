// The view of models: which version answers for one series, and the models of many variables.

import { el, fill } from "./dom.js";
import { models as address } from "./variables_data.js";
import { addStyle, alertBox, deleteModel, short, when, whole } from "./variables_parts.js";
import { runAddress } from "./variables_progress.js";

const PAGE = 20;
const KINDS = { entire: "modEntire", latest: "modLatest", last: "modLatest", changepoint: "modChange" };
const STATUSES = { CREATED: "modCreated", RUNNING: "modRunning", READY: "modReady", FAILED: "modFailed" };
// Unfinished models change by themselves.
const AGAIN = 3000;

/**
 * @param {HTMLElement} root
 * @param {{api: any, words: Object<string, string>, state: any}} page
 */
export function mount(root, { api, words, state }) {
  const problem = alertBox("models-error");
  const series = el("div", { id: "models-series" });
  const rows = el("tbody", { id: "models-rows" });
  const none = el("p", { class: "hint", hidden: true, id: "models-none" }, words.modNone);
  const more = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => list(listed.length) }, words.modMore);
  const refresh = el("button", { type: "button", id: "models-refresh", onclick: () => load() }, words.modRefresh);
  const spoken = el("p", { class: "visually-hidden", role: "status" });
  const head = [words.modName, words.modStatus, words.varVariables, words.modCreatedAt, words.modLosses, ""];
  const table = el("table", { class: "plain stack" }, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text || el("span", { class: "visually-hidden" }, words.modActions))))), rows);
  let listed = [];
  let mlflow = null;
  let timer = null;

  async function load() {
    refresh.disabled = true;
    problem.clear();
    try {
      const { body } = await api.get("models");
      mlflow = body.mlflow;
      series.replaceChildren(...body.models.map(card));
      await list(0, Math.max(PAGE, listed.length));
      spoken.textContent = words.modLoaded;
    } catch (error) {
      problem.show(error);
    } finally {
      refresh.disabled = false;
    }
  }

  /** Read models from a place on, in place of what is listed from there. */
  async function list(skip, top = PAGE) {
    clearTimeout(timer);
    try {
      const { body } = await api.get(address(), { query: { skip, top } });
      listed = [...listed.slice(0, skip), ...body.models];
      rows.replaceChildren(...listed.map(row));
      table.hidden = !listed.length;
      none.hidden = listed.length > 0;
      more.hidden = listed.length >= body.currentCount;
    } catch (error) {
      problem.show(error);
    }
    const isMoving = listed.some(({ modelInfo }) => ["CREATED", "RUNNING"].includes(modelInfo.status));
    if (isMoving) timer = setTimeout(again, AGAIN);
  }

  function again() {
    // A table that is drawn anew takes the focus away from who is in it.
    if (state.view() !== "models" || rows.contains(document.activeElement)) timer = setTimeout(again, AGAIN);
    else list(0, listed.length);
  }

  function card(model) {
    const answers = model.version === null || model.version === undefined
      ? el("p", { class: "wrong" }, words.modNobody)
      : el("p", {}, fill(words.modAnswers, { version: model.version, alias: model.alias }));
    const refused = model.refused ? el("p", { class: "alert" }, fill(words.modRefused, { why: model.refused })) : null;
    const names = [words.modVersion, words.modCreatedAt, words.modMetrics, ""];
    const versions = el("table", { class: "plain stack" },
      el("thead", {}, el("tr", {}, ...names.map((text) => el("th", { scope: "col" }, text || el("span", { class: "visually-hidden" }, words.modActions))))),
      el("tbody", {}, ...model.versions.flatMap((version) => versionRows(version, model.version))));
    return el("section", { class: "card", "data-kind": model.kind },
      el("h3", {}, words[KINDS[model.kind]] ?? model.kind), el("p", { class: "hint" }, el("code", {}, model.name)),
      answers, refused, model.versions.length ? versions : el("p", { class: "hint" }, words.modNoVersions),
      model.more ? el("p", { class: "hint" }, words.modOlder) : null);
  }

  function versionRows(version, answering) {
    const metrics = Object.entries(version.metrics ?? {});
    const tags = (version.aliases ?? []).map((alias) => el("span", { class: "tag" }, `@${alias}`));
    const isOn = version.version === answering;
    const name = el("span", {}, String(version.version), " ", ...tags, isOn ? el("span", { class: "tag on" }, words.modAnsweringTag) : null);
    const told = metrics.length
      ? el("dl", { class: "metrics" }, ...metrics.flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, typeof value === "number" ? short(value) : String(value))]))
      : "–";
    const row = el("tr", { class: isOn ? "best" : "", "data-version": version.version },
      cell(words.modVersion, name),
      cell(words.modCreatedAt, version.created ? when(version.created.slice(0, 19)) : "–"), cell(words.modMetrics, told),
      cell("", outside(version.link)));
    if (!version.description) return [row];
    // A row of its own: in a column it would be as narrow as the number of the version.
    const about = el("span", { class: "hint about" }, ...marked(version.description));
    return [row, el("tr", { class: "described" }, el("td", { colspan: "4" }, about))];
  }

  // MLflow shows descriptions as Markdown; of that, only what stands between backticks is marked.
  function marked(text) {
    return text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
  }

  function cell(label, ...content) {
    return el("td", { "data-label": label }, el("div", {}, ...content));
  }

  // Only what a browser opens as a page: whoever may write to MLflow writes what is linked.
  function outside(link, text = words.modInMlflow) {
    return typeof link === "string" && /^https?:\/\//.test(link) ? el("a", { href: link, target: "_blank", rel: "noreferrer" }, text) : "";
  }

  function row(model) {
    const { status, displayName, diagnosticsInfo, errors } = model.modelInfo;
    const names = diagnosticsInfo.variableStates.map((each) => each.variable);
    const open = el("a", { href: `#variables?model=${encodeURIComponent(model.modelId)}` }, displayName || model.modelId.slice(0, 8));
    const why = errors.length ? el("span", { class: "hint about" }, errors.map(({ message }) => message).join(" ")) : null;
    const remove = el("button", { type: "button", class: "quiet", "aria-label": fill(words.modDeleteLabel, { name: displayName || model.modelId }), onclick: () => askToDelete(model) }, words.varDelete);
    return el("tr", { "data-model": model.modelId, "data-status": status },
      cell(words.modName, open, el("code", { class: "hint about" }, model.modelId)),
      cell(words.modStatus, el("span", { class: `tag ${status.toLowerCase()}` }, words[STATUSES[status]] ?? status), why),
      cell(words.varVariables, names.length ? el("span", { title: names.join(", ") }, whole(names.length)) : "–"),
      cell(words.modCreatedAt, when(model.createdTime)), cell(words.modLosses, losses(diagnosticsInfo.modelState)),
      cell("", outside(mlflow && runAddress(mlflow, model.modelId)), " ", remove));
  }

  function losses({ trainLosses, validationLosses }) {
    const last = trainLosses.length - 1;
    if (last < 0) return "–";
    const validation = validationLosses[last] ? short(validationLosses[last]) : "–";
    return fill(words.modLossesAre, { train: short(trainLosses[last]), validation });
  }

  async function askToDelete(model) {
    try {
      if (!(await deleteModel({ api, words }, model, address(`/${model.modelId}`)))) return;
      spoken.textContent = words.modDeleted;
      await list(0, Math.max(PAGE, listed.length));
      refresh.focus();
    } catch (error) {
      problem.show(error);
    }
  }

  addStyle();
  root.setAttribute("aria-labelledby", "models-title");
  root.replaceChildren(
    el("div", { class: "intro" }, el("div", { class: "bar" }, el("h1", { id: "models-title" }, words.modTitle), refresh), el("p", {}, words.modLead)),
    problem.element, spoken,
    el("h2", {}, words.modSeriesTitle), series,
    el("section", { class: "card", id: "models-many" }, el("h2", {}, words.modManyTitle), none, el("div", { class: "scroll tall" }, table), more),
  );
  state.onChange(() => state.view() === "models" && load());
  return load();
}
