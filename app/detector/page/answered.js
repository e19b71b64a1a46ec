// Which model version answered, how long it took, and where it lies in MLflow.

import { byId, el, fill } from "./dom.js";

// The kinds of `GET /models`, by what the page asks for.
const KINDS = { entire: "entire", latest: "latest", changepoint: "changepoint" };
const KEPT_SECONDS = 10;

/**
 * @param {{api: any, words: Object<string, string>}} page
 */
export function createModelLine({ api, words }) {
  let models = null;
  let asked = -Infinity;

  /** Ask again only after a while: an alias moves seldom, a slider often. */
  async function modelOf(mode) {
    if (performance.now() - asked > KEPT_SECONDS * 1000) {
      asked = performance.now();
      models = api.get("models").then(({ body }) => body.models, () => null);
    }
    return (await models)?.find(({ kind }) => kind === KINDS[mode]) ?? null;
  }

  let last = null;
  return {
    /**
     * @param {string} mode
     * @param {import("./api.js").Answer} answer
     */
    async show(mode, answer) {
      last = answer;
      const took = fill(words.answeredIn, { n: Math.max(1, Math.round(answer.milliseconds)) });
      const model = await modelOf(mode);
      // A later answer has come meanwhile.
      if (last !== answer) return;
      const line = byId("answered");
      if (!model) {
        line.textContent = took;
        return;
      }
      const version = model.versions?.find(({ version: each }) => each === model.version);
      const link = version?.link ?? model.link;
      const name = `${model.name}${model.version ? ` ${fill(words.answeredVersion, { n: model.version })}` : ""}`;
      const shown = link && /^https?:/.test(link)
        ? el("a", { href: link, target: "_blank", rel: "noopener", title: fill(words.openInMlflow, { name }) }, name)
        : name;
      const [before, after] = words.answeredBy.split("{name}");
      line.replaceChildren(before, shown, after, " ", took);
    },
  };
}
