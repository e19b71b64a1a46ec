// The charts of many variables, by Plotly: a row for each variable, one above the other, with the
// severity below them; and the losses of a training.
//
// Plotly reads a subset of HTML in every text: whatever a person wrote goes through `escape`.

import { loadPlotly } from "./plotly.js";

const PALETTES = {
  light: {
    text: "#3c4257", faint: "#e6e8f0", paper: "#ffffff", line: "#2b50d8", other: "#c2410c",
    chosen: "rgba(43, 80, 216, 0.10)", edge: "rgba(43, 80, 216, 0.55)",
    severity: [[0, "#f0a63a"], [0.5, "#e4572e"], [1, "#9b1145"]],
    marks: ["rgba(240, 166, 58, 0.35)", "rgba(228, 87, 46, 0.45)", "rgba(155, 17, 69, 0.55)"],
  },
  dark: {
    text: "#c3c9dc", faint: "#2a3044", paper: "#161a26", line: "#8fadff", other: "#fdba74",
    chosen: "rgba(126, 160, 255, 0.16)", edge: "rgba(160, 185, 255, 0.7)",
    severity: [[0, "#ffc766"], [0.5, "#ff7a4f"], [1, "#ff4f8b"]],
    marks: ["rgba(255, 199, 102, 0.30)", "rgba(255, 122, 79, 0.42)", "rgba(255, 79, 139, 0.55)"],
  },
};
const [ROW, BELOW, FOOT, TOP] = [84, 120, 38, 4];
// More points than a screen has columns are drawn as the least and the greatest of each stretch.
const MOST_POINTS = 6000;
// An anomaly's lines are coloured by where its severity lies.
const LEVELS = [0.2, 0.5];
const LOSS_TICKS = [-4, -3, -2, -1, 0, 1, 2, 3, 4].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
const CONFIG = { displayModeBar: false, doubleClick: "reset", responsive: false, showTips: false };

/** @type {WeakMap<HTMLElement, any>} */
const charts = new WeakMap();

/**
 * @typedef {Object} Drawing
 * @property {string[]} timestamps
 * @property {string[]} variables
 * @property {Object<string, (number|null)[]>} values
 * @property {[string, string]} [chosen] a span that is shaded
 * @property {(from: number, to: number) => void} [onChoose] dragging chooses a span; without it,
 *   dragging zooms
 * @property {Found[]} [found] what was detected, shown as lines and, below, as its severity
 * @property {(place: number) => void} [onSelect] an anomaly was clicked: its place in `found`
 */

/**
 * @typedef {Object} Found
 * @property {string} timestamp
 * @property {boolean} isAnomaly
 * @property {number} severity 0 to 1
 * @property {{variable: string, score: number}[]} contributors the largest first
 */

/**
 * Draw variables, or draw them anew.
 * @param {HTMLElement} element
 * @param {Drawing} drawing
 * @param {Object<string, string>} words
 * @param {string} label what the chart says to those who do not see it
 * @returns {Promise<void>}
 */
export async function drawVariables(element, drawing, words, label) {
  await show(element, label, (colour, width) => variablesFigure(drawing, words, colour, width), (plot) => {
    plot.on("plotly_selected", (event) => {
      const span = Object.entries(event?.range ?? {}).find(([axis]) => axis.startsWith("x"))?.[1];
      const chart = charts.get(element);
      if (!span) return;
      const [from, to] = span.map(milliseconds).sort((one, other) => one - other);
      // Plotly draws the edges of what was selected after this; the shading shows it instead.
      setTimeout(async () => {
        await chart.Plotly.relayout(plot, { selections: [] });
        chart.drawing.onChoose?.(from, to);
      });
    });
    plot.on("plotly_click", ({ points }) => {
      const place = points.map((point) => point.customdata).find((each) => each?.place !== undefined)?.place;
      if (place !== undefined) charts.get(element).drawing.onSelect?.(place);
    });
  }, drawing);
}

/**
 * Draw the losses of a training by its epochs.
 * @param {HTMLElement} element
 * @param {{number: number, train: number, validation: number}[]} epochs
 * @param {Object<string, string>} words
 * @param {number|null} total how many epochs there will be
 */
export async function drawLosses(element, epochs, words, total) {
  await show(element, words.varLossesLabel, (colour, width) => lossesFigure(epochs, words, colour, width, total));
}

/** Go to a span of the chart, or with null to the whole of it. */
export function zoomTo(element, span) {
  const chart = charts.get(element);
  if (!chart?.drawn) return;
  chart.Plotly.relayout(chart.plot, span ? { "xaxis.range": span } : { "xaxis.autorange": true });
}

async function show(element, label, figure, prepare = () => {}, drawing = null) {
  const Plotly = await loadPlotly();
  const chart = charts.get(element) ?? create(element);
  element.setAttribute("aria-label", label);
  Object.assign(chart, { Plotly, figure, drawing });
  await render(chart);
  if (chart.drawn) return;
  chart.drawn = true;
  prepare(chart.plot);
  element.dataset.drawn = "true";
}

function create(element) {
  const plot = document.createElement("div");
  element.replaceChildren(plot);
  element.setAttribute("role", "img");
  const chart = { element, plot };
  charts.set(element, chart);
  const again = () => chart.drawn && element.isConnected && element.clientWidth && render(chart);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  new ResizeObserver(() => element.clientWidth !== chart.width && again()).observe(element);
  return chart;
}

async function render(chart) {
  chart.width = chart.element.clientWidth;
  const colour = PALETTES[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
  const { data, layout } = chart.figure(colour, chart.width);
  await chart.Plotly.react(chart.plot, data, { ...common(colour, chart.width), ...layout }, CONFIG);
}

function common(colour, width) {
  return {
    width, autosize: false, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: colour.text },
    hoverlabel: { bgcolor: colour.paper, bordercolor: colour.edge, font: { color: colour.text }, align: "left", namelength: -1 },
  };
}

function variablesFigure(drawing, words, colour, width) {
  const { variables, found } = drawing;
  const [above, below] = [variables.length * ROW, found ? BELOW : 0];
  const height = TOP + above + below + FOOT;
  const part = (top, bottom) => [1 - bottom / (above + below), 1 - top / (above + below)].map((each) => Math.max(0, Math.min(1, each)));
  const layout = {
    height, margin: { l: 48, r: 10, t: TOP, b: FOOT }, annotations: [], uirevision: drawing.timestamps[0] ?? "",
    hovermode: "x unified", hoversubplots: "axis", dragmode: dragging(drawing), selectdirection: "h",
    newselection: { line: { color: colour.edge, width: 1, dash: "dot" } }, selections: [],
    xaxis: { type: "date", anchor: "free", position: 0, showgrid: false, zeroline: false, linecolor: colour.faint, hoverformat: "%Y-%m-%d %H:%M:%S", spikecolor: colour.edge, spikethickness: 1, spikedash: "solid" },
    shapes: shaded(drawing, colour),
  };
  const data = [];
  variables.forEach((name, place) => {
    const { id, name: own } = numbered(place);
    layout[own] = { ...axis(colour, part(place * ROW, (place + 1) * ROW)), ...scaleOf(drawing.values[name]) };
    layout.annotations.push(heading(escape(name), part(place * ROW, place * ROW)[1], colour));
    data.push(line(name, drawing, id, colour));
  });
  if (found) addFound(data, layout, drawing, words, colour, part);
  return { data, layout };
}

function numbered(place) {
  const number = place ? place + 1 : "";
  return { id: `y${number}`, name: `yaxis${number}` };
}

// A finger scrolls the page; a mouse chooses, or zooms.
function dragging({ onChoose }) {
  if (matchMedia("(pointer: coarse)").matches) return false;
  return onChoose ? "select" : "zoom";
}

function axis(colour, domain) {
  return {
    domain, gridcolor: colour.faint, zeroline: false, fixedrange: true, tickfont: { size: 10 },
    anchor: "x", automargin: false, ticks: "outside", ticklen: 5, tickcolor: "rgba(0,0,0,0)",
  };
}

// Each chart is as high as its row, so that dragging begins anywhere; its name has room above. Only
// where there are values are there ticks.
function scaleOf(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least > most) return { range: [0, 1], tickvals: [] };
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 2));
  const step = power * [5, 2, 1].find((each) => each * power <= span / 2);
  const first = Math.ceil(least / step);
  const count = Math.min(5, Math.floor(most / step) - first + 1);
  const tickvals = Array.from({ length: Math.max(0, count) }, (_, at) => (first + at) * step);
  return { range: [least - 0.12 * span, most + 0.42 * span], tickvals };
}

function heading(text, y, colour) {
  return {
    text: `<b>${text}</b>`, x: 0, xref: "paper", xanchor: "left", xshift: 4, y, yref: "paper", yanchor: "top", showarrow: false,
    font: { size: 12, color: colour.text }, bgcolor: "rgba(0,0,0,0)", borderpad: 0,
  };
}

function line(name, { timestamps, values }, yaxis, colour) {
  const { x, y } = thinned(timestamps, values[name]);
  return {
    x, y, yaxis, xaxis: "x", type: "scatter", mode: "lines", name: escape(name), line: { color: colour.line, width: 1.2 },
    hovertemplate: "%{y:,.6~r}", connectgaps: false,
  };
}

function shaded({ chosen }, colour) {
  if (!chosen) return [];
  const line = { color: colour.edge, width: 1 };
  return [{ type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: chosen[0], x1: chosen[1], fillcolor: colour.chosen, line }];
}

function addFound(data, layout, { variables, found }, words, colour, part) {
  const above = variables.length * ROW;
  const severity = numbered(variables.length);
  layout[severity.name] = { ...axis(colour, part(above, above + BELOW)), range: [0, 1.25], tickvals: [0, 0.5, 1] };
  layout.annotations.push(heading(words.varSeverity, part(above, above)[1], colour));
  const lines = numbered(variables.length + 1);
  layout[lines.name] = { domain: [0, 1], range: [0, 1], visible: false, fixedrange: true, anchor: "x" };
  const anomalies = found.map((each, place) => ({ ...each, place })).filter((each) => each.isAnomaly);
  colour.marks.forEach((mark, level) => {
    const own = anomalies.filter((each) => levelOf(each.severity) === level);
    data.unshift({
      x: own.flatMap((each) => [each.timestamp, each.timestamp, null]), y: own.flatMap(() => [0, 1, null]),
      xaxis: "x", yaxis: lines.id, type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: mark, width: 1.5 },
    });
  });
  data.push({
    x: anomalies.map((each) => each.timestamp), y: anomalies.map((each) => each.severity),
    customdata: anomalies.map((each) => ({ place: each.place, who: behind(each, words) })),
    xaxis: "x", yaxis: severity.id, type: "scatter", mode: "markers", name: words.varSeverity,
    error_y: { type: "percent", symmetric: false, value: 0, valueminus: 100, thickness: 1.5, width: 0, color: colour.edge },
    marker: { color: anomalies.map((each) => each.severity), cmin: 0, cmax: 1, colorscale: colour.severity, size: 8 },
    hovertemplate: "<b>%{y:.2f}</b><br>%{customdata.who}",
  });
}

function levelOf(severity) {
  const level = LEVELS.findIndex((most) => severity < most);
  return level < 0 ? LEVELS.length : level;
}

function behind({ contributors }, words) {
  const named = contributors.slice(0, 5).map(({ variable, score }) => `${escape(variable)} ${Math.round(score * 100)} %`);
  return [words.varContributors, ...named].join("<br>");
}

function lossesFigure(epochs, words, colour, width, total) {
  const x = epochs.map((epoch) => epoch.number);
  const losses = (of, name, tint) => ({
    x, y: epochs.map((epoch) => epoch[of]), name, type: "scatter", mode: epochs.length < 40 ? "lines+markers" : "lines",
    line: { color: tint, width: 1.8 }, marker: { size: 4 }, hovertemplate: "%{y:.4f}",
  });
  const shared = { gridcolor: colour.faint, zeroline: false, fixedrange: true };
  const hasValidation = epochs.some((epoch) => epoch.validation > 0);
  const layout = {
    height: 240, margin: { l: 52, r: 12, t: 34, b: 40 }, hovermode: "x unified", dragmode: false, showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    xaxis: { ...shared, title: { text: words.varEpoch, standoff: 8 }, range: [0, Math.max(total ?? 0, x[x.length - 1] ?? 1) + 0.5], nticks: 8 },
    yaxis: { ...shared, type: "log", tickvals: LOSS_TICKS },
  };
  const data = [losses("train", words.varTrainLoss, colour.line)];
  if (hasValidation) data.push(losses("validation", words.varValidationLoss, colour.other));
  return { data, layout };
}

/** The least and the greatest value of each stretch, in their order, where there are many. */
function thinned(x, y) {
  if (y.length <= MOST_POINTS) return { x, y };
  const size = Math.ceil((2 * y.length) / MOST_POINTS);
  const places = [];
  for (let start = 0; start < y.length; start += size) {
    let [least, most, gap] = [-1, -1, -1];
    for (let at = start; at < Math.min(start + size, y.length); at += 1) {
      if (y[at] === null) gap = at;
      else {
        if (least < 0 || y[at] < y[least]) least = at;
        if (most < 0 || y[at] > y[most]) most = at;
      }
    }
    places.push(...[...new Set([least, most, gap])].filter((at) => at >= 0).sort((one, other) => one - other));
  }
  return { x: places.map((at) => x[at]), y: places.map((at) => y[at]) };
}

/** Plotly writes a chosen span without a zone; it is in UTC. */
function milliseconds(moment) {
  const text = String(moment).replace(" ", "T");
  return Date.parse(text.length <= 10 || /Z$/.test(text) ? text : `${text}Z`);
}

function escape(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
