// A room's storage. Everything but what is answered by on.result is done when
// the call returns, so that a turn's writes are one commit of the engine.
import { textOf } from "./streams.js";

const undo = Symbol("undo");

// Keys under which we keep something ourselves; the name's is PartyServer's.
const ours = { name: "__ps_name", props: "__party_props" };

const isOurs = key => key === ours.name || key === ours.props;

export class Database {
  #storage;
  #on;
  #name;
  #unnamed; // the engine does not know the room's name
  #cursors = new Map();
  #open = 0; // transactions
  #ending = false;

  constructor(ctx, on, name) {
    this.#storage = ctx.storage;
    this.#unnamed = ctx.id.name === undefined;
    this.#on = on;
    this.#name = name;
  }

  // The engine does not tell every room its name, as not the one that an alarm
  // wakes behind a restart.
  name() { return this.#storage.kv.get(ours.name); }

  keepName(name) {
    if (name !== undefined && this.name() === undefined) this.#storage.kv.put(ours.name, name);
  }

  // props are the last that the room was given, as JSON; null: none.
  props() { return this.#storage.kv.get(ours.props) ?? null; }

  keepProps = props => {
    try {
      if (this.props() !== props) this.#storage.kv.put(ours.props, props);
    } catch (error) {
      console.error(`props that cannot be kept for the room's next life: ${textOf(error)}`);
    }
  };

  // Values are JSON text or bytes. The engine stores text of two bytes a
  // character where one is not enough, so long text may go as bytes.
  get = key => {
    if (isOurs(key)) return undefined;
    return valueOf(this.#storage.kv.get(key));
  };

  // put, delete and list return a text where they fail.
  put = (key, value) => {
    if (isOurs(key)) return `the key "${key}" is used for the room's own name or props: choose another`;
    if (typeof value === "string" && value.length > 500_000 && /[^\0-\xff]/.test(value)) value = { json: new TextEncoder().encode(value) };
    try {
      this.#storage.kv.put(key, value);
    } catch (error) {
      return textOf(error);
    }
  };

  delete = key => !isOurs(key) && this.#storage.kv.delete(key);

  // list returns keys and values in turns, as many as about one share has.
  list = (start, startAfter, end, prefix, reverse, most, bytes) => {
    const options = { reverse };
    if (start !== null) options.start = start;
    if (startAfter !== null) options.startAfter = startAfter;
    if (end !== null) options.end = end;
    if (prefix !== "") options.prefix = prefix;
    const all = [];
    let size = 0;
    for (const [key, value] of this.#storage.kv.list(options)) {
      if (isOurs(key)) continue;
      if (all.length >= 2 * most || size > bytes) return { all, more: true };
      const v = valueOf(value);
      all.push(key, v);
      size += key.length + (v.length ?? v.byteLength);
    }
    return { all, more: false };
  };

  #later(id, promise) {
    promise.then(value => this.#on().result(id, value === undefined ? "" : String(value), 0, "", ""), error => {
      this.#on().result(id, null, 0, textOf(error) || "it failed", "");
    });
  }

  deleteAll = id => this.#later(id, this.#storage.deleteAll().then(() => { if (this.#unnamed) this.keepName(this.#name()); }));
  sync = id => this.#later(id, this.#storage.sync());
  getAlarm = id => this.#later(id, this.#storage.getAlarm().then(at => at ?? ""));
  bookmark = id => this.#later(id, this.#storage.getCurrentBookmark());
  bookmarkAt = (id, ms) => this.#later(id, this.#storage.getBookmarkForTime(ms));
  restore = (id, bookmark) => this.#later(id, this.#storage.onNextSessionRestoreBookmark(bookmark));

  setAlarm = ms => {
    this.keepName(this.#name());
    this.#storage.setAlarm(ms);
  };

  deleteAlarm = () => { this.#storage.deleteAlarm(); };

  size = () => this.#storage.sql.databaseSize;

  // transaction runs f, which says whether to undo what it did. It calls ending
  // before it returns; until then nobody may wait, since nothing that could end
  // the wait can happen within f.
  transaction = f => {
    this.#open++;
    try {
      this.#storage.transactionSync(() => { if (f()) throw undo; });
    } catch (error) {
      if (error !== undo) throw error;
    } finally {
      this.#open--;
      this.#ending = false;
    }
  };

  ending = () => { this.#ending = true; };

  get mustNotWait() { return this.#open > 0 && !this.#ending; }

  // query runs SQL and returns its first rows, encoded, or an error's text.
  query = (number, text, bindings, most, bytes) => {
    try {
      const cursor = this.#storage.sql.exec(text, ...bindings);
      const rows = cursor.raw();
      this.#cursors.set(number, rows);
      const out = new Encoder();
      out.number(cursor.columnNames.length);
      for (const name of cursor.columnNames) out.bytes(0, utf8.encode(name));
      return this.#share(number, rows, out, most, bytes);
    } catch (error) {
      this.#cursors.delete(number);
      return textOf(error);
    }
  };

  next = (number, most, bytes) => {
    const rows = this.#cursors.get(number);
    if (!rows) return "this query has ended: with its turn, or because the database was deleted";
    try {
      return this.#share(number, rows, new Encoder(), most, bytes);
    } catch (error) {
      this.#cursors.delete(number);
      return textOf(error);
    }
  };

  // look lists all keys with their values, for a test: text is JSON.
  look() {
    const { all } = this.list(null, null, null, "", false, Infinity, Infinity);
    const entries = [];
    for (let i = 0; i < all.length; i += 2) entries.push([all[i], typeof all[i + 1] === "string", textual(all[i + 1])]);
    return entries;
  }

  // rows are those of a query, for a test: whole numbers as text, bytes in hex.
  rows(query) {
    query = query.trim().replace(/;$/, "");
    const columns = this.#looked(query).map((_, i) => `c${i}`);
    const values = columns.map(c => `CASE typeof(${c}) WHEN 'integer' THEN CAST(${c} AS TEXT) WHEN 'blob' THEN lower(hex(${c})) ELSE ${c} END`);
    return [...this.#storage.sql.exec(`WITH rows(${columns}) AS (${query}) SELECT ${values} FROM rows`).raw()];
  }

  // looked returns the columns of a query. One that writes is undone and refused.
  #looked(query) {
    let columns, writes;
    const undo = new Error("undone");
    try {
      this.#storage.transactionSync(() => {
        const cursor = this.#storage.sql.exec(query);
        columns = cursor.columnNames;
        cursor.toArray();
        writes = cursor.rowsWritten > 0;
        throw undo;
      });
    } catch (e) {
      if (e !== undo) throw e;
    }
    if (writes) throw new Error("this query writes, and a script only looks: let the server write, as when it gets a message");
    return columns;
  }

  closeCursor = number => { this.#cursors.delete(number); };
  closeCursors = () => { this.#cursors.clear(); };

  // share appends rows. Behind them stands whether they were the last.
  #share(number, rows, out, most, bytes) {
    for (let n = 0; n < most && out.length < bytes; n++) {
      const { value: row, done } = rows.next();
      if (done) {
        this.#cursors.delete(number);
        out.byte(ended);
        return out.result();
      }
      out.byte(anotherRow);
      for (const value of row) out.value(value);
    }
    out.byte(goesOn);
    return out.result();
  }
}

// What stands before a row, or behind the last of a share.
const goesOn = 0, anotherRow = 1, ended = 2;

function valueOf(value) {
  if (value === undefined || typeof value === "string" || value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (value?.json instanceof Uint8Array) return new TextDecoder().decode(value.json);
  return JSON.stringify(value) ?? "null"; // of a program in another language
}

const utf8 = new TextEncoder();

// textual is text as it is, and bytes in hex.
const textual = v => typeof v === "string" ? v : Array.from(v, b => b.toString(16).padStart(2, "0")).join("");

// Encoder writes values one behind the other: a kind, then what it needs.
class Encoder {
  #all = new Uint8Array(1024);
  length = 0;

  #room(n) {
    if (this.length + n <= this.#all.length) return;
    const more = new Uint8Array(Math.max(2 * this.#all.length, this.length + n));
    more.set(this.#all.subarray(0, this.length));
    this.#all = more;
  }

  byte(b) {
    this.#room(1);
    this.#all[this.length++] = b;
  }

  number(n) {
    this.#room(8);
    new DataView(this.#all.buffer).setFloat64(this.length, n, true);
    this.length += 8;
  }

  bytes(kind, b) {
    this.byte(kind);
    this.number(b.byteLength);
    this.#room(b.byteLength);
    this.#all.set(b, this.length);
    this.length += b.byteLength;
  }

  value(v) {
    if (v === null || v === undefined) this.byte(0);
    else if (typeof v === "number") {
      this.byte(1);
      this.number(v);
    } else if (typeof v === "string") this.bytes(2, utf8.encode(v));
    else this.bytes(3, new Uint8Array(v));
  }

  result() { return this.#all.subarray(0, this.length); }
}
