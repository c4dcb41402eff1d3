// partysocket against the server in testdata/routed: `node routed.mjs URL SCENARIO`.
import assert from 'node:assert/strict'
import PartySocket from 'partysocket'
import WS from 'ws'
import { Inbox, host, url } from './lib.mjs'

const scenario = process.argv[3]
const place = { host, prefix: 'api/v1', party: 'room', room: encodeURIComponent(scenario) }

const scenarios = {
  async 'a prefix of one\'s own'() {
    const socket = new PartySocket({ ...place, WebSocket: WS })
    const hello = await new Inbox(socket).hello()
    assert.equal(hello.id, socket.id)
    assert.equal((await fetch(`${url}/parties/room/a`)).status, 418)
    assert.equal((await PartySocket.fetch({ ...place, party: 'nobody' })).status, 400)
  },

  // The room first hears of a WebSocket.
  async 'props in OnStart'() {
    const hello = await new Inbox(new PartySocket({ ...place, WebSocket: WS })).hello()
    assert.equal(hello.started, 'props')
  },

  async 'a stream'() {
    const stop = new AbortController()
    const got = await PartySocket.fetch(place, { signal: stop.signal })
    assert.equal(got.status, 200)
    assert.equal(got.headers.get('access-control-allow-origin'), '*')
    assert.equal(got.headers.get('content-type'), 'text/event-stream')
    const { value } = await got.body.pipeThrough(new TextDecoderStream()).getReader().read()
    assert.equal(value, 'data: props\n\n')
    stop.abort()
  },
}

await scenarios[scenario]()
process.exit(0) // sockets are still open
