// What the scripts have in common. A script is run as `node SCRIPT URL ...` by
// clients_test.go and fails by throwing.
import readline from 'node:readline'

export const url = process.argv[2]
export const host = new URL(url).host

// Nothing here takes long. What does not happen at all ends the script.
let doing = 'the start'
setTimeout(() => {
  console.error(`nothing happened any more while waiting for ${doing}`)
  process.exit(1)
}, 20_000).unref()

export function waitingFor(what) { doing = what }

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()

// sync lets the Go test do something, and returns when it has.
export async function sync(what) {
  doing = `the Go test to have done "${what}"`
  console.log(`sync ${what}`)
  const { value, done } = await answers.next()
  if (done || value !== what) throw new Error(`sync ${what}: the Go test said ${value}`)
}

// Inbox keeps what happened to a socket until it is asked for.
export class Inbox {
  #got = []
  #wake = () => {}

  constructor(socket) {
    this.socket = socket
    // The handlers get the WebSocket's own events, listeners copies of them.
    socket.onopen = () => this.#put({ kind: 'open' })
    socket.onmessage = e => this.#put({ kind: 'message', data: e.data })
    socket.onclose = e => this.#put({ kind: 'close', code: e.code, reason: e.reason, clean: e.wasClean })
    socket.onerror = () => {}
  }

  #put(what) {
    this.#got.push(what)
    this.#wake()
  }

  async #peek(what) {
    doing = what
    while (this.#got.length === 0) await new Promise(resolve => { this.#wake = resolve })
    return this.#got[0]
  }

  // next returns what happened next, which must be of that kind.
  async next(kind) {
    const what = await this.#peek(kind)
    if (what.kind !== kind) throw new Error(`waited for ${kind}, and got ${JSON.stringify(what)}`)
    return this.#got.shift()
  }

  async data() { return (await this.next('message')).data }
  async json() { return JSON.parse(await this.data()) }

  // hello is how the test server greets.
  async hello() {
    await this.next('open')
    const m = await this.json()
    if (m.type !== 'hello') throw new Error(`no hello: ${JSON.stringify(m)}`)
    return m
  }

  // failedAttempts skips the closes of attempts to connect to nobody, of which
  // partysocket tells too.
  async failedAttempts() {
    while ((await this.#peek('a connection')).kind === 'close') this.#got.shift()
  }

  // none fails where something else has happened already.
  none() {
    if (this.#got.length > 0) throw new Error(`unexpected: ${JSON.stringify(this.#got)}`)
  }
}
