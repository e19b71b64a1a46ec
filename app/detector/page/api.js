// Requests to the service: addresses below any path prefix, the key of this tab, and errors as
// sentences.

const HEADER = "Ocp-Apim-Subscription-Key";
const KEPT = "detector-key";
// Where no keys are set, the service wants the header nevertheless.
const NO_KEY = "page";

/** What the service, or the way to it, refused. `details` holds the whole error object. */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} status 0 where nothing answered
   * @param {Object<string, any>} [details]
   */
  constructor(code, message, status, details = {}) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** The address that the service has for programs, without a last slash. */
export function serviceAddress() {
  return new URL(".", document.baseURI).href.replace(/[?#].*$/, "").replace(/\/$/, "");
}

/** Whether the service has keys, as it says in the page. */
const isKeyAsked = () => document.documentElement.dataset.keys === "asked";

/** The key of this tab, or null. It is in no cookie and outlives no tab. */
export const key = {
  get: () => sessionStorage.getItem(KEPT),
  set: (/** @type {string} */ value) => sessionStorage.setItem(KEPT, value),
  forget: () => sessionStorage.removeItem(KEPT),
};

/**
 * @typedef {Object} Answer
 * @property {any} body parsed JSON, or null
 * @property {Headers} headers
 * @property {number} status
 * @property {number} milliseconds from sending to the last byte
 */

/**
 * @typedef {Object} Sending
 * @property {string} [method]
 * @property {BodyInit|null} [body]
 * @property {any} [json] an object to send as JSON instead of `body`
 * @property {Object<string, any>} [query] lists repeat their name; null leaves out
 * @property {AbortSignal} [signal]
 */

/**
 * Make what views call the service by.
 * @param {Object<string, string>} words
 * @param {(wrong: boolean) => Promise<boolean>} askForKey asks the person; false when they decline
 */
export function createApi(words, askForKey) {
  /** @type {Promise<boolean>|null} */
  let asking = null;

  /** @returns {Promise<Answer>} */
  async function once(/** @type {string} */ path, /** @type {Sending} */ sending, sent) {
    const address = new URL(path, `${serviceAddress()}/`);
    for (const [name, value] of Object.entries(sending.query ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== null && one !== undefined) address.searchParams.append(name, String(one));
      }
    }
    const body = sending.json === undefined ? sending.body : JSON.stringify(sending.json);
    const headers = { [HEADER]: sent, Accept: "application/json" };
    if (sending.json !== undefined) headers["Content-Type"] = "application/json";
    const method = sending.method ?? (body === undefined || body === null ? "GET" : "POST");
    const began = performance.now();
    let answer, text;
    try {
      answer = await fetch(address, { method, body, headers, signal: sending.signal, cache: "no-store" });
      text = await answer.text();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError("Unreachable", words.unreachable, 0);
    }
    const milliseconds = performance.now() - began;
    let parsed = null;
    try {
      parsed = text ? JSON.parse(text) : null;
    } catch {
      if (answer.ok) throw new ApiError("NotJson", words.notJson, answer.status);
    }
    if (!answer.ok) throw refusal(answer, parsed, words);
    return { body: parsed, headers: answer.headers, status: answer.status, milliseconds };
  }

  /**
   * Send a request. Asks for a key at 401, once however many requests wait for it.
   * @param {string} path relative to the service, such as "models"
   * @param {Sending} [sending]
   * @returns {Promise<Answer>}
   * @throws {ApiError}
   */
  async function send(path, sending = {}) {
    for (;;) {
      const sent = key.get() ?? NO_KEY;
      try {
        // A try without a key counts as a wrong one, and each of those waits longer.
        if (sent === NO_KEY && isKeyAsked()) throw new ApiError("401", words.keyNeeded, 401);
        return await once(path, sending, sent);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 401) throw error;
        // Another request may have been given the right key meanwhile.
        if ((key.get() ?? NO_KEY) !== sent) continue;
        const wrong = key.get() !== null;
        asking ??= askForKey(wrong).finally(() => { asking = null; });
        if (!(await asking)) throw new ApiError("401", words.keyNeeded, 401);
      }
    }
  }

  return {
    send,
    get: (/** @type {string} */ path, /** @type {Sending} */ sending = {}) => send(path, { ...sending, method: "GET" }),
    post: (/** @type {string} */ path, /** @type {any} */ json, /** @type {Sending} */ sending = {}) =>
      send(path, { ...sending, method: "POST", json }),
  };
}

/** Both shapes of the service's errors: `{error: {code, message}}` and `{code, message}`. */
function refusal(answer, parsed, words) {
  const error = parsed && typeof parsed === "object" ? (parsed.error ?? parsed) : {};
  const code = String(error.code ?? answer.status);
  let message = typeof error.message === "string" && error.message ? error.message : words.noReason;
  const wait = answer.headers.get("Retry-After");
  if (answer.status === 429 || answer.status === 503) {
    message += ` ${words.tryAgainIn.replace("{n}", wait ?? "1")}`;
  }
  return new ApiError(code, message, answer.status, typeof error === "object" ? error : {});
}
