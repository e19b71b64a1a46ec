// The fourth part of the view of many variables: detection with a model, and what it found.

import { el, fill } from "./dom.js";
import { drawVariables, zoomTo } from "./variables_chart.js";
import { models, rowsIn, split, upload } from "./variables_data.js";
import { foundTable } from "./variables_found.js";
import { alertBox, isAbort, passes, pause, spanFields, when, whole } from "./variables_parts.js";
import { MOST_SHOWN } from "./variables_source.js";
import { variablesOf } from "./variables_training.js";

const [SOON, LATER] = [500, 3000];
// This version of the API also tells by how much correlations changed.
const RESULTS = "anomalydetector/v1.1-preview.1/multivariate/results";
const MOST_CONTRIBUTORS = 30;
// Beyond the end of any data, to which the service cuts it.
const FOREVER = "2261-12-31T00:00:00Z";

/** @param {any} context what the parts share: `api`, `words`, `state`, `table`, `model`, `source` */
export function detectionPart(context) {
  const { api, words, state } = context;
  const problem = alertBox("var-detect-error");
  const span = spanFields(words, "var-detect");
  const run = el("button", { type: "submit", class: "primary", id: "var-detect" }, words.varDetect);
  const about = el("p", { class: "hint" });
  const summary = el("p", { id: "var-summary", "aria-live": "polite", class: "var-summary" });
  const chart = el("div", { id: "var-found-chart", class: "var-chart" });
  const table = foundTable(context, (place) => look(place));
  const whole_ = el("button", { type: "button", onclick: () => zoomTo(chart, null) }, words.varWholeSpan);
  const all = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => showAll() });
  const result = el("div", { class: "var-result", hidden: true },
    el("div", { class: "bar" }, summary, el("p", { class: "actions" }, whole_, table.save)), chart, all, table.element);
  let detecting = new AbortController();
  let found = [];
  let everything = false;

  /** Offer to detect with a model that is READY. */
  function offer() {
    const { model, table: data } = context;
    problem.clear();
    element.hidden = false;
    const missing = data ? variablesOf(model).filter((name) => !(name in data.values)) : [];
    const usable = data && !missing.length;
    about.textContent = usable ? words.varDetectHint
      : data ? fill(words.varMissing, { names: missing.join(", ") }) : words.varNoTable;
    span.set(usable ? usualSpan(model, data) : [model.modelInfo.startTime, null]);
  }

  function usualSpan(model, data) {
    const end = Date.parse(model.modelInfo.endTime);
    const next = data.timestamps.find((time) => Date.parse(time) > end);
    return next ? [next, data.timestamps[data.timestamps.length - 1]] : split(data).detect;
  }

  async function begin(event) {
    event.preventDefault();
    problem.clear();
    detecting.abort();
    detecting = new AbortController();
    const { signal } = detecting;
    busy(words.varUploading);
    try {
      const dataSource = await source();
      const [from, to] = span.get();
      const asked = { dataSource, startTime: from ?? context.model.modelInfo.startTime, endTime: to ?? FOREVER, topContributorCount: MOST_CONTRIBUTORS };
      const { body } = await api.post(models(`/${context.model.modelId}:detect-batch`), asked, { signal });
      state.set({ result: body.resultId }, { push: true });
      await follow(body.resultId, signal);
    } catch (error) {
      if (!isAbort(error)) problem.show(error);
    } finally {
      if (!signal.aborted) busy(null);
    }
  }

  // The table of this page where it has the model's variables, or else what the model was trained on.
  async function source() {
    const { model, table: data, source: kept } = context;
    const names = variablesOf(model);
    if (!data || names.some((name) => !(name in data.values))) return model.modelInfo.dataSource;
    if (kept?.variables.toSorted().join("\n") === names.join("\n")) return kept.dataSource;
    const dataSource = await upload(api, data, names);
    context.source = { dataSource, variables: names };
    return dataSource;
  }

  function busy(text) {
    run.disabled = text !== null;
    run.textContent = text ?? words.varDetect;
  }

  /** Wait for a result, and show it. */
  async function follow(resultId, signal) {
    busy(words.varDetecting);
    for (;;) {
      try {
        const { body } = await api.get(`${RESULTS}/${encodeURIComponent(resultId)}`, { signal });
        problem.clear();
        const { status, errors } = body.summary;
        if (status === "READY") return show(body);
        if (status === "FAILED") return problem.show(errors.map(({ message }) => message).join(" ") || words.noReason);
      } catch (error) {
        if (isAbort(error) || !passes(error)) throw error;
        problem.show(error);
        await pause(LATER, signal);
      }
      await pause(element.offsetParent ? SOON : LATER, signal);
    }
  }

  /** Show a result that the address names. */
  async function restore(resultId) {
    detecting.abort();
    detecting = new AbortController();
    const { signal } = detecting;
    try {
      await follow(resultId, signal);
    } catch (error) {
      if (!isAbort(error)) problem.show(error);
    } finally {
      if (!signal.aborted) busy(null);
    }
  }

  async function show(body) {
    found = body.results.map(({ timestamp, value, errors }) => ({
      timestamp, isAnomaly: value.isAnomaly, severity: value.severity, score: value.score, error: errors[0] ?? null,
      contributors: value.interpretation.map((each) => ({
        variable: each.variable, score: each.contributionScore, changed: each.correlationChanges.changedVariables,
        by: each.correlationChanges.changedValues ?? [],
      })),
    }));
    everything = false;
    result.hidden = false;
    summary.textContent = sentence();
    table.show(found);
    await draw();
  }

  function sentence() {
    const scored = found.filter((each) => !each.error).length;
    const anomalies = found.filter((each) => each.isAnomaly);
    const unscored = found.length - scored ? ` ${fill(words.varUnscored, { n: whole(found.length - scored) })}` : "";
    if (!anomalies.length) return fill(words.varNothing, { rows: whole(scored) }) + unscored;
    const sentence = anomalies.length === 1 ? words.varFoundOne : words.varFound;
    const worst = anomalies.reduce((one, other) => (other.severity > one.severity ? other : one));
    const values = { n: whole(anomalies.length), rows: whole(scored), when: when(worst.timestamp), who: worst.contributors[0]?.variable ?? "–" };
    return fill(sentence, values) + unscored;
  }

  // The variables that most anomalies are due to come first where not all are shown.
  function inOrder(names) {
    if (names.length <= MOST_SHOWN) return names;
    const sums = new Map(names.map((name) => [name, 0]));
    for (const { severity, contributors } of found) {
      for (const { variable, score } of contributors) sums.set(variable, (sums.get(variable) ?? 0) + severity * score);
    }
    return [...names].sort((one, other) => sums.get(other) - sums.get(one));
  }

  async function draw() {
    const { model, table: data } = context;
    const known = data ? variablesOf(model).filter((name) => name in data.values) : [];
    const names = everything ? known : inOrder(known).slice(0, MOST_SHOWN);
    all.hidden = known.length <= MOST_SHOWN;
    all.textContent = everything ? words.varShowFewer : fill(words.varShowAll, { n: whole(known.length) });
    const [first, last] = [found[0]?.timestamp, found[found.length - 1]?.timestamp];
    const { first: start, count } = names.length && first ? rowsIn(data, [first, last]) : { first: 0, count: 0 };
    const values = Object.fromEntries(names.map((name) => [name, data.values[name].slice(start, start + count)]));
    const timestamps = names.length ? data.timestamps.slice(start, start + count) : found.map((each) => each.timestamp);
    await drawVariables(chart, { timestamps, variables: names, values, found, onSelect: (place) => table.open(place) }, words, summary.textContent);
  }

  function showAll() {
    everything = !everything;
    draw();
  }

  function look(place) {
    const margin = Math.max(20, context.model.modelInfo.slidingWindow / 2);
    const at = (index) => found[Math.max(0, Math.min(found.length - 1, Math.round(index)))].timestamp;
    zoomTo(chart, [at(place - margin), at(place + margin)]);
  }

  const form = el("form", { id: "var-detect-form", novalidate: true, onsubmit: begin },
    el("div", { class: "fields" }, ...span.elements), about, problem.element, el("p", { class: "actions" }, run));
  const element = el("section", { class: "card", id: "var-detection", "aria-labelledby": "var-detect-title", hidden: true },
    el("h2", { id: "var-detect-title" }, words.varDetectTitle), form, result);
  return {
    element, offer, restore,
    hide() {
      detecting.abort();
      busy(null);
      element.hidden = result.hidden = true;
      problem.clear();
    },
  };
}
