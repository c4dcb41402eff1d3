// What clients reach first: it finds their rooms, or asks App.Handler to.
import { Handler } from "./handler.js";
import { Journal, tested } from "./journal.js";
import { failure, headers, stub, tellName } from "./rooms.js";
import { textOf } from "./streams.js";

// The longest name of a room, in bytes.
const longestName = 128 << 10;

// entry answers for classes, which are bindings by what they are called in
// URLs.
export function entry(classes, handler) {
  const idle = [];
  return {
    async fetch(request, env, ctx) {
      const journal = new Journal(env, () => "");
      const test = tested(env);
      if (test && request.headers.get("x-party-test") === test) return await asked(classes, request, env);
      request = trusted(request);
      try {
        if (handler) return await handled(idle, request, env, ctx);
        return await routed(classes, request, env, journal);
      } catch (error) {
        return failed(error, journal);
      }
    },
  };
}

// trusted is a request without what only we may say.
function trusted(request) {
  const forged = [...request.headers.keys()].filter(name => name.startsWith("x-partykit-") || name.startsWith("x-party-"));
  if (forged.length === 0) return request;
  const clean = new Headers(request.headers);
  for (const name of forged) clean.delete(name);
  return new Request(request, { headers: clean });
}

async function routed(classes, request, env, journal) {
  const [prefix, party, name] = new URL(request.url).pathname.split("/").filter(segment => segment !== "");
  if (prefix !== "parties" || party === undefined || name === undefined) return said(404, "Not Found");
  if (!Object.hasOwn(classes, party)) {
    journal.log(8, unknown(party, Object.keys(classes)));
    return said(400, "Invalid request");
  }
  const size = new TextEncoder().encode(name).byteLength;
  if (size > longestName) {
    return said(414, `the room's name has ${size} bytes; at most ${longestName} are allowed: use a shorter one, such as a hash`);
  }
  const to = new Headers(request.headers);
  to.set("x-partykit-namespace", party);
  tellName(to, name);
  const again = request.body === null;
  for (let attempt = 1; ; attempt++) {
    try {
      return await stub(env, classes[party], name).fetch(new Request(request, { headers: to }));
    } catch (error) {
      if (!error.retryable || error.overloaded || !again || attempt >= 3) throw error;
      const most = Math.min(800, 100 * 2 ** (attempt - 1));
      await new Promise(resolve => setTimeout(resolve, Math.random() * most));
    }
  }
}

// said answers with a line of text, as Go's http.Error does.
function said(status, text, headers = {}) {
  return new Response(`${text}\n`, {
    status, headers: { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff", ...headers },
  });
}

function unknown(party, have) {
  const all = have.map(name => JSON.stringify(name)).join(" ");
  if (party === "main") {
    return `a client asks for the party "main", which clients use when they name none; there is no default party: give the client one of [${all}]`;
  }
  return `no class answers at /parties/${party}: bind one in App.Servers, or use one of [${all}]`;
}

function failed(error, journal) {
  const { code, text } = failure(error);
  journal.log(8, text);
  const lost = code !== 0;
  return lost ? said(503, text, { "Retry-After": "1" }) : said(500, "Internal Server Error");
}

// asked answers what a test asks of rooms, in turn: whether they are quiet, what
// they stored.
async function asked(classes, request, env) {
  const { what, rooms, text } = await request.json();
  const answers = [];
  for (const room of rooms) {
    const [party, name] = room.split("/");
    if (!Object.hasOwn(classes, party) || !name) {
      answers.push(null);
      continue;
    }
    try {
      answers.push({ value: await stub(env, classes[party], name).partyAsked(what, text) });
    } catch (error) {
      answers.push({ error: textOf(error) });
    }
  }
  return Response.json(answers);
}

// How many programs wait for requests to App.Handler.
const mostIdle = 4;

// handled lets a program answer that has nothing else to do: what belongs to a
// request can be used by that request only.
async function handled(idle, request, env, ctx) {
  const handler = idle.pop() ?? new Handler(env);
  const { response, ended } = handler.serve(request);
  ctx.waitUntil(ended.then(whole => {
    if (whole && idle.length < mostIdle) idle.push(handler);
  }));
  return response;
}
