// The way from a program to rooms: its own calls, and what App.Handler passes on.
import { flat, textOf, unflat } from "./streams.js";

// What rooms tell each other on requests. Clients cannot: see entry.js.
export const headers = { name: "x-party-name", props: "x-partykit-props", waiting: "x-party-waiting" };

// Longer names are not told to a room by the engine.
const longName = 1024;

// Codes of failures, as the program numbers them.
const user = 0, retryable = 1, invalid = 6;

export function failure(error) {
  const lost = (error?.retryable || error?.durableObjectReset) && !error?.overloaded;
  return { code: lost ? retryable : user, text: textOf(error) };
}

export function stub(env, binding, name, jurisdiction, locationHint) {
  let rooms = env[binding];
  if (!rooms) throw new Error(`no class is bound to "${binding}"`);
  if (jurisdiction) rooms = rooms.jurisdiction(jurisdiction);
  return rooms.get(rooms.idFromName(name), locationHint ? { locationHint } : undefined);
}

// tellName adds what a room must be told of its own name.
export function tellName(to, name) {
  if (new TextEncoder().encode(name).byteLength > longName) to.set(headers.name, encodeURIComponent(name));
  else to.delete(headers.name);
}

export class Rooms {
  #env;
  #streams;
  #on;
  #fetches = new Map();

  constructor(env, streams, on) {
    this.#env = env;
    this.#streams = streams;
    this.#on = on;
  }

  // ask runs what makes a promise of a result, and brings that to the program.
  async #ask(id, binding, name, jurisdiction, hint, f) {
    let result;
    try {
      result = await f(stub(this.#env, binding, name, jurisdiction, hint));
    } catch (error) {
      result = failure(error);
    }
    this.#on().result(id, result.value ?? null, result.code ?? user, result.text ?? "", result.stack ?? "");
  }

  call(id, binding, name, jurisdiction, method, args, waiting) {
    this.#ask(id, binding, name, jurisdiction, "", room => room.partyCall(name, method, args, waiting));
  }

  wakeRoom(id, binding, name, jurisdiction, hint, props, waiting) {
    this.#ask(id, binding, name, jurisdiction, hint, room => room.partyWake(name, props, waiting));
  }

  probe(id, binding, name, jurisdiction, waiting) {
    this.#ask(id, binding, name, jurisdiction, "", room => room.partyProbe(name, waiting));
  }

  #request(url, init, { name, props, waiting }) {
    tellName(init.headers, name);
    if (props) init.headers.set(headers.props, props);
    if (waiting) init.headers.set(headers.waiting, encodeURIComponent(waiting));
    return new Request(url, { redirect: "manual", ...init });
  }

  // fetchRoom sends a request; body is what there is of it, null where there
  // is none, and with more the program writes the rest.
  async fetchRoom(stream, binding, name, jurisdiction, hint, method, url, head, body, more, props, waiting) {
    const abort = new AbortController();
    this.#fetches.set(stream, abort);
    try {
      if (more) {
        const rest = this.#streams.sink(stream);
        this.#streams.write(stream, body);
        body = rest;
      }
      const request = this.#request(url, { method, headers: unflat(head), body, signal: abort.signal }, { name, props, waiting });
      const response = await stub(this.#env, binding, name, jurisdiction, hint).fetch(request);
      if (abort.signal.aborted) return;
      if (response.body) this.#streams.source(stream, response.body);
      this.#on().head(stream, response.status, flat(response.headers), response.body !== null);
    } catch (error) {
      this.#streams.end(stream, "nobody reads it");
      const { code, text } = failure(error);
      if (!abort.signal.aborted) this.#on().failed(stream, code, text);
    } finally {
      this.#fetches.delete(stream);
    }
  }

  // cancelFetch gives up a request and its answer.
  cancelFetch(stream) {
    this.#fetches.get(stream)?.abort();
    this.#streams.drop(stream);
    this.#streams.end(stream, "nobody reads it");
  }

  // upgrade passes a WebSocket on; answered gets the room's response.
  async upgrade(id, binding, name, jurisdiction, hint, url, head, props, answered) {
    let code = user, text = "";
    try {
      const init = { method: "GET", headers: unflat(head) };
      init.headers.set("upgrade", "websocket");
      const request = this.#request(url, init, { name, props });
      answered(await stub(this.#env, binding, name, jurisdiction, hint).fetch(request));
    } catch (error) {
      ({ code, text } = failure(error));
      text ||= "the room could not be reached";
    }
    this.#on().result(id, text === "" ? "" : null, code, text, "");
  }
}

export { invalid };
