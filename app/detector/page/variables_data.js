// Tables of many variables: read from a file by the service, made as a sample, and written as the
// CSV that the service trains on.

import { normals } from "./samples.js";

const DETECT = "anomalydetector/v1.1/multivariate";
const KEPT = "detector-table";
// Browsers keep some 5 MB for a page.
const MOST_KEPT = 2_000_000;
const FEWEST_ROWS = 28;

/**
 * @typedef {Object} Table
 * @property {string} name of the file, or of the sample
 * @property {string} [sample] which sample it is
 * @property {string[]} timestamps ISO 8601 in UTC, rising; null where a file has no dates
 * @property {string[]} variables
 * @property {Object<string, (number|null)[]>} values
 * @property {string[]} notes what was found odd in the file, in the service's words
 */

/** The address of what the service knows of models of many variables. */
export const models = (/** @type {string} */ rest = "") => `${DETECT}/models${rest}`;

/**
 * The sample of the walk-through: 3000 minutes of a pump whose five variables follow one demand.
 * The pressure is 20 minutes late for 40 minutes, and later the temperature is turned round; neither
 * leaves its usual range. The noise is drawn from the same seed each time.
 * @returns {Table}
 */
export function pump() {
  const draw = normals(2026);
  const demand = (minute) => {
    const angle = (2 * Math.PI * minute) / 60;
    return Math.sin(angle) + 0.4 * Math.sin(angle / 2);
  };
  const slow = (minute) => minute >= 2430 && minute < 2470;
  const turned = (minute) => minute >= 2720 && minute < 2760;
  const shapes = {
    flow: [120, 20, demand],
    power: [7.5, 1.2, demand],
    pressure: [4.2, 0.4, (minute) => -demand(slow(minute) ? minute - 20 : minute)],
    temperature: [55, 3, (minute) => (turned(minute) ? -1 : 1) * demand(minute - 10)],
    vibration: [2.2, 0.3, (minute) => demand(minute - 5)],
  };
  const minutes = Array.from({ length: 3000 }, (_, minute) => minute);
  const began = Date.UTC(2026, 0, 1);
  /** @type {Table} */
  const table = { name: "pump", sample: "pump", timestamps: [], variables: Object.keys(shapes), values: {}, notes: [] };
  table.timestamps = minutes.map((minute) => iso(began + minute * 60000));
  for (const [name, [middle, swing, shape]] of Object.entries(shapes)) {
    table.values[name] = minutes.map((minute) => rounded(middle + swing * (shape(minute) + 0.08 * draw())));
  }
  return table;
}

/**
 * Have the service read a file.
 * @param {any} api
 * @param {File} file
 * @param {{dayFirst?: boolean, timestamp?: string, sheet?: string}} [chosen]
 * @returns {Promise<Table>}
 * @throws {Error} an `ApiError`; its `details` may name choices: `readings`, `columns` or `sheets`
 */
export async function read(api, file, chosen = {}) {
  const query = { name: file.name, value: "*", ...chosen };
  const { body } = await api.send("files/read", { method: "POST", body: file, query });
  return {
    name: file.name,
    timestamps: body.timestamps,
    variables: Object.keys(body.values),
    values: body.values,
    notes: body.notes ?? [],
  };
}

/** Upload the variables of a table; returns the `dataSource` under which they are trained on. */
export async function upload(api, table, variables) {
  const csv = toCsv(table, variables);
  const { body } = await api.send(`datasets/${datasetName(table, csv)}`, { method: "PUT", body: csv });
  return body.dataSource;
}

function toCsv(table, variables) {
  const columns = variables.map((name) => table.values[name]);
  const lines = [["timestamp", ...variables.map(quoted)].join(",")];
  table.timestamps.forEach((time, at) => {
    lines.push([time, ...columns.map((column) => column[at] ?? "")].join(","));
  });
  return `${lines.join("\n")}\n`;
}

/** A field of a CSV. */
export function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

// The name tells the content: what is uploaded twice is kept once, and nothing else is replaced.
function datasetName(table, csv) {
  let [one, two] = [0x811c9dc5, 0x9e3779b9];
  for (let at = 0; at < csv.length; at += 1) {
    one = Math.imul(one ^ csv.charCodeAt(at), 0x01000193);
    two = Math.imul(two ^ csv.charCodeAt(at), 0x85ebca6b);
  }
  const digest = [one, two].map((part) => (part >>> 0).toString(16).padStart(8, "0")).join("");
  const stem = table.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "");
  return `${stem.slice(0, 40) || "table"}-${digest}`;
}

/** Keep the table for when this tab is loaded again; one that is too large is not kept. */
export function keep(table) {
  sessionStorage.removeItem(KEPT);
  if (table.sample) return;
  const text = JSON.stringify(table);
  if (text.length > MOST_KEPT) return;
  try {
    sessionStorage.setItem(KEPT, text);
  } catch {
    // The browser has no room: then the file is chosen again.
  }
}

/** @returns {Table|null} */
export function kept() {
  const text = sessionStorage.getItem(KEPT);
  return text ? JSON.parse(text) : null;
}

/** The span of the first three quarters of a table, and that of the rest. */
export function split(table) {
  const { timestamps } = table;
  const last = timestamps.length - 1;
  const cut = Math.max(0, Math.min(last, Math.floor(timestamps.length * 0.75)) - 1);
  return {
    train: [timestamps[0], timestamps[cut]],
    detect: [timestamps[Math.min(cut + 1, last)], timestamps[last]],
  };
}

/** Where a span begins in a table, and how many of its rows lie in it. */
export function rowsIn(table, [from, to]) {
  const [least, most] = [Date.parse(from), Date.parse(to)];
  const times = table.timestamps.map((time) => Date.parse(time));
  const first = times.findIndex((time) => time >= least);
  if (first < 0) return { first: 0, count: 0 };
  const end = times.findIndex((time) => time > most);
  return { first, count: Math.max(0, (end < 0 ? times.length : end) - first) };
}

/** A sliding window that suits so many rows to train on. */
export function usualWindow(rows) {
  return Math.max(FEWEST_ROWS, Math.min(200, Math.floor(rows / 4)));
}

/** A moment as the service writes it. */
export function iso(milliseconds) {
  return new Date(milliseconds).toISOString().replace(/\.000Z$/, "Z");
}

function rounded(value) {
  return Number(value.toPrecision(7));
}
