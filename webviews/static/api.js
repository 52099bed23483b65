// Talks to the server: exchanges the link, repeats what may be repeated, and says what came of it in one of four words.
//   {kind: "ok", data}       answered
//   {kind: "refused", code}  answered: no; asking again would not help
//   {kind: "offline"}, {kind: "busy", wait}   unknown: ask again, with the same key

const PATIENCE = 8000; // ms for one attempt
const LONGEST_PAUSE = 15_000; // ms between attempts

export class Api {
  constructor(slug, token) {
    this.base = `/play/${encodeURIComponent(slug)}`;
    this.slots = { token: `gamekit:${slug}:link`, browser: "gamekit:browser" };
    this.token = token ?? read(sessionStorageOf(), this.slots.token);
    this.browser = read(localStorageOf(), this.slots.browser);
    this.session = null; // kept in memory too: some frames withhold the cookie
    this.fresh = Boolean(token); // a link in the address wins over an older session
    this.wake = () => {};
    addEventListener("online", () => this.wake());
  }

  // Where the player stands. `version` is the one the page shows.
  async state(version) {
    if (this.fresh) return this.exchange(version);
    const answer = await this.ask("GET", `/state?version=${version}`);
    return answer.code === "session_needed" && this.token ? this.exchange(version) : answer;
  }

  async draw(key, version) {
    const post = () => this.ask("POST", "/draws", { version, count: 1 }, { "Idempotency-Key": key });
    const answer = await post();
    if (answer.code !== "session_needed" || !this.token) return answer;
    const exchanged = await this.exchange(version);
    return exchanged.kind === "ok" ? post() : exchanged;
  }

  async exchange(version) {
    const body = this.browser ? { t: this.token, browser: this.browser } : { t: this.token };
    const answer = await this.ask("POST", `/session?version=${version}`, body);
    if (answer.kind !== "ok") return answer;
    this.fresh = false;
    this.session = answer.data.session;
    this.browser = answer.data.browser;
    write(localStorageOf(), this.slots.browser, this.browser);
    write(sessionStorageOf(), this.slots.token, this.token);
    return { kind: "ok", data: answer.data.state };
  }

  // Asks until there is an answer. `trouble(answer)` hears of every attempt that had none.
  async until(attempt, trouble) {
    for (let tries = 0; ; tries += 1) {
      const answer = await attempt();
      if (answer.kind === "ok" || answer.kind === "refused") return answer;
      trouble(answer);
      const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** Math.min(tries, 6)) * (0.75 + Math.random() / 2);
      await this.pause(Math.max(pause, (answer.wait ?? 0) * 1000));
    }
  }

  pause(duration) {
    return new Promise((resolve) => {
      const clock = setTimeout(resolve, duration);
      this.wake = () => {
        clearTimeout(clock);
        resolve();
      };
    });
  }

  async ask(method, path, body, headers = {}) {
    const stop = new AbortController();
    const clock = setTimeout(() => stop.abort(), PATIENCE);
    try {
      const response = await fetch(this.base + path, {
        method,
        headers: {
          Accept: "application/json",
          ...(body && { "Content-Type": "application/json" }),
          ...(this.session && { Authorization: `Bearer ${this.session}` }),
          ...headers,
        },
        body: body && JSON.stringify(body),
        cache: "no-store",
        signal: stop.signal,
      });
      if (response.status >= 500 || response.status === 429 || response.status === 408)
        return { kind: "busy", wait: Number(response.headers.get("Retry-After")) || 0 };
      const data = await response.json();
      if (response.ok) return { kind: "ok", data };
      if (data.code === "session_needed") this.session = null;
      return { kind: "refused", code: data.code ?? "failed", data };
    } catch {
      // Cut off, timed out, or an answer that is not ours (a hotel's sign-in page): nobody knows what happened.
      return { kind: stop.signal.aborted && navigator.onLine ? "busy" : "offline" };
    } finally {
      clearTimeout(clock);
    }
  }
}

// Storage can be switched off, full, or forbidden in a frame; the page works without.
export const localStorageOf = () => storage("localStorage");
export const sessionStorageOf = () => storage("sessionStorage");

function storage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}

export function read(store, key) {
  try {
    return store?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

export function write(store, key, value) {
  try {
    if (value === null) store?.removeItem(key);
    else store?.setItem(key, value);
  } catch {
    // Remembering is a convenience.
  }
}

export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // Outside a secure context (a phone on the office network, in a demo) there is no randomUUID.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
