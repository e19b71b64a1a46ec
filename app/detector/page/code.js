// The call as code, in the forms that docs/migrate-from-azure.md has. Only numbers, ISO dates and
// words of the API go into it, as JSON: no name that a person chose, so that nothing can break out
// of a string.

import { byId, copy, download, el } from "./dom.js";
import { fields, PATHS, points, pointsJson } from "./request.js";

// Longer series would bury the call; the code then reads them from a file.
const MOST_SHOWN = 60;
const KEY = "KEY";

const OPERATIONS = {
  entire: { python: "detect_univariate_entire_series", own: "detect_entire", csharp: "DetectUnivariateEntireSeries" },
  latest: { python: "detect_univariate_last_point", own: "detect_latest", csharp: "DetectUnivariateLastPoint" },
  changepoint: { python: "detect_univariate_change_point", own: "detect_change_points", csharp: "DetectUnivariateChangePoint" },
};
const LANGUAGES = { curl: "curl", azure: "Python (Azure SDK)", own: "Python", javascript: "JavaScript", csharp: "C#", kql: "KQL" };

/**
 * @typedef {Object} Call
 * @property {string} mode
 * @property {import("./samples.js").Series} series
 * @property {import("./request.js").Options} options
 * @property {string} address of the service, without a last slash
 */

/** @type {Object<string, (call: Call & {named: Object<string, any>, long: boolean}) => string>} */
const WRITERS = { curl, azure, own, javascript, csharp, kql };

/**
 * @param {string} language one of curl, azure, own, javascript, csharp, kql
 * @param {Call} call
 * @returns {string} a program
 */
export function write(language, call) {
  const named = fields(call.mode, call.series, call.options);
  return WRITERS[language]({ ...call, named, long: call.series.values.length > MOST_SHOWN });
}

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const pascal = (name) => name[0].toUpperCase() + name.slice(1);
const json = JSON.stringify;
// Python and JSON spell numbers and these strings alike.
const keywords = (named, rename) => Object.entries(named).map(([name, value]) => `${rename(name)}=${json(value)}`);
const lines = (series, indent, line) => points(series).map((point) => `${indent}${line(point)}`).join("\n");

function curl({ address, mode, series, named, long }) {
  const head = `curl -sS --fail-with-body ${shell(`${address}/${PATHS[mode]}`)} \\\n     -H ${shell(`Ocp-Apim-Subscription-Key: ${KEY}`)}`;
  const options = json(named).slice(0, -1);
  if (!long) {
    const text = `${options}, "series": [\n${points(series).map((point) => `  ${json(point)}`).join(",\n")}\n]}`;
    return `${head} \\\n     --data-binary ${shell(text)}\n`;
  }
  return `{ printf '%s' ${shell(`${options},"series":`)}; cat series.json; printf '}'; } |\n${head} --data-binary @-\n`;
}

// Between single quotes a shell takes everything as it is but the quote itself.
const shell = (text) => `'${text.replace(/'/g, `'\\''`)}'`;

function azure({ address, mode, series, named, long }) {
  const options = mode === "changepoint" ? "UnivariateChangePointDetectionOptions" : "UnivariateDetectionOptions";
  const given = long
    ? 'series = [TimeSeriesPoint(**point) for point in json.load(open("series.json"))]'
    : `series = [\n${lines(series, "    ", (point) => `TimeSeriesPoint(${keywords(point, snake).join(", ")}),`)}\n]`;
  const result = {
    entire: `print([place for place, flag in enumerate(answer.is_anomaly) if flag])`,
    latest: `print(answer.is_anomaly, answer.expected_value)`,
    changepoint: `print([place for place, flag in enumerate(answer.is_change_point) if flag])`,
  }[mode];
  return `# pip install azure-ai-anomalydetector==3.0.0b6
${long ? "import json\n\n" : ""}from azure.ai.anomalydetector import AnomalyDetectorClient
from azure.ai.anomalydetector.models import TimeSeriesPoint, ${options}
from azure.core.credentials import AzureKeyCredential

client = AnomalyDetectorClient(${json(address)}, AzureKeyCredential("${KEY}"))
${given}
answer = client.${OPERATIONS[mode].python}(
    ${options}(
${["series=series", ...keywords(named, snake)].map((each) => `        ${each},`).join("\n")}
    )
)
${result}
`;
}

function own({ mode, series, named, long }) {
  const renamed = (name) => (name === "customInterval" ? "interval" : snake(name));
  // The HTTP API of version 1.1 has these margins; the function's own default is the older one.
  const boundary = mode === "changepoint" ? [] : ['boundary_version="V2"'];
  const options = ["series", ...keywords(named, renamed), ...boundary];
  const result = mode === "latest" ? "print(result)" : `found = result.to_frame()\nprint(found[found["${mode === "entire" ? "is_anomaly" : "is_change_point"}"]])`;
  return `# app/ of this project is on the path
${ownSeries(series, long)}
result = ${OPERATIONS[mode].own}(
${options.map((each) => `    ${each},`).join("\n")}
)
${result}
`.replace("\n", `\n${series.timestamps ? "import pandas as pd\n" : long ? "import json\n\n" : ""}from detector import ${OPERATIONS[mode].own}\n\n`);
}

function ownSeries(series, long) {
  if (!series.timestamps) {
    return long ? 'series = [point["value"] for point in json.load(open("series.json"))]' : `series = [${series.values.join(", ")}]`;
  }
  if (long) return 'series = pd.read_json("series.json", convert_dates=["timestamp"])';
  const rows = lines(series, "        ", ({ timestamp, value }) => `(${json(timestamp)}, ${json(value)}),`);
  return `series = pd.DataFrame(\n    [\n${rows}\n    ],\n    columns=["timestamp", "value"],\n)`;
}

function javascript({ address, mode, series, named, long }) {
  const insecure = address.startsWith("http:") ? ", { allowInsecureConnection: true }" : "";
  const given = long
    ? 'const series = JSON.parse(readFileSync("series.json", "utf8"));'
    : `const series = [\n${lines(series, "  ", (point) => `${json(point)},`)}\n];`;
  const result = {
    entire: "console.log(answer.body.isAnomaly.flatMap((flag, place) => (flag ? place : [])));",
    latest: "console.log(answer.body.isAnomaly, answer.body.expectedValue);",
    changepoint: "console.log(answer.body.isChangePoint.flatMap((flag, place) => (flag ? place : [])));",
  }[mode];
  const path = PATHS[mode].replace("anomalydetector/v1.1", "");
  return `// npm install @azure-rest/ai-anomaly-detector@1.0.0-beta.1
${long ? 'const { readFileSync } = require("node:fs");\n' : ""}const { default: AnomalyDetector, isUnexpected } = require("@azure-rest/ai-anomaly-detector");

const client = AnomalyDetector(${json(address)}, { key: "${KEY}" }${insecure});
${given}
client
  .path(${json(path)})
  .post({ body: { series, ...${json(named)} }, headers: { "Content-Type": "application/json" } })
  .then((answer) => {
    if (isUnexpected(answer)) throw answer.body;
    ${result}
  });
`;
}

function csharp({ address, mode, series, named, long }) {
  const value = (name, each) => {
    if (name === "granularity") return `TimeGranularity.${{ minutely: "PerMinute", secondly: "PerSecond" }[each] ?? pascal(each)}`;
    if (name === "imputeMode") return `ImputeMode.${pascal(each)}`;
    return Number.isInteger(each) && !["threshold", "maxAnomalyRatio", "imputeFixedValue"].includes(name) ? json(each) : `${json(each)}f`;
  };
  // The change points' options take the granularity in their constructor.
  const isChange = mode === "changepoint";
  const options = isChange ? "UnivariateChangePointDetectionOptions" : "UnivariateDetectionOptions";
  const set = Object.entries(named).filter(([name]) => !(isChange && name === "granularity"));
  const constructed = isChange ? `series, ${value("granularity", named.granularity)}` : "series";
  const given = long
    ? `var series = JsonDocument.Parse(File.ReadAllText("series.json")).RootElement.EnumerateArray()
    .Select(point => new TimeSeriesPoint(point.GetProperty("value").GetSingle())${series.timestamps ? ' { Timestamp = point.GetProperty("timestamp").GetDateTimeOffset() }' : ""})
    .ToList();`
    : `var series = new List<TimeSeriesPoint>
{
${lines(series, "    ", (point) => `new TimeSeriesPoint(${json(point.value)}f)${point.timestamp ? ` { Timestamp = DateTimeOffset.Parse(${json(point.timestamp)}) }` : ""},`)}
};`;
  const result = {
    entire: `for (int place = 0; place < series.Count; place++)\n    if (answer.IsAnomaly[place]) Console.WriteLine(place);`,
    latest: `Console.WriteLine($"{answer.IsAnomaly} {answer.ExpectedValue}");`,
    changepoint: `for (int place = 0; place < series.Count; place++)\n    if (answer.IsChangePoint[place]) Console.WriteLine(place);`,
  }[mode];
  return `// dotnet add package Azure.AI.AnomalyDetector --prerelease
using System;
using System.Collections.Generic;
${long ? "using System.IO;\nusing System.Linq;\nusing System.Text.Json;\n" : ""}using Azure;
using Azure.AI.AnomalyDetector;

var client = new AnomalyDetectorClient(new Uri(${json(address)}), new AzureKeyCredential("${KEY}"));
${given}
var options = new ${options}(${constructed})
{
${set.map(([name, each]) => `    ${pascal(name)} = ${value(name, each)},`).join("\n")}
};
var answer = client.${OPERATIONS[mode].csharp}(options).Value;
${result}
`;
}

// A dynamic literal of KQL is JSON.
function kql({ address, mode, series, named, long }) {
  const options = Object.entries(named).map(([name, value]) => `${json(name).replace(/"/g, "'")}, ${typeof value === "string" ? json(value).replace(/"/g, "'") : value}`).join(", ");
  const given = long
    ? `// your table: a row for each point, with timestamp and value
let series = toscalar(
    YourTable
    | sort by timestamp asc
    | summarize make_list(bag_pack('timestamp', timestamp, 'value', value)));`
    : `let series = dynamic([\n${points(series).map((point) => `    ${json(point)}`).join(",\n")}\n]);`;
  const result = {
    entire: "| mv-expand with_itemindex=point isAnomaly = ResponseBody.isAnomaly to typeof(bool)\n| where isAnomaly\n| project point",
    latest: "| project ResponseBody.isAnomaly, ResponseBody.expectedValue",
    changepoint: "| mv-expand with_itemindex=point isChangePoint = ResponseBody.isChangePoint to typeof(bool)\n| where isChangePoint\n| project point",
  }[mode];
  return `// The cluster calls the service: its callout policy must allow this address.
let uri = ${json(`${address}/${PATHS[mode]}`)};
let headers = dynamic({"Ocp-Apim-Subscription-Key": "${KEY}", "Content-Type": "application/json"});
${given}
let body = tostring(bag_pack(${options}, 'series', series));
evaluate http_request_post(uri, headers, dynamic({}), body)
${result}
`;
}

/**
 * @param {Object<string, string>} words
 */
export function createCode(words) {
  let call = null;
  let language = "curl";
  const list = byId("code-tabs");
  const tabs = Object.entries(LANGUAGES).map(([name, text]) =>
    el("button", { type: "button", role: "tab", id: `code-${name}`, "data-language": name, "aria-controls": "code-panel" }, text));
  list.replaceChildren(...tabs);
  const save = el("button", { type: "button", id: "save-series" }, words.codeSaveSeries);
  save.addEventListener("click", () => download("series.json", new Blob([pointsJson(call.series)], { type: "application/json" })));
  byId("copy-code").addEventListener("click", () => copy(byId("copy-code"), byId("code-text").textContent, words));

  function show() {
    for (const tab of tabs) {
      const isChosen = tab.dataset.language === language;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      if (isChosen) byId("code-panel").setAttribute("aria-labelledby", tab.id);
    }
    if (!call) return;
    byId("code-text").textContent = write(language, call);
    const isLong = call.series.values.length > MOST_SHOWN;
    const hints = { own: [words.codeOwn, words.codeOwnFile], kql: [words.codeWhole, words.codeTable] };
    const [short, long] = hints[language] ?? [words.codeWhole, words.codeFile];
    byId("code-hint").replaceChildren(isLong ? long : short, " ", isLong && language !== "kql" ? save : "");
  }
  tabsByKeys(list, (tab) => {
    language = tab.dataset.language;
    show();
  });

  return {
    /** @param {Call} next */
    show(next) {
      call = next;
      byId("code").hidden = false;
      show();
    },
  };
}

/**
 * A list of tabs by mouse and arrow keys, as the ARIA practices have it.
 * @param {HTMLElement} list
 * @param {(tab: HTMLElement) => void} onChoose
 */
export function tabsByKeys(list, onChoose) {
  const tabs = /** @type {HTMLElement[]} */ ([...list.querySelectorAll('[role="tab"]')]);
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) onChoose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const tab = tabs[to % tabs.length];
    tab.focus();
    onChoose(tab);
  });
}
