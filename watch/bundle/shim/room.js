// A room: a Durable Object around one run of the program.
import { DurableObject } from "cloudflare:workers";
import { Journal, tested } from "./journal.js";
import { Program } from "./program.js";
import { headers, Rooms } from "./rooms.js";
import { answer, flat, Streams, textOf } from "./streams.js";
import { Sockets } from "./sockets.js";
import { Database } from "./storage.js";

// roomClass returns the class of a binding, which URLs call party.
export function roomClass(binding, party) {
  return class extends DurableObject {
    #room;

    constructor(ctx, env) {
      super(ctx, env);
      this.#room = new Room(ctx, env, binding, party);
    }

    fetch(request) { return this.#room.fetch(request); }
    webSocketMessage(socket, message) { return this.#room.message(socket, message); }
    webSocketClose(socket, code, reason, clean) { return this.#room.closed(socket, code, reason, clean); }
    webSocketError(socket, error) { return this.#room.faulted(socket, error); }
    alarm(info) { return this.#room.alarm(info); }

    // What other rooms ask.
    partyCall(name, method, args, waiting) { return this.#room.called(name, method, args, waiting); }
    partyWake(name, props, waiting) { return this.#room.woken(name, props, waiting); }
    partyProbe(name, waiting) { return this.#room.probed(name, waiting); }

    // What tests ask: see entry.js.
    partyAsked(what, text) { return this.#room.asked(what, text); }
  };
}

const waited = "a turn waited within a Transaction, where storage alone may be used: nothing else can happen meanwhile on this engine";

class Room {
  #ctx;
  #env;
  #called;
  #journal;
  #program;
  #pending = new Map(); // events that the program has not answered
  #quiet = []; // who waits until there are none
  #last = 0;
  #holds = new Map();
  #streams;
  #database;
  #name;
  #limit = 0;
  #overdue;

  constructor(ctx, env, binding, called) {
    this.#ctx = ctx;
    this.#env = env;
    this.#called = called;
    this.#journal = new Journal(env, () => this.#title());
    const on = () => this.#program.ready;
    this.#streams = new Streams(on);
    const sockets = new Sockets(ctx, (...args) => this.#event(...args), on);
    this.sockets = sockets;
    const rooms = new Rooms(env, this.#streams, on);
    const database = this.#database = new Database(ctx, on, () => this.#name);
    this.#name = ctx.id.name ?? database.name();
    const room = this;
    const party = {
      role: "room",
      binding,
      id: String(ctx.id),
      jurisdiction: ctx.id.jurisdiction ?? "",
      get name() { return room.#name; },
      env: variables(env),
      props: database.props(),
      log: (level, text) => this.#journal.log(level, text),
      exception: (...args) => this.#journal.exception(...args),
      abort: reason => ctx.abort(new Error(`${this.#title()} was aborted: ${reason} while it handled this`)),
      done: (id, value) => this.#settle(id, p => p.resolve(value)),
      fail: (id, text) => this.#settle(id, p => p.reject(new Error(text))),
      turn: limit => this.#turn(limit),
      hold: (id, work) => this.#hold(id, work),
      release: id => this.#release(id),
      respond: (id, stream, status, head, body, whole) => this.#respond(id, stream, status, head, body, whole),
    };
    expose(party, this.#streams, ["read", "drop", "write", "end"]);
    expose(party, rooms, ["call", "wakeRoom", "probe", "fetchRoom", "cancelFetch"]);
    expose(party, sockets, ["all", "send", "broadcast", "close", "attach", "forget"]);
    party.accept = (id, ...args) => sockets.accept(args, response => this.#settle(id, p => p.resolve(response)));
    party.refuse = (id, text) => this.#settle(id, p => p.resolve(sockets.refusal(text)));
    party.autoRespond = (request, response) => sockets.autoRespond(request, response);
    party.database = database;
    this.#program = new Program(party, text => this.#journal.output(text), error => {
      this.#reset(database.mustNotWait ? waited : error.message);
    });
    this.#program.timers.afterRun = () => {
      if (this.#limit > 0) this.#overdue ??= setTimeout(() => this.#program.ready.overdue(), this.#limit);
    };
    this.#program.timers.beforeWait = () => {
      if (database.mustNotWait) this.#reset(waited);
    };
  }

  #title() { return `${this.#called}/${this.#name ?? "?"}`; }

  // reset drops what is not committed and cuts every connection. It does not
  // return.
  #reset(why) {
    this.#journal.log(8, `${why}; the room starts again with its next event`);
    this.#ctx.abort(new Error(`${this.#title()} was reset while it handled this: ${why}`));
  }

  #named(name) {
    if (this.#name !== undefined || name === undefined || name === null) return;
    this.#name = name;
    this.#database.keepName(name);
  }

  // event lets the program handle something, and resolves when it has. tell is
  // given what the program lets itself be told, and the event's number.
  async #event(tell) {
    const id = ++this.#last;
    this.#program.timers.wake();
    const answered = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    try {
      let on = this.#program.ready;
      if (on instanceof Promise) on = await on;
      tell(on, id);
    } catch (error) {
      this.#settle(id, p => p.reject(error));
    }
    return answered;
  }

  #settle(id, how) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    how(pending);
    if (this.#pending.size === 0) this.#quiet.splice(0).forEach(resolve => resolve());
    this.#restIfIdle();
  }

  // asked answers a test, beside the room's turns.
  async asked(what, text) {
    if (!tested(this.#env)) throw new Error("this is no test");
    switch (what) {
      case "quiet": // resolves when no event waits or is handled
        while (this.#pending.size > 0) await new Promise(resolve => this.#quiet.push(resolve));
        return null;
      case "kv": return this.#database.look();
      case "sql": return this.#database.rows(text);
      case "abort": return this.#ctx.abort(new Error(`${this.#title()} was aborted: ${text}`));
    }
    throw new Error(`nobody knows what ${what} is`);
  }

  // turn begins a turn, which may take so many milliseconds, or with 0 ends it.
  // Most have ended before anybody could look.
  #turn(limit) {
    this.#limit = limit;
    clearTimeout(this.#overdue);
    this.#overdue = undefined;
  }

  // hold keeps the room awake: for a timer, or as work that the engine is told of.
  #hold(id, work) {
    let done;
    if (work) this.#ctx.waitUntil(new Promise(resolve => { done = resolve; }));
    this.#holds.set(id, done);
    this.#program.timers.wake();
  }

  #release(id) {
    this.#holds.get(id)?.();
    this.#holds.delete(id);
    this.#restIfIdle();
  }

  // Timers of goroutines that nobody waits for must not keep a room awake for
  // ever.
  #restIfIdle() {
    if (this.#pending.size === 0 && this.#holds.size === 0 && this.#streams.open === 0) this.#program.timers.idle();
  }

  fetch(request) {
    const name = request.headers.get(headers.name);
    if (name !== null) this.#named(decodeURIComponent(name));
    const props = request.headers.get(headers.props);
    const waiting = request.headers.get(headers.waiting);
    const head = flat(request.headers, [headers.name, headers.waiting]);
    return this.#event((on, id) => {
      if (request.headers.get("upgrade")?.toLowerCase() === "websocket") {
        on.connect(id, request.url, head, props);
        return;
      }
      const stream = id * 2;
      if (request.body) this.#streams.source(stream, request.body);
      request.signal?.addEventListener("abort", () => on.reset(stream));
      on.request(id, request.method, request.url, head, request.body !== null, props, waiting && decodeURIComponent(waiting));
    });
  }

  #respond(id, stream, status, head, body, whole) {
    this.#settle(id, p => {
      try {
        p.resolve(answer(status, head, whole ? body : this.#streams.sink(stream, () => this.#restIfIdle())));
        if (!whole) this.#streams.write(stream, body);
      } catch (error) {
        this.#journal.log(8, `an answer that cannot be sent: ${textOf(error)}`);
        p.resolve(new Response("Internal Server Error", { status: 500 }));
      }
    });
  }

  message(socket, message) { return this.sockets.message(socket, message); }
  closed(socket, code, reason, clean) { return this.sockets.closed(socket, code, reason, clean); }
  faulted(socket, error) { return this.sockets.faulted(socket, textOf(error)); }

  alarm(info) {
    const at = info?.scheduledTime === undefined ? 0 : Number(info.scheduledTime);
    return this.#event((on, id) => on.alarm(id, info?.retryCount ?? 0, at));
  }

  called(name, method, args, waiting) {
    this.#named(name);
    return this.#event((on, id) => on.call(id, method, args, waiting));
  }

  woken(name, props, waiting) {
    this.#named(name);
    return this.#event((on, id) => on.wake(id, props, waiting));
  }

  probed(name, waiting) {
    this.#named(name);
    return this.#event((on, id) => on.probe(id, waiting));
  }
}

// variables are what Server.Env reads.
export function variables(env) {
  const all = {};
  for (const [name, value] of Object.entries(env)) {
    if (typeof value === "string") all[name] = value;
    else if (Object.getPrototypeOf(value) === Object.prototype || Array.isArray(value) || typeof value === "number" || typeof value === "boolean") all[name] = JSON.stringify(value);
  }
  return all;
}

export function expose(party, object, names) {
  for (const name of names) party[name] = (...args) => object[name](...args);
}
