// From a series and its options to a request, and from an answer to what the chart draws. Pure.

export const MODES = ["entire", "latest", "changepoint"];
export const PATHS = {
  entire: "anomalydetector/v1.1/timeseries/entire/detect",
  latest: "anomalydetector/v1.1/timeseries/last/detect",
  changepoint: "anomalydetector/v1.1/timeseries/changepoint/detect",
};
export const TUNE_PATH = "anomalydetector/v1.1/timeseries/entire/tune";
export const GRANULARITIES = [
  "none", "yearly", "monthly", "weekly", "daily", "hourly", "minutely", "secondly", "microsecond",
];
export const MOST_POINTS = 8640;
// The service's own are 99 and, for the last point, 95; with 95 the picture says more.
export const DEFAULTS = Object.freeze({
  sensitivity: 95, maxAnomalyRatio: 0.25, period: null, imputeMode: "auto", imputeFixedValue: 0,
  threshold: null, stableTrendWindow: null,
});
// What the service takes for change points where it is told nothing.
export const WINDOWS = {
  none: 100, yearly: 3, monthly: 6, weekly: 3, daily: 5, hourly: 24, minutely: 72, secondly: 72, microsecond: 100,
};
export const defaultThreshold = (granularity) => (granularity === "hourly" ? 0.91 : 0.9);

const MILLISECONDS = { weekly: 604_800_000, daily: 86_400_000, hourly: 3_600_000, minutely: 60_000, secondly: 1000 };
const MONTHS = { monthly: 1, yearly: 12 };
// As the service: above it nothing is filled.
const LONGEST_GRID = 2 * MOST_POINTS;

/** @typedef {typeof DEFAULTS} Options */
/** @typedef {import("./samples.js").Series} Series */

/** @type {WeakMap<Series, string>} */
const written = new WeakMap();

/**
 * The points of a series as JSON. Kept, because a slider sends the same ones many times a second.
 * @param {Series} series
 * @returns {string}
 */
export function pointsJson(series) {
  let text = written.get(series);
  if (text === undefined) {
    text = JSON.stringify(points(series));
    written.set(series, text);
  }
  return text;
}

/**
 * @param {Series} series
 * @returns {{timestamp?: string, value: number}[]}
 */
export function points({ timestamps, values }) {
  return values.map((value, at) => (timestamps ? { timestamp: timestamps[at], value } : { value }));
}

/**
 * The options as the service calls them, without those that are its defaults anyway.
 * @param {string} mode
 * @param {Series} series
 * @param {Options} options
 * @returns {Object<string, string|number>}
 */
export function fields(mode, series, options) {
  const named = { granularity: series.granularity };
  if (series.interval > 1) named.customInterval = series.interval;
  if (options.period !== null) named.period = options.period;
  if (mode === "changepoint") {
    if (options.threshold !== null) named.threshold = options.threshold;
    if (options.stableTrendWindow !== null) named.stableTrendWindow = options.stableTrendWindow;
    return named;
  }
  named.sensitivity = options.sensitivity;
  if (options.maxAnomalyRatio !== DEFAULTS.maxAnomalyRatio) named.maxAnomalyRatio = options.maxAnomalyRatio;
  if (options.imputeMode !== "auto") named.imputeMode = options.imputeMode;
  if (options.imputeMode === "fixed") named.imputeFixedValue = options.imputeFixedValue;
  return named;
}

/**
 * @param {string} mode
 * @param {Series} series
 * @param {Options} options
 * @param {Object<string, string|number>} [others] fields besides
 * @returns {string} the body of a request
 */
export function body(mode, series, options, others = {}) {
  const named = JSON.stringify({ ...fields(mode, series, options), ...others });
  return `${named.slice(0, -1)},"series":${pointsJson(series)}}`;
}

/**
 * The grid of a series: its points, and those that it lacks.
 * @param {Series} series
 * @returns {{timestamps: string[]|null, places: number[]}} `places[i]` is where point i stands in it
 */
export function grid(series) {
  const { timestamps, granularity, interval, values } = series;
  const plain = { timestamps, places: values.map((_, at) => at) };
  if (!timestamps || !(granularity in MILLISECONDS || granularity in MONTHS)) return plain;
  const all = [];
  const places = [];
  timestamps.forEach((timestamp, at) => {
    if (at > 0) all.push(...between(timestamps[at - 1], timestamp, granularity, interval));
    places.push(all.length);
    all.push(timestamp);
  });
  return all.length > LONGEST_GRID ? plain : { timestamps: all, places };
}

function between(before, after, granularity, interval) {
  const [from, to] = [new Date(before), new Date(after)];
  const missing = [];
  if (granularity in MONTHS) {
    const step = MONTHS[granularity] * interval;
    const months = (to.getUTCFullYear() - from.getUTCFullYear()) * 12 + to.getUTCMonth() - from.getUTCMonth();
    const day = Math.max(from.getUTCDate(), to.getUTCDate());
    for (let ahead = step; ahead < months && missing.length < LONGEST_GRID; ahead += step) {
      const first = Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + ahead, 1);
      const last = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + ahead + 1, 0)).getUTCDate();
      missing.push(first + (Math.min(day, last) - 1) * MILLISECONDS.daily + (from.getTime() % MILLISECONDS.daily));
    }
  } else {
    const step = MILLISECONDS[granularity] * interval;
    for (let time = from.getTime() + step; time < to.getTime() && missing.length < LONGEST_GRID; time += step) {
      missing.push(time);
    }
  }
  return missing.map((time) => new Date(time).toISOString().replace(".000Z", "Z"));
}

/**
 * What the chart draws.
 * @param {string} mode
 * @param {Series} series
 * @param {{timestamps: string[]|null, places: number[]}} whole the series' grid
 * @param {Options} options
 * @param {any} answer
 * @returns {import("./chart.js").ChartData}
 */
export function chartData(mode, series, whole, options, answer) {
  const { places } = whole;
  const length = whole.timestamps?.length ?? series.values.length;
  const spread = (list, empty) => {
    const out = new Array(length).fill(empty);
    places.forEach((place, at) => { out[place] = list[at]; });
    return out;
  };
  const data = { mode, timestamps: whole.timestamps, values: spread(series.values, null) };
  if (mode === "entire") {
    const expected = answer.expectedValues;
    data.expected = spread(expected, null);
    data.upper = spread(expected.map((value, at) => value + answer.upperMargins[at]), null);
    data.lower = spread(expected.map((value, at) => value - answer.lowerMargins[at]), null);
    data.isAnomaly = spread(answer.isAnomaly, false);
    data.isNegative = spread(answer.isNegativeAnomaly, false);
    data.severity = spread(answer.severity ?? [], 0);
  } else if (mode === "latest") {
    const only = (value, empty) => spread(series.values.map((_, at) => (at === series.values.length - 1 ? value : empty)), empty);
    data.expected = only(answer.expectedValue, null);
    data.upper = only(answer.expectedValue + answer.upperMargin, null);
    data.lower = only(answer.expectedValue - answer.lowerMargin, null);
    data.isAnomaly = only(answer.isAnomaly, false);
    data.isNegative = only(answer.isNegativeAnomaly, false);
    data.severity = only(answer.severity ?? 0, 0);
    data.window = Math.min(answer.suggestedWindow, length);
  } else {
    data.isChangePoint = spread(answer.isChangePoint, false);
    data.confidence = spread(answer.confidenceScores, 0);
  }
  if (length > series.values.length) data.filled = fillings(mode, data, options, answer.period);
  return data;
}

// The service does not say what it filled a gap with. The named modes are known; by the season it
// is about what is expected, one season before and after.
function fillings(mode, data, options, period) {
  const { values } = data;
  const filled = new Array(values.length).fill(null);
  if (mode !== "changepoint" && options.imputeMode === "notFill") return filled;
  const how = mode === "changepoint" ? "auto" : options.imputeMode;
  const source = how === "auto" && mode === "entire" ? data.expected : values;
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] !== null) continue;
    let after = at;
    while (after < values.length && values[after] === null) after += 1;
    for (let place = at; place < after; place += 1) {
      const share = (place - at + 1) / (after - at + 1);
      const line = source[at - 1] + (source[after] - source[at - 1]) * share;
      const seasons = [place - period, place + period].map((each) => source[each]).filter((value) => typeof value === "number");
      if (how === "zero") filled[place] = 0;
      else if (how === "fixed") filled[place] = options.imputeFixedValue;
      else if (how === "previous") filled[place] = values[at - 1];
      else if (how === "linear" || period < 2 || !seasons.length) filled[place] = line;
      else filled[place] = seasons.reduce((sum, value) => sum + value, 0) / seasons.length;
    }
    at = after;
  }
  return filled;
}

/**
 * What was found, in order of time; for the last point that point, whatever it is.
 * @param {import("./chart.js").ChartData} data
 * @returns {number[]} places in the chart
 */
export function findings(data) {
  if (data.mode === "latest") return [data.values.length - 1];
  const flags = data.mode === "changepoint" ? data.isChangePoint : data.isAnomaly;
  return flags.flatMap((flag, at) => (flag ? [at] : []));
}

/**
 * A moment as people write it, in UTC as all of the page.
 * @param {string} timestamp ISO 8601
 * @returns {string}
 */
export function moment(timestamp) {
  return timestamp.replace("T00:00:00Z", "").replace("T", " ").replace(/(:00)?(\.0+)?Z$/, "");
}

/**
 * All points and what was found of each, as CSV. A text that a spreadsheet would run as a formula
 * is quoted as text.
 * @param {import("./chart.js").ChartData} data
 * @param {string} name of the values
 * @returns {string}
 */
export function csv(data, name) {
  const columns = data.mode === "changepoint"
    ? { isChangePoint: data.isChangePoint, confidenceScore: data.confidence }
    : {
        expectedValue: data.expected, lower: data.lower, upper: data.upper, isAnomaly: data.isAnomaly,
        isNegativeAnomaly: data.isNegative, severity: data.severity,
      };
  const cell = (text) => {
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  const lines = [["timestamp", cell(name || "value"), ...Object.keys(columns)].join(",")];
  data.values.forEach((value, at) => {
    if (value === null) return;
    const found = Object.values(columns).map((list) => list[at] ?? "");
    lines.push([data.timestamps ? data.timestamps[at] : at + 1, value, ...found].join(","));
  });
  return `${lines.join("\r\n")}\r\n`;
}
