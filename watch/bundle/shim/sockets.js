// The WebSockets of a room, by the numbers that the program knows them by.
export class Sockets {
  #ctx;
  #event;
  #on;
  #byKey = new Map();
  #keys = new Map();
  #open = new Set(); // keys that broadcasts go to
  #auto;
  #last = 0;

  constructor(ctx, event, on) {
    this.#ctx = ctx;
    this.#event = event;
    this.#on = on;
  }

  #add(socket, open) {
    const key = ++this.#last;
    this.#byKey.set(key, socket);
    this.#keys.set(socket, key);
    if (open) this.#open.add(key);
    return key;
  }

  // all lists what the engine has kept over the room's sleep, the oldest first.
  all() {
    const all = [];
    for (const socket of this.#ctx.getWebSockets().reverse()) {
      const attached = attachment(socket);
      const closing = attached !== null && attached[0] === 1;
      const key = this.#add(socket, !closing && socket.readyState === WebSocket.OPEN);
      all.push(key, attached, this.#ctx.getTags(socket));
    }
    return all;
  }

  // accept makes the socket of a connection that the room has let in.
  accept([key, hibernates, tags, attached, protocol], answered) {
    const [client, server] = Object.values(new WebSocketPair());
    if (hibernates) {
      this.#ctx.acceptWebSocket(server, tags);
      server.serializeAttachment(attached.buffer);
    } else {
      server.binaryType = "arraybuffer";
      server.accept({ allowHalfOpen: true });
      server.addEventListener("message", event => this.message(server, event.data));
      server.addEventListener("close", event => this.closed(server, event.code, event.reason, event.wasClean));
      server.addEventListener("error", event => this.faulted(server, event.message || "WebSocket error"));
    }
    this.#byKey.set(key, server);
    this.#keys.set(server, key);
    this.#last = Math.max(this.#last, key);
    this.#open.add(key);
    answered(upgraded(client, protocol));
  }

  // refusal lets a WebSocket in only to say why it must go.
  refusal(text) {
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.send(text);
    server.close(1011, "Uncaught exception during session setup");
    return upgraded(client, "");
  }

  send(key, data) {
    try {
      this.#byKey.get(key)?.send(data);
    } catch {
      // Closed meanwhile: its event is on the way.
    }
  }

  broadcast(data, ...without) {
    for (const key of this.#open) {
      if (!without.includes(key)) this.send(key, data);
    }
  }

  // close sends a close frame; code 0 sends one without a code.
  close(key, code, reason) {
    this.#open.delete(key);
    const socket = this.#byKey.get(key);
    try {
      if (code === 0) socket?.close();
      else socket?.close(code, reason);
    } catch {
      // The peer was faster.
    }
  }

  attach(key, attached) { this.#byKey.get(key)?.serializeAttachment(attached.buffer); }

  forget(key) {
    this.#open.delete(key);
    this.#keys.delete(this.#byKey.get(key));
    this.#byKey.delete(key);
  }

  // The engine answers for sockets that may sleep; message does for the others.
  autoRespond(request, response) {
    this.#auto = request === "" ? undefined : { request, response };
    this.#ctx.setWebSocketAutoResponse(request === "" ? undefined : new WebSocketRequestResponsePair(request, response));
  }

  message(socket, message) {
    if (this.#auto && message === this.#auto.request) {
      socket.send(this.#auto.response);
      return;
    }
    return this.#event((on, id) => {
      on.message(id, this.#keys.get(socket) ?? 0, typeof message === "string" ? message : new Uint8Array(message));
    });
  }

  closed(socket, code, reason, clean) {
    return this.#event((on, id) => {
      const key = this.#keys.get(socket) ?? 0;
      this.#open.delete(key);
      on.closed(id, key, code, reason, clean);
    });
  }

  faulted(socket, text) {
    return this.#event((on, id) => {
      const key = this.#keys.get(socket) ?? 0;
      this.#open.delete(key);
      on.faulted(id, key, text);
    });
  }
}

function attachment(socket) {
  const attached = socket.deserializeAttachment();
  return attached instanceof ArrayBuffer ? new Uint8Array(attached) : null; // null: not ours
}

function upgraded(client, protocol) {
  const headers = protocol === "" ? {} : { "Sec-WebSocket-Protocol": protocol };
  return new Response(null, { status: 101, webSocket: client, headers });
}
