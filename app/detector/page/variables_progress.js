// The third part of the view of many variables: a model, how its training goes, and why it failed.

import { el, fill } from "./dom.js";
import { drawLosses } from "./variables_chart.js";
import { models } from "./variables_data.js";
import { alertBox, deleteModel, isAbort, passes, pause, short, when, whole } from "./variables_parts.js";
import { variablesOf } from "./variables_training.js";

const [SOON, LATER] = [700, 3000];
// What waits for longer probably waits for a worker that is not there.
const PATIENCE = 20000;
// How many epochs the time that is left is estimated by.
const RECENT = 10;

/**
 * @param {any} context what the parts share: `api`, `words`
 * @param {(model: any) => void} onReady
 * @param {() => void} onGone the model is deleted, or never was
 */
export function progressPart(context, onReady, onGone) {
  const { api, words } = context;
  const problem = alertBox("var-progress-error");
  const status = el("p", { id: "var-status" });
  const spoken = el("p", { class: "visually-hidden", role: "status", id: "var-spoken" });
  const bar = el("progress", { id: "var-progress", "aria-label": words.varProgress });
  const chart = el("div", { id: "var-losses", class: "var-losses" });
  const rows = el("tbody", { id: "var-epochs" });
  const head = [words.varEpoch, words.varTrainLoss, words.varValidationLoss, words.varSeconds];
  const lines = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words.varEpochs },
    el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))), rows));
  const details = el("div", { class: "var-training" }, chart, lines);
  const link = el("a", { hidden: true, rel: "noreferrer", target: "_blank", id: "var-run" }, words.varRun);
  const remove = el("button", { type: "button", id: "var-delete", onclick: () => askToDelete() }, words.varDeleteModel);
  let total = null;
  let following = new AbortController();
  /** @type {Map<number, {number: number, train: number, validation: number, seconds: number}>} */
  let epochs = new Map();
  let said = 0;

  /** Show a model, and follow its training to the end. */
  async function follow(modelId) {
    following.abort();
    following = new AbortController();
    const { signal } = following;
    [epochs, said] = [new Map(), 0];
    rows.replaceChildren();
    problem.clear();
    spoken.textContent = "";
    element.hidden = false;
    details.hidden = true;
    // A first trial of both: the page shows a training without them, too.
    total ??= await api.get("models").then(({ body }) => body.trainingEpochs ?? null, () => null);
    const began = Date.now();
    while (!signal.aborted) {
      try {
        const { body } = await api.get(models(`/${encodeURIComponent(modelId)}`), { signal });
        problem.clear();
        if (signal.aborted) return;
        show(body, Date.now() - began);
        if (body.modelInfo.status === "READY") return onReady(body);
        if (body.modelInfo.status === "FAILED") return undefined;
        await pause(element.offsetParent ? SOON : LATER, signal);
      } catch (error) {
        if (isAbort(error)) return undefined;
        if (error.code === "ModelNotExist") return gone(error);
        problem.show(error);
        if (!passes(error)) return undefined;
        await pause(LATER, signal).catch(() => {});
      }
    }
    return undefined;
  }

  function show(model, waited) {
    context.model = model;
    const { status: state, errors, diagnosticsInfo, slidingWindow, startTime, endTime, displayName } = model.modelInfo;
    const names = variablesOf(model);
    title.textContent = fill(words.varModelTitle, { name: displayName || model.modelId.slice(0, 8) });
    facts.textContent = [
      names.length ? fill(words.varModelVariables, { count: whole(names.length), names: names.slice(0, 8).join(", ") + (names.length > 8 ? " …" : "") }) : "",
      fill(words.varModelSpan, { from: when(startTime), to: when(endTime), window: whole(slidingWindow) }),
    ].filter(Boolean).join(" · ");
    identity.textContent = model.modelId;
    addEpochs(diagnosticsInfo.modelState);
    element.dataset.status = state;
    status.textContent = sentence(state, waited);
    say(state);
    if (state === "FAILED") problem.show(errors.map(({ message }) => message).join(" ") || words.noReason);
    showBar(state);
    showLink(model);
  }

  function addEpochs({ epochIds, trainLosses, validationLosses, latenciesInSeconds }) {
    const before = epochs.size;
    epochIds.forEach((number, at) => {
      if (epochs.has(number)) return;
      const epoch = { number, train: trainLosses[at], validation: validationLosses[at], seconds: latenciesInSeconds[at] };
      epochs.set(number, epoch);
      const line = [number, short(epoch.train), epoch.validation ? short(epoch.validation) : "–", short(epoch.seconds, 2)];
      const row = el("tr", { "data-epoch": number }, ...line.map((text) => el("td", {}, text)));
      // The newest is on top; what is told late is put where it belongs.
      const next = [...rows.children].find((each) => Number(each.dataset.epoch) < number);
      rows.insertBefore(row, next ?? null);
    });
    details.hidden = !epochs.size;
    if (epochs.size === before) return;
    const best = bestEpoch();
    for (const row of rows.children) row.classList.toggle("best", Number(row.dataset.epoch) === best?.number);
    const ordered = [...epochs.values()].sort((one, other) => one.number - other.number);
    drawLosses(chart, ordered, words, total).catch((error) => problem.show(error));
  }

  function bestEpoch() {
    const known = [...epochs.values()].filter((epoch) => epoch.validation);
    return known.length ? known.reduce((one, other) => (other.validation < one.validation ? other : one)) : null;
  }

  function last() {
    return Math.max(0, ...epochs.keys());
  }

  function sentence(state, waited) {
    if (state === "CREATED") return waited > PATIENCE ? words.varWaitsLong : words.varWaits;
    if (state === "READY") {
      const best = bestEpoch();
      return best ? fill(words.varReadyBest, { epoch: whole(best.number), loss: short(best.validation) }) : words.varReady;
    }
    if (state === "FAILED") return words.varFailed;
    if (!epochs.size) return words.varReadsData;
    return total ? fill(words.varEpochOf, { epoch: whole(last()), total: whole(total), left: left() }) : fill(words.varEpochOnly, { epoch: whole(last()) });
  }

  function left() {
    const recent = [...epochs.values()].sort((one, other) => other.number - one.number).slice(0, RECENT);
    const mean = recent.reduce((sum, epoch) => sum + epoch.seconds, 0) / recent.length;
    const seconds = Math.max(0, total - last()) * mean;
    return seconds < 90 ? fill(words.varSecondsLeft, { n: whole(Math.ceil(seconds)) }) : fill(words.varMinutesLeft, { n: whole(Math.ceil(seconds / 60)) });
  }

  // A line per epoch is for the eyes; ears hear every tenth, and how it ended.
  function say(state) {
    const tens = Math.floor(last() / 10);
    if (state === "RUNNING" && tens === said) return;
    said = tens;
    spoken.textContent = status.textContent;
  }

  function showBar(state) {
    bar.hidden = state === "READY" || state === "FAILED";
    if (state === "RUNNING" && total && epochs.size) [bar.max, bar.value] = [total, last()];
    else bar.removeAttribute("value");
  }

  async function showLink(model) {
    context.mlflow ??= api.get("models").then(({ body }) => body.mlflow, () => null);
    const address = await context.mlflow;
    link.hidden = !address;
    if (address) link.href = runAddress(address, model.modelId);
  }

  async function askToDelete() {
    const { model } = context;
    try {
      if (!(await deleteModel(context, model, models(`/${model.modelId}`)))) return;
      gone(null);
    } catch (error) {
      problem.show(error);
    }
  }

  function gone(error) {
    following.abort();
    problem.clear();
    details.hidden = bar.hidden = true;
    element.hidden = !error;
    if (error) problem.show(error);
    status.textContent = facts.textContent = identity.textContent = "";
    onGone();
  }

  const title = el("h2", { id: "var-progress-title" });
  const facts = el("p", { class: "hint" });
  const identity = el("code", { class: "hint", id: "var-model-id" });
  const element = el("section", { class: "card", id: "var-model", "aria-labelledby": "var-progress-title", hidden: true },
    el("div", { class: "bar" }, title, el("p", { class: "actions" }, link, remove)),
    facts, identity, status, spoken, bar, problem.element, details);
  return {
    element, follow,
    stop() {
      following.abort();
      element.hidden = true;
    },
  };
}

/** The page of a run in MLflow, which finds its experiment by itself. */
export function runAddress(mlflow, modelId) {
  return `${mlflow.replace(/\/$/, "")}/#/runs/${modelId.replaceAll("-", "")}`;
}
