// The chart of one series, by Plotly. It imports nothing and is told its words, so that a page
// without a service can hold it as well.
//
// Plotly reads a subset of HTML in every text: whatever a person wrote goes through `escape`.

/**
 * What is drawn: parallel arrays, one entry for each point.
 * @typedef {Object} ChartData
 * @property {"entire"|"latest"|"changepoint"|"values"} mode `values` where nothing is known of them
 * @property {string[]|null} timestamps ISO 8601; null where points have none and are counted
 * @property {(number|null)[]} values null where the series lacks a point of its grid
 * @property {(number|null)[]} [expected] null where nothing is known of a point
 * @property {(number|null)[]} [upper] the highest expected value, not a margin
 * @property {(number|null)[]} [lower] the lowest expected value, not a margin
 * @property {boolean[]} [isAnomaly]
 * @property {boolean[]} [isNegative]
 * @property {number[]} [severity] 0 to 1
 * @property {(number|null)[]} [filled] what fills a gap, where `values` has null
 * @property {boolean[]} [isChangePoint]
 * @property {number[]} [confidence] 0 to 1
 * @property {number} [window] on how many points up to the last one `latest` rests
 */

/**
 * @typedef {Object} ChartOptions
 * @property {string} [name] of the series; the title of the axis
 * @property {string} [id] another id forgets the zoom
 * @property {"light"|"dark"} [theme] by default that of the browser
 * @property {any} [plotly] by default `globalThis.Plotly`
 * @property {(from: number, to: number) => void} [onRange] another part is shown, as `range` takes it
 */

/**
 * @typedef {Object} Chart
 * @property {(index: number) => void} show goes to a point and reads it out
 * @property {() => void} reset shows the whole series
 * @property {(factor: number) => void} zoom above 1 nearer
 * @property {(from: number, to: number) => void} range shows a part: 0 is the first point, 1 the last
 * @property {(width?: number, height?: number) => Promise<string>} image a PNG, as a data address
 */

const PALETTES = {
  light: {
    text: "#3c4257", faint: "#e6e8f0", paper: "#ffffff", line: "#2b50d8", expected: "#8d9bc9",
    band: "rgba(43, 80, 216, 0.17)", filled: "#7a859c", change: "#0a7d6b", window: "rgba(43, 80, 216, 0.05)",
    severity: [[0, "#f0a63a"], [0.5, "#e4572e"], [1, "#9b1145"]],
  },
  dark: {
    text: "#c3c9dc", faint: "#2a3044", paper: "#161a26", line: "#8fadff", expected: "#6d7ba6",
    band: "rgba(126, 160, 255, 0.22)", filled: "#98a2ba", change: "#45d0b4", window: "rgba(126, 160, 255, 0.07)",
    severity: [[0, "#ffc766"], [0.5, "#ff7a4f"], [1, "#ff4f8b"]],
  },
};
const NARROW = 560;
const FEW_POINTS = 120;
const HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap";
const CONFIG = { displayModeBar: false, scrollZoom: true, doubleClick: "reset", responsive: false, showTips: false };

/** @type {WeakMap<HTMLElement, any>} */
const charts = new WeakMap();

/**
 * Draw a series, or draw it anew: the zoom stays while `options.id` is the same.
 * @param {HTMLElement} element becomes the chart, and takes the focus
 * @param {ChartData} data
 * @param {Object<string, string>} words those that begin with `chart` in words/en.js
 * @param {ChartOptions} [options]
 * @returns {Promise<Chart>} once it is drawn
 */
export async function draw(element, data, words, options = {}) {
  const chart = charts.get(element) ?? create(element);
  if (chart.options && chart.options.id !== options.id) chart.at = null;
  Object.assign(chart, { data, words, options, Plotly: options.plotly ?? globalThis.Plotly });
  element.setAttribute("aria-label", words.chartLabel.replace("{name}", options.name ?? ""));
  chart.hint.textContent = words.chartKeys;
  await render(chart);
  return chart.face;
}

function create(element) {
  const chart = { element, at: null };
  charts.set(element, chart);
  [chart.plot, chart.hint, chart.spoken] = ["width:100%;height:100%", HIDDEN, HIDDEN].map((style) => {
    const made = document.createElement("div");
    made.style.cssText = style;
    return made;
  });
  element.replaceChildren(chart.plot, chart.hint, chart.spoken);
  chart.hint.id = `${element.id || "chart"}-keys`;
  chart.spoken.setAttribute("aria-live", "polite");
  chart.plot.setAttribute("aria-hidden", "true");
  // Arrow keys reach the chart and not the screen reader's own cursor.
  element.setAttribute("role", "application");
  element.setAttribute("aria-describedby", chart.hint.id);
  element.tabIndex = 0;
  element.addEventListener("keydown", (event) => onKey(chart, event));
  element.addEventListener("blur", () => chart.drawn && chart.Plotly.Fx.unhover(chart.plot));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.data && render(chart));
  new ResizeObserver(() => {
    const isOther = element.clientWidth !== chart.width || element.clientHeight !== chart.height;
    if (chart.drawn && element.clientWidth && isOther) render(chart);
  }).observe(element);
  chart.face = {
    show: (index) => show(chart, index, true),
    reset: () => reset(chart),
    zoom: (factor) => zoom(chart, factor),
    range: (from, to) => move(chart, ...[from, to].map((share) => at(chart, share))),
    image: (width = 1200, height = 600) => {
      const layout = { ...chart.plot.layout, paper_bgcolor: colours(chart).paper };
      return chart.Plotly.toImage({ data: chart.plot.data, layout }, { format: "png", width, height, scale: 2 });
    },
  };
  return chart;
}

async function render(chart) {
  const { element, plot, Plotly } = chart;
  chart.width = element.clientWidth;
  chart.height = element.clientHeight;
  await Plotly.react(plot, traces(chart), layout(chart), CONFIG);
  tellRange(chart);
  if (chart.drawn) return;
  chart.drawn = true;
  plot.on("plotly_relayout", () => tellRange(chart));
}

/** Plotly shows `<b>` as bold and `<a href>` as a link: neither may come from a person's text. */
function escape(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function colours({ options }) {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  return PALETTES[options.theme ?? (isDark ? "dark" : "light")];
}

function positions({ data }) {
  return data.timestamps ?? data.values.map((_, index) => index + 1);
}

function traces(chart) {
  const { data, words } = chart;
  const colour = colours(chart);
  const x = positions(chart);
  const drawn = data.mode === "entire" ? band(data, x, words, colour) : [];
  if (data.filled?.some((value) => value !== null)) drawn.push(gaps(data, x, words, colour));
  drawn.push(line(chart, x, colour));
  if (data.mode === "latest") drawn.push(...latest(data, x, words, colour));
  if (data.isChangePoint) drawn.push(...changes(data, x, words, colour));
  if (data.isAnomaly) drawn.push(anomalies(data, x, words, colour));
  return drawn;
}

// Without the gaps: Plotly fills a band with holes from its far ends.
function band(data, x, words, colour) {
  const known = x.flatMap((_, at) => (data.expected[at] === null ? [] : [at]));
  const pick = (list) => (known.length === x.length ? list : known.map((at) => list[at]));
  const shared = { x: pick(x), type: "scatter", mode: "lines", hoverinfo: "skip" };
  const edge = { ...shared, line: { width: 0 }, legendgroup: "band" };
  return [
    { ...edge, y: pick(data.lower), showlegend: false },
    { ...edge, y: pick(data.upper), fill: "tonexty", fillcolor: colour.band, name: words.chartBand },
    { ...shared, y: pick(data.expected), name: words.chartExpected, line: { color: colour.expected, width: 1.2, dash: "dot" } },
  ];
}

function line(chart, x, colour) {
  const { data, words } = chart;
  const has = (at) => data.values[at] !== null && data.values[at] !== undefined;
  const few = data.values.filter((_, at) => has(at)).length <= FEW_POINTS;
  // A point between two gaps has no line to be seen by.
  const alone = data.values.map((_, at) => has(at) && !has(at - 1) && !has(at + 1));
  const marked = few || alone.includes(true);
  return {
    x, y: data.values, type: "scatter", mode: marked ? "lines+markers" : "lines", name: words.chartValue,
    line: { color: colour.line, width: few ? 2 : 1.4 },
    marker: { size: few || !marked ? 5 : alone.map((each) => (each ? 4 : 0)), color: colour.line, opacity: 1 },
    customdata: figures(chart), hovertemplate: template(data, words), meta: "values",
  };
}

// Plotly formats numbers when a label is shown. Formatting all of them here would cost more than
// drawing them.
function template(data, words) {
  const number = (place) => `%{${place}:,.6~r}`;
  const confidence = data.mode === "changepoint" ? `<br>${words.chartConfidence} %{customdata[1]:.3f}` : "";
  let text = `<b>${number("y")}</b>${confidence}%{customdata[0]}`;
  if (data.mode === "entire") {
    text += `<br>${words.chartExpected} ${number("customdata[1]")}<br>`;
    text += words.chartBetween.replace("{lower}", number("customdata[2]")).replace("{upper}", number("customdata[3]"));
  }
  return `${text}<extra></extra>`;
}

function figures({ data, words }) {
  const { mode, expected, lower, upper, isAnomaly, confidence, isChangePoint } = data;
  return data.values.map((_, at) => {
    if (mode === "changepoint") {
      return [isChangePoint?.[at] ? `<br><b>${words.chartChange}</b>` : "", confidence?.[at]];
    }
    const flag = isAnomaly?.[at] ? `<br><b>${flagText(data, words, at)}</b>` : "";
    return mode === "entire" ? [flag, expected[at], lower[at], upper[at]] : [flag + lastText(data, words, at)];
  });
}

function flagText(data, words, at) {
  const side = data.isNegative?.[at] ? words.chartLow : words.chartHigh;
  return `${words.chartAnomaly}, ${side}, ${words.chartSeverity} ${(data.severity?.[at] ?? 0).toFixed(2)}`;
}

function lastText(data, words, at) {
  if (data.expected?.[at] === null || data.expected?.[at] === undefined) return "";
  const between = words.chartBetween.replace("{lower}", short(data.lower[at])).replace("{upper}", short(data.upper[at]));
  return `<br>${words.chartExpected} ${short(data.expected[at])}<br>${between}`;
}

function anomalies(data, x, words, colour) {
  const places = flagged(data.isAnomaly);
  const severity = places.map((at) => data.severity?.[at] ?? 0);
  return {
    x: places.map((at) => x[at]), y: places.map((at) => data.values[at]), type: "scatter", mode: "markers",
    name: `${words.chartAnomaly} (${places.length})`, hoverinfo: "skip", customdata: places, meta: "places",
    marker: {
      size: severity.map((value) => 8 + 8 * Math.sqrt(value)), color: severity, cmin: 0, cmax: 1,
      colorscale: colour.severity, opacity: 1, line: { width: 1.5, color: colour.paper },
    },
  };
}

function latest(data, x, words, colour) {
  const last = data.values.length - 1;
  const [expected, lower, upper] = [data.expected?.[last], data.lower?.[last], data.upper?.[last]];
  if (expected === null || expected === undefined) return [];
  const only = { x: [x[last]], type: "scatter", mode: "markers", hoverinfo: "skip" };
  const bar = { array: [upper - expected], arrayminus: [expected - lower], color: colour.expected, thickness: 6, width: 0 };
  return [
    {
      ...only, y: [expected], name: words.chartBand, error_y: { type: "data", symmetric: false, ...bar },
      marker: { symbol: "line-ew-open", size: 18, color: colour.expected, line: { width: 2.5 } },
    },
    { ...only, y: [data.values[last]], showlegend: false, marker: { size: 10, color: colour.line, line: { width: 1.5, color: colour.paper } } },
  ];
}

// On an axis of their own from 0 to 1, so that the lines are as high as the chart however it is
// zoomed, and the legend hides them as it hides everything else.
function changes(data, x, words, colour) {
  const places = flagged(data.isChangePoint);
  return [
    {
      x: places.flatMap((at) => [x[at], x[at], null]), y: places.flatMap(() => [0, 1, null]), yaxis: "y2",
      type: "scatter", mode: "lines", name: `${words.chartChange} (${places.length})`, hoverinfo: "skip",
      line: { color: colour.change, width: 2, dash: "dash" }, legendgroup: "change",
    },
    {
      x: places.map((at) => x[at]), y: places.map((at) => data.values[at]), type: "scatter", mode: "markers",
      hoverinfo: "skip", showlegend: false, legendgroup: "change", customdata: places, meta: "places",
      marker: { size: 10, symbol: "diamond", color: colour.change, line: { width: 1.5, color: colour.paper } },
    },
  ];
}

// Dashes from the point before a gap to the one after it, a hollow marker for each point filled.
function gaps(data, x, words, colour) {
  const isFilled = (at) => data.filled[at] !== null && data.filled[at] !== undefined;
  const drawn = [];
  x.forEach((_, at) => {
    if (!isFilled(at) && !isFilled(at - 1) && !isFilled(at + 1)) return;
    drawn.push(at);
    // Nothing joins one gap to the next.
    if (!isFilled(at) && isFilled(at - 1)) drawn.push(null);
  });
  return {
    x: drawn.map((at) => (at === null ? null : x[at])),
    y: drawn.map((at) => (at === null ? null : isFilled(at) ? data.filled[at] : data.values[at])),
    type: "scatter", mode: "lines+markers", name: `${words.chartFilled} (${x.filter((_, at) => isFilled(at)).length})`,
    line: { color: colour.filled, width: 1.2, dash: "dash" },
    marker: { symbol: "circle-open", color: colour.filled, size: drawn.map((at) => (isFilled(at) ? 6 : 0)), opacity: 1 },
    hovertemplate: drawn.map((at) => (isFilled(at) ? `${words.chartFilled} %{y:,.6~r}<extra></extra>` : "<extra></extra>")),
  };
}

function layout(chart) {
  const { data, words, options, width } = chart;
  const colour = colours(chart);
  const narrow = width < NARROW;
  const axis = {
    gridcolor: colour.faint, linecolor: colour.faint, zeroline: false, automargin: true, fixedrange: false,
    tickfont: { size: narrow ? 11 : 12 },
  };
  const x = positions(chart);
  // The points that the answer for the last one rests on.
  const shapes = data.mode === "latest" && data.window ? [{
    type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, line: { width: 0 }, fillcolor: colour.window,
    x0: x[Math.max(0, x.length - data.window)], x1: x[x.length - 1],
    // Towards the left, where there is room however few points these are.
    label: { text: narrow ? "" : words.chartWindow, textposition: "top right", font: { size: 11, color: colour.text } },
  }] : [];
  return {
    // Room for the legend, and none for a title: the page says what this is.
    margin: narrow ? { l: 44, r: 8, t: 8, b: 90 } : { l: 56, r: 16, t: 12, b: 40 },
    height: chart.height, width, autosize: false, shapes, uirevision: options.id ?? "series",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 13, color: colour.text },
    // A finger scrolls the page; dragging zooms with a mouse.
    hovermode: "x", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", hoverdistance: 40,
    hoverlabel: { bgcolor: colour.paper, bordercolor: colour.expected, font: { color: colour.text }, align: "left" },
    legend: {
      orientation: "h", x: 0, font: { size: narrow ? 11 : 12 },
      // Above, where one line holds it; else below, where it may have two.
      ...(narrow ? { y: 0, yref: "container" } : { y: 1.02 }), yanchor: "bottom",
    },
    xaxis: {
      ...axis, type: data.timestamps ? "date" : "linear", showspikes: true, spikemode: "across", spikethickness: 1,
      spikedash: "solid", spikecolor: colour.expected, spikesnap: "hovered data", showgrid: false,
    },
    yaxis: { ...axis, title: narrow ? undefined : { text: escape(options.name ?? ""), font: { size: 12 }, standoff: 12 } },
    yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
  };
}

function flagged(flags) {
  const places = [];
  (flags ?? []).forEach((flag, at) => flag && places.push(at));
  return places;
}

function short(value) {
  return Number(value).toLocaleString(undefined, { maximumSignificantDigits: 6 });
}

function moment({ data, words }, at) {
  if (!data.timestamps) return words.chartPoint.replace("{n}", at + 1);
  return data.timestamps[at].replace("T00:00:00Z", "").replace("T", " ").replace(/(:00)?(\.0+)?Z$/, "");
}

/** One sentence of all that is known of a point, for those who hear it. */
function sentence(chart, at) {
  const { data, words } = chart;
  const value = data.values[at];
  const parts = [`${moment(chart, at)}: ${value === null ? words.chartNoValue : short(value)}`];
  if (value === null && data.filled?.[at] !== null) parts.push(`${words.chartFilled} ${short(data.filled?.[at])}`);
  if (data.expected?.[at] !== null && data.expected?.[at] !== undefined && data.mode !== "changepoint" && value !== null) {
    parts.push(`${words.chartExpected} ${short(data.expected[at])}`);
    parts.push(words.chartBetween.replace("{lower}", short(data.lower[at])).replace("{upper}", short(data.upper[at])));
  }
  if (data.mode === "changepoint") {
    if (data.isChangePoint?.[at]) parts.push(`${words.chartChange}, ${words.chartConfidence} ${data.confidence[at].toFixed(2)}`);
  } else if (data.isAnomaly?.[at]) {
    parts.push(flagText(data, words, at));
  }
  return parts.join("; ");
}

function show(chart, index, near = false) {
  chart.at = Math.max(0, Math.min(chart.data.values.length - 1, index));
  chart.spoken.textContent = sentence(chart, chart.at);
  const [from, to] = range(chart);
  const place = number(chart, positions(chart)[chart.at]);
  const count = chart.data.values.length;
  let moved = Promise.resolve();
  if (near) {
    const step = (at(chart, 1) - at(chart, 0)) / Math.max(1, count - 1);
    const half = step * Math.max(6, Math.min(count / 8, 60));
    moved = move(chart, place - half, place + half);
  } else if (place < from || place > to) {
    moved = move(chart, place - (to - from) / 2, place + (to - from) / 2);
  }
  moved.then(() => hover(chart));
}

function hover(chart) {
  const trace = chart.plot.data.findIndex(({ meta }) => meta === "values");
  if (chart.at === null || chart.data.values[chart.at] === null) chart.Plotly.Fx.unhover(chart.plot);
  else chart.Plotly.Fx.hover(chart.plot, [{ curveNumber: trace, pointNumber: chart.at }]);
}

// Positions as numbers: milliseconds in UTC, as Plotly's axes of dates count, or the place.
function number({ data }, position) {
  if (!data.timestamps) return Number(position);
  const text = String(position).replace(" ", "T");
  return Date.parse(/Z|[+-]\d\d:?\d\d$/.test(text.slice(10)) ? text : text.length > 10 ? `${text}Z` : text);
}

function ends(chart) {
  const x = positions(chart);
  return [number(chart, x[0]), number(chart, x[x.length - 1])];
}

function at(chart, share) {
  const [first, last] = ends(chart);
  return first + share * (last - first);
}

function tellRange(chart) {
  const [first, last] = ends(chart);
  if (last > first) chart.options.onRange?.(...range(chart).map((place) => (place - first) / (last - first)));
}

function range(chart) {
  return chart.plot.layout.xaxis.range.map((position) => number(chart, position));
}

function move(chart, from, to) {
  const written = chart.data.timestamps ? [from, to].map((each) => new Date(each).toISOString()) : [from, to];
  return chart.Plotly.relayout(chart.plot, { "xaxis.range": written, "yaxis.autorange": true });
}

function reset(chart) {
  chart.Plotly.relayout(chart.plot, { "xaxis.autorange": true, "yaxis.autorange": true });
}

function zoom(chart, factor) {
  const [from, to] = range(chart);
  const place = chart.at === null ? (from + to) / 2 : number(chart, positions(chart)[chart.at]);
  const middle = Math.max(from, Math.min(to, place));
  move(chart, middle - (middle - from) / factor, middle + (to - middle) / factor);
}

function onKey(chart, event) {
  if (!chart.drawn || event.ctrlKey || event.altKey || event.metaKey) return;
  const last = chart.data.values.length - 1;
  const at = chart.at;
  const far = event.shiftKey ? 10 : 1;
  const found = flagged(chart.data.mode === "changepoint" ? chart.data.isChangePoint : chart.data.isAnomaly);
  const actions = {
    ArrowRight: () => show(chart, at === null ? 0 : at + far),
    ArrowLeft: () => show(chart, at === null ? last : at - far),
    ArrowDown: () => show(chart, found.find((each) => each > (at ?? -1)) ?? at ?? last),
    ArrowUp: () => show(chart, found.findLast((each) => each < (at ?? last + 1)) ?? at ?? 0),
    Home: () => show(chart, 0),
    End: () => show(chart, last),
    "+": () => zoom(chart, 1.6),
    "=": () => zoom(chart, 1.6),
    "-": () => zoom(chart, 1 / 1.6),
    Escape: () => {
      chart.at = null;
      chart.spoken.textContent = "";
      chart.Plotly.Fx.unhover(chart.plot);
      reset(chart);
    },
  };
  const action = actions[event.key];
  if (action) event.preventDefault();
  action?.();
}
