// App.Handler: one run of the program that answers one request at a time.
import { Journal } from "./journal.js";
import { Program } from "./program.js";
import { Rooms } from "./rooms.js";
import { answer, flat, Streams, textOf } from "./streams.js";
import { expose, variables } from "./room.js";

export class Handler {
  #program;
  #journal;
  #streams;
  #last = 0;
  #now; // the request being answered

  constructor(env) {
    this.#journal = new Journal(env, () => "");
    const on = () => this.#program.ready;
    this.#streams = new Streams(on);
    const rooms = new Rooms(env, this.#streams, on);
    const party = {
      role: "handler",
      env: variables(env),
      log: (level, text) => this.#journal.log(level, text),
      exception: (...args) => this.#journal.exception(...args),
      respond: (id, stream, status, head, body, whole) => this.#respond(stream, status, head, body, whole),
      upgrade: (id, ...args) => rooms.upgrade(id, ...args, response => this.#now.resolve(response)),
      served: () => this.#now?.end(true),
    };
    expose(party, this.#streams, ["read", "drop", "write", "end"]);
    expose(party, rooms, ["call", "wakeRoom", "fetchRoom", "cancelFetch"]);
    this.#program = new Program(party, text => this.#journal.output(text), error => {
      this.#journal.log(8, error.message);
      this.#now?.reject(error);
      this.#now?.end(false);
    });
  }

  // serve answers a request. ended tells whether the handler can serve
  // another.
  serve(request) {
    const now = this.#now = {};
    const response = new Promise((resolve, reject) => Object.assign(now, { resolve, reject }));
    const ended = new Promise(resolve => {
      now.end = whole => {
        if (this.#now === now) this.#now = undefined;
        this.#program.timers.rest();
        resolve(whole);
      };
    });
    this.#serve(request).catch(error => {
      now.reject(error);
      now.end(false);
    });
    return { response, ended };
  }

  async #serve(request) {
    this.#program.timers.wake();
    const on = await this.#program.ready;
    const id = ++this.#last;
    const stream = id * 2;
    if (request.body) this.#streams.source(stream, request.body);
    const now = this.#now;
    request.signal?.addEventListener("abort", () => {
      if (this.#now === now) on.reset(stream); // otherwise the program serves another by now
    });
    on.request(id, request.method, request.url, flat(request.headers), request.body !== null, null, null);
  }

  #respond(stream, status, head, body, whole) {
    try {
      this.#now.resolve(answer(status, head, whole ? body : this.#streams.sink(stream)));
      if (!whole) this.#streams.write(stream, body);
    } catch (error) {
      this.#journal.log(8, `an answer that cannot be sent: ${textOf(error)}`);
      this.#now.resolve(new Response("Internal Server Error\n", { status: 500 }));
    }
  }
}
