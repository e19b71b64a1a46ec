// How a series comes in: a file, a pasted table or a sample; what was understood of it, and how
// to change that. Files are read by the service, which reads them as its own programs do.

import { byId, el, fill } from "./dom.js";
import { GRANULARITIES, MOST_POINTS } from "./request.js";
import { SAMPLES } from "./samples.js";

const READ_PATH = "files/read";

/**
 * @param {{api: any, words: Object<string, string>,
 *   onSeries: (series: import("./samples.js").Series, isFollowing: boolean) => void}} page
 */
export function createInput({ api, words, onSeries }) {
  // What was sent last, to read it again with other columns; null where there is no file.
  let file = null;
  let asked = {};
  let answer = null;
  let series = null;
  let count = 0;
  let reading = null;
  // Of what is chosen one after the other, the last counts, however long the others take.
  let turn = 0;

  function fail(message, choices = []) {
    const alert = byId("input-error");
    alert.textContent = message;
    alert.hidden = !message;
    const box = byId("input-choices");
    box.replaceChildren(...choices);
    box.hidden = choices.length === 0;
  }

  function begin() {
    reading?.abort();
    turn += 1;
    return turn;
  }

  async function read(changes = {}) {
    const before = asked;
    asked = { ...asked, ...changes };
    const mine = begin();
    reading = new AbortController();
    fail("");
    say(fill(words.reading, { name: file.name }));
    try {
      const sent = { method: "POST", body: file.blob, query: { name: file.name, ...asked }, signal: reading.signal };
      const { body } = await api.send(READ_PATH, sent);
      if (mine === turn) take(body);
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      if (series) show();
      else byId("understood").hidden = true;
      // Where one is asked to choose, the service's sentence names options of the command line.
      const { question = error.message, choices } = choicesOf(error.details ?? {});
      // What was refused is not asked again with the next change; what is part of an answer is.
      if (!choices.length) asked = before;
      fail(question, choices);
      byId("input").scrollIntoView({ block: "nearest" });
    }
  }

  /** What the service could not decide by itself: a question, and a button for each answer. */
  function choicesOf({ columns, choose, readings, sheets }) {
    const button = (text, changes) => el("button", { type: "button", onclick: () => read(changes) }, text);
    if (Array.isArray(readings) && readings.length) {
      const texts = { true: words.dayFirstTrue, false: words.dayFirstFalse };
      const choices = readings.map(({ dayFirst, example }) =>
        button([texts[dayFirst], example].filter(Boolean).join(": "), { dayFirst }));
      return { question: words.chooseReading, choices };
    }
    if (Array.isArray(sheets) && sheets.length) {
      return { question: words.chooseSheet, choices: sheets.map((sheet) => button(sheet, { sheet })) };
    }
    if (!Array.isArray(columns) || !choose) return { choices: [] };
    const kind = choose === "value" ? "numbers" : "dates";
    return {
      question: choose === "value" ? words.chooseColumn : words.chooseTimes,
      choices: columns.filter((column) => column.kind === kind)
        .map(({ name }) => button(name, { [choose]: name })),
    };
  }

  function take(body) {
    answer = body;
    const name = body.value ?? Object.keys(body.values)[0];
    const given = body.values[name];
    const kept = given.flatMap((value, at) => (typeof value === "number" ? [at] : []));
    const notes = (body.notes ?? []).filter((note) => !body.description.includes(note));
    if (kept.length < given.length) notes.push(fill(words.droppedNulls, { n: given.length - kept.length }));
    if (kept.length > MOST_POINTS) {
      notes.push(fill(words.tooManyPoints, { n: kept.length.toLocaleString() }));
      kept.splice(0, kept.length - MOST_POINTS);
    }
    count += 1;
    use({
      id: `file-${count}`, sample: null, name, about: body.description,
      timestamps: body.timestamps ? kept.map((at) => body.timestamps[at]) : null,
      values: kept.map((at) => given[at]),
      granularity: GRANULARITIES.includes(body.granularity) ? body.granularity : "none",
      interval: body.customInterval ?? 1,
      // Those of a file that is a request to the service.
      options: body.options,
    }, notes);
  }

  // Whoever follows the address does not write it.
  function use(next, notes = [], isFollowing = false) {
    series = { ...next, notes };
    fail("");
    show();
    onSeries(series, isFollowing);
  }

  function say(text) {
    byId("understood").hidden = false;
    byId("description").textContent = text;
  }

  function show() {
    say(series.about);
    const notes = byId("notes");
    notes.replaceChildren(...(series.notes ?? []).map((note) => el("li", {}, note)));
    notes.hidden = !series.notes?.length;
    byId("granularity").value = series.granularity;
    byId("interval").value = series.interval;
    byId("field-interval").hidden = series.granularity === "none";
    for (const button of document.querySelectorAll("[data-sample]")) {
      button.setAttribute("aria-pressed", String(button.dataset.sample === series.sample));
    }
    const columns = file && answer ? answer.columns ?? [] : [];
    const names = (...kinds) => columns.filter(({ kind }) => kinds.includes(kind)).map(({ name }) => name);
    offer("timestamp", names("dates", "times"), answer?.timestamp);
    offer("value", names("numbers"), series.name);
    // Only what reads both ways has something to choose.
    const decided = file && answer && typeof answer.dayFirst === "boolean";
    byId("field-day-first").hidden = !decided;
    if (decided) byId("day-first").value = String(answer.dayFirst);
  }

  function offer(which, names, chosen) {
    const select = byId(`column-${which}`);
    byId(`field-${which}`).hidden = names.length === 0;
    select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
    select.value = chosen ?? "";
  }

  function takeFile(given) {
    const most = 64;
    if (given.size > most * 1024 * 1024) {
      fail(fill(words.tooLarge, { name: given.name, n: most }));
      return;
    }
    file = { name: given.name, blob: given };
    asked = {};
    answer = null;
    read();
  }

  async function takeSample(name, isFollowing = false) {
    const mine = begin();
    let next;
    try {
      next = await SAMPLES[name](words);
    } catch {
      // One of them is a file of its own.
      if (mine === turn) fail(words.unreachable);
      return;
    }
    if (mine !== turn) return;
    file = null;
    answer = null;
    use(next, [], isFollowing);
  }

  function changeStep() {
    if (!series) return;
    const interval = Number(byId("interval").value);
    if (!Number.isInteger(interval) || interval < 1) return;
    count += 1;
    // The sample keeps its name, so that the address stays short.
    use({ ...series, id: `${series.id}+${count}`, granularity: byId("granularity").value, interval }, series.notes);
  }

  byId("granularity").replaceChildren(
    ...GRANULARITIES.map((name) => el("option", { value: name }, words[`granularity_${name}`])));
  byId("day-first").replaceChildren(
    el("option", { value: "true" }, words.dayFirstTrue), el("option", { value: "false" }, words.dayFirstFalse));
  byId("granularity").addEventListener("change", changeStep);
  byId("interval").addEventListener("change", changeStep);
  byId("column-timestamp").addEventListener("change", (event) => read({ timestamp: event.target.value }));
  byId("column-value").addEventListener("change", (event) => read({ value: event.target.value }));
  byId("day-first").addEventListener("change", (event) => read({ dayFirst: event.target.value }));

  byId("choose").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", (event) => {
    if (event.target.files[0]) takeFile(event.target.files[0]);
    // The same file may be chosen again once it has been mended.
    event.target.value = "";
  });
  byId("paste-open").addEventListener("click", () => {
    const isOpen = byId("paste").hidden;
    byId("paste").hidden = !isOpen;
    byId("paste-open").setAttribute("aria-expanded", String(isOpen));
    if (isOpen) byId("paste-text").focus();
  });
  byId("paste-read").addEventListener("click", () => {
    const text = byId("paste-text").value;
    if (!text.trim()) fail(words.pasteEmpty);
    else takeFile(new File([text], `${words.pastedName}.csv`));
  });
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => takeSample(button.dataset.sample));
  }
  acceptDrops(takeFile);

  return {
    takeSample,
    /** Show a series that came by a link. */
    takeShared(next) {
      begin();
      file = null;
      answer = null;
      count += 1;
      use({ ...next, id: `link-${count}` }, [], true);
    },
    fail,
    series: () => series,
  };
}

function acceptDrops(takeFile) {
  const isVisible = () => !byId("view-series").hidden;
  const veil = byId("dragging");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!isVisible() || !hasFiles(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!isVisible() || !hasFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files[0]) takeFile(event.dataTransfer.files[0]);
  });
}
