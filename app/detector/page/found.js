// The table of what was found, and all points as CSV.

import { byId, download, el, fill } from "./dom.js";
import { csv, findings, moment } from "./request.js";

const MOST_ROWS = 500;

/**
 * @param {Object<string, string>} words
 * @param {(place: number) => void} onShow shows a place in the chart
 */
export function createFound(words, onShow) {
  let data = null;
  let name = "";
  const number = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 6 });
  const share = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  byId("save-csv").addEventListener("click", () => {
    // A spreadsheet takes UTF-8 for what it is when it begins with this mark.
    if (data) download(fileName(name, "csv"), new Blob(["\ufeff", csv(data, name)], { type: "text/csv" }));
  });
  byId("found-rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) onShow(Number(row.dataset.place));
  });

  function row(place) {
    const when = placeName(data, place, words);
    const go = el("button", { type: "button", "aria-label": fill(words.foundGo, { when }) }, when);
    const figures = data.mode === "changepoint"
      ? [number.format(data.values[place]), share.format(data.confidence[place])]
      : [data.values[place], data.expected[place], data.lower[place], data.upper[place]].map((each) => number.format(each))
          .concat(share.format(data.severity[place]));
    return el("tr", { "data-place": place }, el("td", {}, go), ...figures.map((text) => el("td", {}, text)));
  }

  return {
    /**
     * @param {import("./chart.js").ChartData} next
     * @param {string} called
     */
    show(next, called) {
      data = next;
      name = called;
      byId("found").hidden = false;
      const places = findings(data);
      const heads = data.mode === "changepoint"
        ? [words.columnTime, words.columnValue, words.columnConfidence]
        : [words.columnTime, words.columnValue, words.columnExpected, words.columnLower, words.columnUpper, words.columnSeverity];
      byId("found-head").replaceChildren(...heads.map((text) => el("th", { scope: "col" }, text)));
      byId("found-rows").replaceChildren(...places.slice(0, MOST_ROWS).map(row));
      byId("found-head").parentElement.hidden = places.length === 0;
      const none = byId("found-none");
      none.hidden = places.length > 0 && places.length <= MOST_ROWS;
      none.textContent = places.length === 0 ? words.foundNone : fill(words.foundMore, { n: MOST_ROWS, all: places.length });
    },
  };
}

/**
 * One sentence of what was found.
 * @param {import("./chart.js").ChartData} data
 * @param {number} count of the points that were sent
 * @param {Object<string, string>} words
 * @returns {string}
 */
export function summary(data, count, words) {
  const places = findings(data);
  const number = (value) => value.toLocaleString(document.documentElement.lang, { maximumSignificantDigits: 6 });
  if (data.mode === "latest") {
    const [last] = places;
    return fill(data.isAnomaly[last] ? words.summaryLatest : words.summaryLatestNone, {
      when: placeName(data, last, words), value: number(data.values[last]), severity: data.severity[last].toFixed(2),
      lower: number(data.lower[last]), upper: number(data.upper[last]),
    });
  }
  const kind = data.mode === "entire" ? "summaryEntire" : "summaryChange";
  const ending = places.length === 0 ? "None" : places.length === 1 ? "One" : "";
  const when = places.length ? placeName(data, places[0], words) : "";
  return fill(words[kind + ending], { n: number(places.length), all: number(count), when });
}

/** What a place is called: its time, or its number. */
function placeName(data, place, words) {
  return data.timestamps ? moment(data.timestamps[place]) : fill(words.chartPoint, { n: place + 1 });
}

/** A file name that every system takes. */
export function fileName(name, ending) {
  const plain = name.normalize("NFC").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60);
  return `${plain || "series"}.${ending}`;
}
