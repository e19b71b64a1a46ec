// The table of what a detection in many variables found: its rows, who is behind each, and the CSV.

import { download, el, fill } from "./dom.js";
import { quoted } from "./variables_data.js";
import { percent, shares, when, whole } from "./variables_parts.js";

const PAGE = 50;

/**
 * @param {{words: Object<string, string>}} context
 * @param {(place: number) => void} onLook the person opened an anomaly: its place
 */
export function foundTable({ words }, onLook) {
  const order = el("select", { id: "var-order", onchange: () => draw() },
    el("option", { value: "severity" }, words.varBySeverity), el("option", { value: "time" }, words.varByTime));
  const quiet = el("input", { type: "checkbox", id: "var-quiet", onchange: () => draw() });
  const head = [words.varTime, words.varSeverity, words.varScore, words.varContributors];
  const rows = el("tbody", { id: "var-rows" });
  const more = el("button", { type: "button", class: "quiet", hidden: true, id: "var-more-rows", onclick: () => addRows() });
  const save = el("button", { type: "button", id: "var-csv", onclick: () => saveCsv() }, "CSV");
  let found = [];
  let listed = [];
  let shown = 0;

  function show(results) {
    found = results.map((each, place) => ({ ...each, place }));
    draw();
  }

  function draw() {
    listed = found.filter((each) => each.isAnomaly || quiet.checked);
    if (order.value === "severity") listed.sort((one, other) => other.severity - one.severity || other.score - one.score || one.place - other.place);
    rows.replaceChildren();
    shown = 0;
    addRows();
  }

  function addRows(until = shown + PAGE) {
    const next = listed.slice(shown, until);
    rows.append(...next.map(row));
    shown += next.length;
    more.hidden = shown >= listed.length;
    more.textContent = fill(words.varMoreRows, { n: whole(listed.length - shown) });
  }

  function row(each) {
    const time = when(each.timestamp);
    const opens = each.contributors.length > 0;
    const first = opens
      ? el("button", { type: "button", "aria-expanded": "false", "data-place": each.place, onclick: (event) => { event.stopPropagation(); toggle(each, made); } }, time)
      : time;
    const why = each.error ? el("span", { class: "hint", title: each.error.message }, each.error.code) : shares(each.contributors);
    const made = el("tr", { class: each.isAnomaly ? "anomaly" : "", onclick: () => opens && toggle(each, made) },
      el("td", {}, first), el("td", {}, each.error ? "–" : each.severity.toFixed(2)), el("td", {}, each.error ? "–" : each.score.toFixed(2)),
      el("td", { class: "wide" }, why));
    return made;
  }

  function toggle(each, made) {
    const button = made.querySelector("button");
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) {
      made.nextElementSibling.remove();
      return;
    }
    made.after(el("tr", { class: "detail" }, el("td", { colspan: head.length }, detail(each))));
    onLook(each.place);
  }

  function detail({ contributors }) {
    const bars = contributors.map(({ variable, score }) => {
      const bar = el("span", { class: "measure", "aria-hidden": "true" }, el("span", {}));
      bar.firstChild.style.width = `${score * 100}%`;
      return el("li", {}, el("span", { class: "name" }, variable), bar, el("span", { class: "figure" }, percent(score)));
    });
    const { changed, by } = contributors[0];
    const list = changed.map((name, at) => (by[at] === undefined ? name : `${name} (${by[at] > 0 ? "+" : ""}${by[at].toFixed(3)})`));
    const changes = list.length ? fill(words.varChanges, { names: list.join(", "), who: contributors[0].variable }) : words.varNoChanges;
    return el("div", { class: "var-detail" }, el("p", {}, el("strong", {}, words.varContributions)), el("ul", {}, ...bars), el("p", { class: "hint" }, changes));
  }

  /** Open the row of an anomaly that was chosen on the chart. */
  function open(place) {
    const at = listed.findIndex((each) => each.place === place);
    if (at < 0) return;
    if (at >= shown) addRows(at + 1);
    const button = rows.querySelector(`button[data-place="${place}"]`);
    if (button.getAttribute("aria-expanded") === "false") button.click();
    button.focus();
    button.scrollIntoView({ block: "nearest" });
  }

  function saveCsv() {
    const names = [...new Set(found.flatMap((each) => each.contributors.map(({ variable }) => variable)))].sort();
    const lines = [["timestamp", "isAnomaly", "severity", "score", "error", ...names.map((name) => quoted(`contribution of ${name}`))]];
    for (const { timestamp, isAnomaly, severity, score, error, contributors } of found) {
      const parts = new Map(contributors.map((each) => [each.variable, each.score]));
      lines.push([timestamp, isAnomaly, severity, score, error?.code ?? "", ...names.map((name) => parts.get(name) ?? "")]);
    }
    const text = lines.map((line) => line.join(",")).join("\r\n");
    download("anomalies.csv", new Blob([`${text}\r\n`], { type: "text/csv" }));
  }

  const element = el("div", { class: "var-found" },
    el("div", { class: "fields" },
      el("label", {}, el("span", {}, words.varOrder), order),
      el("label", { class: "check" }, quiet, el("span", {}, words.varQuietRows))),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words.varFoundRows },
      el("table", {}, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))), rows)),
    more);
  return { element, save, show, open };
}
