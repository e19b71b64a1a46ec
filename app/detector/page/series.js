// The view of one series: it holds together what comes in, the options, the chart and what is said
// of the result, and keeps all of it in the address.

import { serviceAddress } from "./api.js";
import { draw } from "./chart.js";
import { chartButtons } from "./chart_buttons.js";
import { createCode, tabsByKeys } from "./code.js";
import { byId, copy, el, fill } from "./dom.js";
import { createFound, summary } from "./found.js";
import { createInput } from "./input.js";
import { createModelLine } from "./answered.js";
import { createOptions } from "./options.js";
import { createOverview } from "./overview.js";
import { loadPlotly } from "./plotly.js";
import { body, chartData, grid, GRANULARITIES, MODES, MOST_POINTS, PATHS } from "./request.js";
import { SAMPLES } from "./samples.js";
import { pack, unpack } from "./state.js";
import { createTune } from "./tune.js";

// An answer that takes longer than this is not worth waiting for once something else is asked.
const PATIENCE = 250;

/**
 * @param {HTMLElement} root the static markup of this view
 * @param {{api: any, words: Object<string, string>, state: import("./state.js").State}} page
 */
export async function mount(root, { api, words, state }) {
  const panel = byId("panel");
  const chartBox = byId("chart");
  let series = null;
  let whole = null;
  let mode = "entire";
  let data = null;
  let chart = null;
  let flying = null;
  let again = false;
  // The series as the address has it.
  let packed = null;

  const input = createInput({ api, words, onSeries: takeSeries });
  const options = createOptions(words, state, run);
  const found = createFound(words, (place) => {
    chart?.show(place);
    chartBox.scrollIntoView({ block: "nearest" });
  });
  const code = createCode(words);
  const tune = createTune({ api, words, onSensitivity: options.setSensitivity });
  const overview = createOverview(byId("overview"), {
    onRange: (from, to) => chart?.range(from, to),
    onReset: () => chart?.reset(),
  });
  const answered = createModelLine({ api, words });

  function takeSeries(next, isFollowing) {
    // The parts of an id: a series, and how often its step was changed since.
    const isOther = series?.id.split("+")[0] !== next.id.split("+")[0];
    series = next;
    packed = null;
    whole = grid(series);
    if (!isFollowing && isOther) options.begin(series.options);
    options.setGranularity(series.granularity);
    if (!isFollowing) remember();
    run();
  }

  async function remember() {
    const mine = series;
    const original = series.sample && series.id === series.sample;
    if (original) {
      state.set({ ...options.kept(), sample: series.sample, data: null }, { push: true });
      return;
    }
    const { name, timestamps, values, granularity, interval } = series;
    const text = await pack({ name, times: timestamps && deltas(timestamps), values, granularity, interval });
    if (mine !== series) return;
    packed = text;
    state.set({ ...options.kept(), sample: null, data: packed }, { push: true });
  }

  /** Follow the address: at the start, and at back and forward. */
  async function follow() {
    if (state.view() !== "series") return;
    options.reread();
    setMode(MODES.includes(state.get("tab")) ? state.get("tab") : "entire");
    const data = state.get("data");
    const named = state.get("sample");
    const sample = named && Object.hasOwn(SAMPLES, named) ? named : "fault";
    // What is there already still has its file, and the columns to choose from.
    if (series && data ? data === packed : series?.id === sample) run();
    else if (data) await takePacked(data);
    else await input.takeSample(sample, true);
  }

  async function takePacked(text) {
    let shared;
    try {
      shared = fromLink(await unpack(text));
    } catch {
      if (state.get("data") === text) input.fail(words.brokenLink);
      return;
    }
    // The address may have moved on meanwhile.
    if (state.get("data") !== text) return;
    const about = fill(words.sharedSeries, { n: shared.values.length.toLocaleString(), name: shared.name });
    input.takeShared({ ...shared, sample: null, about });
    packed = text;
  }

  function setMode(to) {
    mode = to;
    for (const tab of document.querySelectorAll("#modes [role=tab]")) {
      const isChosen = tab.dataset.mode === mode;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `tab-${mode}`);
    options.setMode(mode);
    if (mode !== "entire") tune.hide();
  }

  // One request at a time: while it is on its way, only the newest wish is kept, so that a moving
  // slider redraws as often as the service answers. Aborting at each move would draw nothing until
  // it stands still.
  async function run() {
    if (!series) return;
    panel.dataset.state = "busy";
    if (flying) {
      again = true;
      const isSame = flying.series === series && flying.mode === mode;
      if (!isSame || performance.now() - flying.began > PATIENCE) flying.abort.abort();
      return;
    }
    const mine = { series, mode, began: performance.now(), abort: new AbortController() };
    flying = mine;
    try {
      const wanted = options.get();
      const sent = { method: "POST", body: body(mode, series, wanted), signal: mine.abort.signal };
      const answer = await api.send(PATHS[mode], sent);
      if (mine.series === series && mine.mode === mode) await show(answer, wanted, mine);
    } catch (error) {
      if (error.name !== "AbortError" && mine.series === series && mine.mode === mode) fail(error);
    } finally {
      flying = null;
      if (again) {
        again = false;
        run();
      }
    }
  }

  async function show(answer, wanted, mine) {
    data = chartData(mode, series, whole, wanted, answer.body);
    fail(null);
    options.setPeriod(answer.body.period);
    summarize();
    answered.show(answer);
    let Plotly;
    try {
      Plotly = await loadPlotly();
    } catch {
      fail(new Error(words.chartFailed));
      return;
    }
    // It is large: something else may have been chosen while it came.
    if (mine.series !== series || mine.mode !== mode) return;
    overview.show(data.values, mode === "changepoint" ? data.isChangePoint : data.isAnomaly);
    chart = await draw(chartBox, data, words, {
      name: series.name, id: series.id.split("+")[0], plotly: Plotly, onRange: overview.setRange,
    });
    if (!again) panel.dataset.state = "done";
    // The chart is what a moving slider is about; the rest follows when the browser has time.
    clearTimeout(show.later);
    show.later = setTimeout(() => {
      found.show(data, series.name);
      code.show({ mode, series, options: wanted, address: serviceAddress() });
      if (mode === "entire") tune.show(series, wanted);
    }, 30);
  }

  /** Show what was read where the service cannot answer it: the reason is often seen there. */
  async function showValues() {
    const nothing = { isChangePoint: [], confidenceScores: [], period: 0 };
    const { timestamps, values, filled } = chartData("changepoint", series, whole, options.get(), nothing);
    overview.show(values, []);
    chart = await draw(chartBox, { mode: "values", timestamps, values, filled }, words, {
      name: series.name, id: series.id.split("+")[0], plotly: await loadPlotly(), onRange: overview.setRange,
    });
  }

  function summarize() {
    const text = summary(data, series.values.length, words);
    if (byId("summary").textContent !== text) byId("summary").textContent = text;
  }

  function fail(error) {
    const alert = byId("result-error");
    alert.hidden = !error;
    if (!error) return;
    if (!error.code && error.message !== words.chartFailed) console.error(error);
    panel.dataset.state = "failed";
    byId("summary").textContent = "\u00a0";
    byId("answered").textContent = "\u00a0";
    clearTimeout(show.later);
    byId("found").hidden = true;
    tune.hide();
    code.show({ mode, series, options: options.get(), address: serviceAddress() });
    // Without Plotly there is no chart, and a sentence is there already.
    if (error.status === 400) showValues().catch(console.warn);
    const retry = el("button", { type: "button", id: "retry" }, words.retry);
    retry.addEventListener("click", run);
    alert.replaceChildren(el("span", {}, error.message), retry);
  }

  tabsByKeys(byId("modes"), (tab) => {
    if (tab.dataset.mode === mode) return;
    setMode(tab.dataset.mode);
    state.set({ tab: mode === "entire" ? null : mode }, { push: true });
    run();
  });
  chartButtons(() => chart, () => series.name);
  byId("copy-link").addEventListener("click", () => copy(byId("copy-link"), state.link(), words));
  state.onChange(follow);
  // After the first paint, and while the first answer is on its way.
  requestAnimationFrame(() => setTimeout(() => loadPlotly().catch(() => {})));
  await follow();
}

/** Times as differences of whole seconds where they are such: they compress far better. */
function deltas(timestamps) {
  const times = timestamps.map((each) => Date.parse(each) / 1000);
  if (!times.every(Number.isInteger)) return timestamps;
  return times.map((time, at) => (at ? time - times[at - 1] : time));
}

/**
 * A series from a link, which anyone may have written.
 * @param {any} value
 * @returns {{name: string, timestamps: string[]|null, values: number[], granularity: string, interval: number}}
 * @throws {Error} where it is none
 */
function fromLink(value) {
  const { name, times, values, granularity, interval } = value;
  const isValid =
    typeof name === "string" && name.length <= 1000 && GRANULARITIES.includes(granularity) &&
    Number.isInteger(interval) && interval > 0 && Array.isArray(values) && values.length <= MOST_POINTS &&
    values.every(Number.isFinite) && (times === null || (Array.isArray(times) && times.length === values.length));
  if (!isValid) throw new Error("no series");
  let timestamps = null;
  if (times !== null) {
    let now = 0;
    timestamps = times.map((each) => {
      // Dates that are none raise here.
      const time = typeof each === "string" ? Date.parse(each) : (now += each) * 1000;
      const written = new Date(time).toISOString();
      return typeof each === "string" ? each : written.replace(".000Z", "Z");
    });
  }
  return { name, timestamps, values, granularity, interval };
}
