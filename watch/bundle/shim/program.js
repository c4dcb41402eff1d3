// One run of the Go program. Each room has its own: nothing that it can reach
// by its global object is shared with another.
import app from "./app.wasm";
import load from "./go.js";

// How long a program may take until it calls party.Main.
const helloLimit = 15_000;

// How long timers of goroutines go on once nothing keeps a room awake. The
// engine lets no room sleep that has a timer.
const restAfter = 10_000;

export class Program {
  // ready resolves to what the program lets itself be told. left gets the exit
  // status and the last that the program wrote when it ends.
  ready;
  timers = new Timers();
  #go;
  #instance;
  #last = [];

  // party is what the program finds as its global of that name.
  constructor(party, log, left) {
    let settle;
    const ready = new Promise((resolve, reject) => { settle = { resolve, reject }; });
    ready.catch(() => {}); // whoever waits for it hears of it
    this.ready = ready;
    party.ready = told => {
      clearTimeout(limit);
      const on = {};
      for (const name of Object.keys(told)) {
        on[name] = (...args) => {
          told[name](...args);
          this.timers.afterRun();
        };
      }
      this.ready = on;
      settle.resolve(on);
    };
    const due = new Map();
    party.timer = (id, ms) => {
      const most = 2 ** 31 - 1; // of the engine
      due.set(id, setTimeout(() => {
        due.delete(id);
        if (ms > most) party.timer(id, ms - most);
        else this.ready.due(id);
      }, Math.min(ms, most)));
    };
    party.stopTimer = id => {
      clearTimeout(due.get(id));
      due.delete(id);
    };
    const print = text => {
      this.#last.push(text);
      if (this.#last.length > 20) this.#last.shift();
      log(text);
    };
    const Go = load(globalOf(party), files(print), this.timers.set, this.timers.clear);
    this.#go = new Go();
    this.#go.exit = code => {
      const error = new Error(`the program ended with status ${code}${this.words()}`);
      settle.reject(error);
      left(error);
    };
    const limit = setTimeout(() => {
      const error = new Error("the program did not call party.Main within 15 s: call it at the end of main, and do slow work in OnStart");
      settle.reject(error);
      left(error);
    }, helloLimit);
    this.#instance = new WebAssembly.Instance(app, this.#go.importObject);
    this.#go.run(this.#instance).catch(settle.reject);
  }

  // words are the last that the program wrote: what a panic says begins with
  // "panic: ".
  words() {
    const text = this.#last.join("\n");
    const at = text.search(/^(panic|fatal error): /m);
    return text === "" ? "" : ": " + (at < 0 ? text : text.slice(at)).split("\n", 1)[0];
  }

  get memory() { return this.#instance.exports.mem.buffer.byteLength; }
}

// Timers are those of the Go runtime, which sets one when all goroutines wait.
// While they rest they are kept, and none fires.
class Timers {
  beforeWait = () => {}; // called with each
  afterRun = () => {}; // called when all goroutines wait again
  #all = new Map();
  #last = 0;
  #resting = false;
  #idleSince; // undefined: something else keeps the room awake
  #rest;

  set = (f, ms) => {
    this.beforeWait();
    const id = ++this.#last;
    const timer = { f, due: Date.now() + ms };
    this.#all.set(id, timer);
    if (!this.#resting) this.#arm(id, timer);
    this.#restSoon();
    return id;
  };

  clear = id => {
    clearTimeout(this.#all.get(id)?.real);
    this.#remove(id);
  };

  #arm(id, timer) {
    timer.real = setTimeout(() => {
      this.#remove(id);
      timer.f();
      this.afterRun();
    }, Math.max(0, timer.due - Date.now()));
  }

  #remove(id) {
    this.#all.delete(id);
    if (this.#all.size === 0) this.#restNot();
  }

  // idle says that nothing else keeps the room awake.
  idle() {
    this.#idleSince ??= Date.now();
    this.#restSoon();
  }

  // wake says that something does.
  wake() {
    this.#idleSince = undefined;
    this.#restNot();
    if (!this.#resting) return;
    this.#resting = false;
    for (const [id, timer] of this.#all) this.#arm(id, timer);
  }

  rest() {
    this.#restNot();
    this.#resting = true;
    for (const timer of this.#all.values()) clearTimeout(timer.real);
  }

  // The wait for the rest is a timer itself, so there must be none without need.
  #restSoon() {
    if (this.#idleSince === undefined || this.#resting || this.#rest !== undefined || this.#all.size === 0) return;
    this.#rest = setTimeout(() => this.rest(), Math.max(0, this.#idleSince + restAfter - Date.now()));
  }

  #restNot() {
    clearTimeout(this.#rest);
    this.#rest = undefined;
  }
}

// globalOf makes the program's global object: the engine's, with a few things of
// the program's own before it.
function globalOf(party) {
  const own = {
    party,
    // net/http sets options that the engine does not have.
    fetch: (url, { credentials, mode, ...init } = {}) => fetch(url, init),
  };
  const bound = new Map();
  return new Proxy(own, {
    get(own, name) {
      if (name in own) return own[name];
      const value = globalThis[name];
      if (typeof value !== "function" || value.prototype !== undefined) return value;
      if (!bound.has(name)) bound.set(name, value.bind(globalThis)); // it wants its own this
      return bound.get(name);
    },
  });
}

// files is what Go takes for a file system: it can only print.
function files(print) {
  const decoders = [];
  const rest = ["", "", ""];
  const fs = {
    constants: { O_WRONLY: -1, O_RDWR: -1, O_CREAT: -1, O_TRUNC: -1, O_APPEND: -1, O_EXCL: -1, O_DIRECTORY: -1 },
    writeSync(fd, bytes) {
      decoders[fd] ??= new TextDecoder();
      const lines = (rest[fd] + decoders[fd].decode(bytes, { stream: true })).split("\n");
      rest[fd] = lines.pop();
      if (rest[fd].length > 16384) lines.push(rest[fd].slice(0)), rest[fd] = "";
      if (lines.length > 0) print(lines.join("\n"));
      return bytes.length;
    },
    write(fd, bytes, offset, length, position, done) {
      if (offset !== 0 || length !== bytes.length || position !== null) return done(missing());
      done(null, fs.writeSync(fd, bytes));
    },
    fsync(fd, done) { done(null); },
  };
  for (const name of ["chmod", "chown", "close", "fchmod", "fchown", "fstat", "ftruncate", "lchown", "link", "lstat", "mkdir",
    "open", "read", "readdir", "readlink", "rename", "rmdir", "stat", "symlink", "truncate", "unlink", "utimes"]) {
    fs[name] = (...args) => args.at(-1)(missing());
  }
  return fs;
}

function missing() {
  return Object.assign(new Error("a room has no file system on this engine"), { code: "ENOSYS" });
}
