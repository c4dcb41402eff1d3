// Bytes between the engine's streams and the program, in shares that the other
// side asked for.

// Streams are those of one program by number.
export class Streams {
  #sources = new Map();
  #sinks = new Map();
  #on;

  constructor(on) { this.#on = on; }

  // open is how many answers are still being written.
  get open() { return this.#sinks.size; }

  // source lets the program read a ReadableStream.
  source(stream, body) { this.#sources.set(stream, body.getReader()); }

  // read fetches the next share, which on.chunk brings.
  read(stream) {
    const reader = this.#sources.get(stream);
    if (!reader) return;
    reader.read().then(
      ({ value, done }) => {
        if (done) this.#sources.delete(stream);
        this.#on().chunk(stream, done ? null : bytesOf(value), done, "");
      },
      error => {
        this.#sources.delete(stream);
        this.#on().chunk(stream, null, true, textOf(error) || "it broke off");
      },
    );
  }

  // drop gives up what is left.
  drop(stream) {
    this.#sources.get(stream)?.cancel().catch(() => {});
    this.#sources.delete(stream);
  }

  // sink returns a ReadableStream of what the program writes.
  sink(stream, closed = () => {}) {
    const sink = { parts: [], ended: false, error: undefined, wake: undefined };
    this.#sinks.set(stream, sink);
    const end = () => {
      if (this.#sinks.delete(stream)) closed();
    };
    const next = controller => {
      const part = sink.parts.shift();
      if (part) {
        controller.enqueue(part);
        this.#on().ack(stream, part.byteLength);
        return true;
      }
      if (sink.error) {
        end();
        controller.error(sink.error);
        return true;
      }
      if (sink.ended) {
        end();
        controller.close();
      }
      return sink.ended;
    };
    return new ReadableStream({
      pull: controller => {
        if (next(controller)) return;
        return new Promise(resolve => {
          sink.wake = () => {
            sink.wake = undefined;
            next(controller);
            resolve();
          };
        });
      },
      cancel: () => {
        end();
        this.#on().reset(stream);
      },
    }, { highWaterMark: 0 });
  }

  write(stream, part) {
    const sink = this.#sinks.get(stream);
    if (!sink) return;
    sink.parts.push(part);
    sink.wake?.();
  }

  // end ends what the program writes; with an error, incomplete.
  end(stream, error) {
    const sink = this.#sinks.get(stream);
    if (!sink) return;
    sink.ended = true;
    if (error) sink.error = new Error(error);
    sink.wake?.();
  }
}

function bytesOf(value) {
  if (typeof value === "string") return new TextEncoder().encode(value);
  return value instanceof Uint8Array ? value : new Uint8Array(value.buffer ?? value);
}

// textOf is an error's message. The engine puts the name of an error before the
// message of another.
export function textOf(error) {
  const text = error?.message ? String(error.message) : String(error ?? "");
  return text.replace(/^(Error: )+/, "");
}

// flat writes headers as lines: a name, then its value. Neither can hold a line
// break.
export function flat(headers, except = []) {
  let text = "";
  for (const [name, value] of headers) {
    if (!except.includes(name)) text += `${name}\n${value}\n`;
  }
  return text;
}

export function unflat(text) {
  const headers = new Headers();
  const lines = text.split("\n");
  for (let i = 0; i + 1 < lines.length; i += 2) headers.append(lines[i], lines[i + 1]);
  return headers;
}

// answer makes a Response. A status that cannot have a body has none.
export function answer(status, headers, body) {
  const init = { status, headers: unflat(headers), encodeBody: "manual" };
  if (status === 204 || status === 205 || status === 304) body = null;
  return new Response(body, init);
}
