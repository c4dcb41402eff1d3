// partysocket as published, against the server in testdata/server: one function
// a scenario. Each has a room of its own.
import assert from 'node:assert/strict'
import PartySocket from 'partysocket'
import WS from 'ws'
import { Inbox, host, sync, url } from './lib.mjs'

const scenario = process.argv[3]
const soon = { minReconnectionDelay: 10 }

function open(options = {}) {
  const socket = new PartySocket({ host, party: 'test', room: scenario, WebSocket: WS, ...options })
  return { socket, inbox: new Inbox(socket) }
}

// A client to which the room tells who goes.
async function watcher() {
  const w = open({ id: 'watcher' })
  await w.inbox.hello()
  return w.inbox
}

const scenarios = {
  async 'id is kept over a reconnect'() {
    const watch = await watcher()
    const { socket, inbox } = open()
    const first = await inbox.hello()
    assert.equal(first.id, socket.id)
    assert.deepEqual(first.tags, [socket.id])
    assert.equal(first.room, encodeURIComponent(scenario)) // names stay as the URL has them
    assert.equal(new URL(first.uri).searchParams.get('_pk'), socket.id)

    socket.reconnect()
    assert.equal((await inbox.next('close')).code, 1000)
    assert.equal((await inbox.hello()).id, socket.id)
    assert.deepEqual(await watch.json(), { type: 'closed', id: socket.id, code: 1000, reason: '', clean: true })

    socket.reconnect(4100, 'moving')
    assert.equal((await inbox.next('close')).code, 4100)
    assert.equal((await inbox.hello()).id, socket.id)
    assert.deepEqual(await watch.json(), { type: 'closed', id: socket.id, code: 4100, reason: 'moving', clean: true })

    socket.send('still here')
    assert.equal(await inbox.data(), 'still here')
    console.log(`id ${socket.id}`)
  },

  async 'text and binary both ways'() {
    const { socket, inbox } = open()
    await inbox.hello()
    for (const text of ['hello', '', 'ünïcode 🎈 \u0000', 'x'.repeat(1 << 20), '{"type":"hello"}']) {
      assert.equal(socket.send(text), true)
      assert.equal(await inbox.data(), text)
    }

    const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i)
    const large = new Uint8Array(1 << 20).fill(7)
    for (const b of [bytes, new Uint8Array(0), large]) {
      socket.binaryType = 'arraybuffer'
      socket.send(b)
      const got = await inbox.data()
      assert.ok(got instanceof ArrayBuffer)
      assert.deepEqual(new Uint8Array(got), b)

      socket.binaryType = 'blob' // the default
      socket.send(b.buffer)
      const blob = await inbox.data()
      assert.ok(blob instanceof Blob)
      assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), b)
    }

    // Listeners get copies of events.
    const heard = new Promise(resolve => socket.addEventListener('message', e => resolve(e.data), { once: true }))
    socket.send('listen')
    assert.equal(await heard, 'listen')
    await inbox.data()

    // Order, also of many.
    for (let i = 0; i < 2000; i++) socket.send(i % 3 ? `m${i}` : Uint8Array.of(i & 255, i >> 8))
    for (let i = 0; i < 2000; i++) {
      const got = await inbox.data()
      if (i % 3) assert.equal(got, `m${i}`)
      else assert.deepEqual(new Uint8Array(await got.arrayBuffer()), Uint8Array.of(i & 255, i >> 8))
    }
  },

  async 'broadcast reaches the others'() {
    const all = [open(), open(), open({ party: 'test', room: scenario, id: 'third' })]
    for (const c of all) await c.inbox.hello()
    all[0].socket.send('tell news')
    for (const c of all) assert.equal(await c.inbox.data(), 'news')
    const other = open({ room: 'another' })
    await other.inbox.hello()
    all[0].socket.send('tell more')
    for (const c of all) assert.equal(await c.inbox.data(), 'more')
    other.inbox.none()
  },

  async 'query parameters'() {
    const fixed = open({ query: { name: 'Ada & co', empty: '', none: null, missing: undefined, sign: '+=%/ü' } })
    const q = (await fixed.inbox.hello()).query
    assert.deepEqual(q, { _pk: [fixed.socket.id], name: ['Ada & co'], empty: [''], sign: ['+=%/ü'] })

    let token = 0
    const asked = open({ query: async () => ({ token: `t${++token}` }) })
    assert.deepEqual((await asked.inbox.hello()).query.token, ['t1'])
    asked.socket.reconnect()
    await asked.inbox.next('close')
    const again = await asked.inbox.hello()
    assert.deepEqual(again.query, { _pk: [asked.socket.id], token: ['t2'] })
    assert.match(again.uri, /[?&]token=t2$/)

    const path = open({ path: 'deep/er', query: { a: '1' } })
    const uri = new URL((await path.inbox.hello()).uri)
    assert.equal(uri.pathname, `/parties/test/${encodeURIComponent(scenario)}/deep/er`)
    assert.equal(uri.host, host)

    const kebab = open({ party: 'my-server' })
    assert.equal((await kebab.inbox.hello()).class, 'MyServer')
    const base = open({ basePath: 'parties/my-server/by-base-path', room: undefined })
    assert.equal((await base.inbox.hello()).room, 'by-base-path')

    kebab.socket.updateProperties({ room: 'elsewhere' })
    kebab.socket.reconnect()
    await kebab.inbox.next('close')
    assert.equal((await kebab.inbox.hello()).room, 'elsewhere')
  },

  async 'PartySocket.fetch'() {
    const room = 'fetched'
    const get = await PartySocket.fetch({ host, party: 'test', room, path: 'a/b', query: { x: '1 2' } })
    assert.equal(get.status, 200)
    assert.equal(get.headers.get('x-room'), room)
    assert.deepEqual(await get.json(), {
      class: 'test', room, method: 'GET', path: `/parties/test/${room}/a/b`, query: { x: ['1 2'] }, body: '', header: '',
    })
    const post = await PartySocket.fetch({ host, party: 'my-server', room, query: async () => ({ late: 'yes' }) },
      { method: 'POST', body: 'ünïcode', headers: { 'X-Test': 'yes' } })
    assert.deepEqual(await post.json(), {
      class: 'MyServer', room, method: 'POST', path: `/parties/my-server/${room}`, query: { late: ['yes'] }, body: 'ünïcode', header: 'yes',
    })
    const unknown = await PartySocket.fetch({ host, party: 'nobody', room })
    assert.equal(unknown.status, 400)
    assert.equal((await unknown.text()).trim(), 'Invalid request')
    const main = await PartySocket.fetch({ host, room }) // partysocket's default party
    assert.equal(main.status, 400)
    const nowhere = await fetch(`${url}/nowhere`)
    assert.equal(nowhere.status, 404)
  },

  async 'headers of a stream'() {
    const stop = new AbortController()
    const got = await PartySocket.fetch({ host, party: 'test', room: 'stream', query: { stream: 'one' } }, { signal: stop.signal })
    assert.equal(got.status, 200)
    const { value } = await got.body.pipeThrough(new TextDecoderStream()).getReader().read()
    assert.equal(value, 'data: one\n\n')
    assert.equal(got.headers.get('content-type'), 'text/event-stream')
    stop.abort()
  },

  async 'close codes of the server'() {
    const never = { shouldReconnectOnClose: () => false }
    for (const [code, reason] of [[4001, 'bye'], [1000, ''], [3000, 'ünïcode'], [4999, 'x'.repeat(123)]]) {
      const { socket, inbox } = open(never)
      await inbox.hello()
      socket.send(`close ${code} ${reason}`)
      assert.deepEqual(await inbox.next('close'), { kind: 'close', code, reason, clean: true })
      assert.equal(socket.shouldReconnect, false)
    }
    const { socket, inbox } = open(never)
    await inbox.hello()
    socket.send('close 0')
    assert.deepEqual(await inbox.next('close'), { kind: 'close', code: 1005, reason: '', clean: true })

    // It does reconnect unless told not to, and then is the same client.
    const back = open(soon)
    await back.inbox.hello()
    back.socket.send('close 4001 bye')
    assert.equal((await back.inbox.next('close')).code, 4001)
    assert.equal((await back.inbox.hello()).id, back.socket.id)
  },

  async 'close codes of the client'() {
    const watch = await watcher()
    for (const [code, reason, want] of [[4001, 'bye', 4001], [1000, '', 1000], [undefined, undefined, 1005], [3999, 'x'.repeat(123), 3999]]) {
      const ws = new WS(`${url.replace('http', 'ws')}/parties/test/${encodeURIComponent(scenario)}?_pk=leaver`)
      const inbox = new Inbox(ws)
      await inbox.hello()
      const began = performance.now()
      ws.close(code, reason)
      assert.deepEqual(await inbox.next('close'), { kind: 'close', code: want, reason: reason ?? '', clean: true })
      const took = performance.now() - began
      assert.ok(took < 2000, `the handshake took ${took} ms: nobody answered, and ws gave up`)
      assert.deepEqual(await watch.json(), { type: 'closed', id: 'leaver', code: want, reason: reason ?? '', clean: true })
    }

    const ws = new WS(`${url.replace('http', 'ws')}/parties/test/${encodeURIComponent(scenario)}?_pk=dropper`)
    await new Inbox(ws).hello()
    ws.terminate()
    const closed = await watch.json()
    assert.deepEqual([closed.code, closed.clean], [1006, false])

    // partysocket's own close() says 1000 and does not come back.
    const { socket, inbox } = open()
    await inbox.hello()
    socket.close()
    assert.equal((await inbox.next('close')).code, 1000)
    assert.deepEqual(await watch.json(), { type: 'closed', id: socket.id, code: 1000, reason: '', clean: true })
  },

  // With the delays that partysocket has by itself.
  async 'abort and the queue'() {
    const { socket, inbox } = open()
    await inbox.hello()
    socket.send('count')
    assert.equal(await inbox.data(), '1')
    socket.send('abort reset')
    assert.deepEqual(await inbox.next('close'), { kind: 'close', code: 1006, reason: '', clean: false })
    for (const text of ['count', 'second', 'third']) assert.equal(socket.send(text), false)
    assert.equal((await inbox.hello()).id, socket.id)
    assert.equal(await inbox.data(), '1') // by a new instance
    assert.equal(await inbox.data(), 'second')
    assert.equal(await inbox.data(), 'third')
    console.log(`id ${socket.id}`)
  },

  async 'sent before it is open'() {
    const { socket, inbox } = open()
    for (let i = 0; i < 100; i++) assert.equal(socket.send(`early ${i}`), false)
    await inbox.hello()
    for (let i = 0; i < 100; i++) assert.equal(await inbox.data(), `early ${i}`)
  },

  async 'OnConnect fails'() {
    const { inbox } = open({ query: { refuse: 'not today' }, shouldReconnectOnClose: () => false })
    await inbox.next('open')
    const { error } = await inbox.json()
    assert.match(error, /not today/)
    assert.deepEqual(await inbox.next('close'),
      { kind: 'close', code: 1011, reason: 'Uncaught exception during session setup', clean: true })
  },

  async 'subprotocols'() {
    for (const [protocols, want] of [[['party.v1', 'party.v2'], 'party.v2'], [['party.v1'], 'party.v1'], ['party.v2', 'party.v2']]) {
      const { socket, inbox } = open({ protocols })
      await inbox.hello()
      assert.equal(socket.protocol, want)
    }
  },

  async 'a hook that fails costs nobody anything'() {
    const { socket, inbox } = open()
    await inbox.hello()
    socket.send('fail on purpose')
    socket.send('panic on purpose')
    socket.send('count')
    assert.equal(await inbox.data(), '3')
  },

  async 'hibernation'() {
    const { socket, inbox } = open()
    await inbox.hello()
    for (let i = 0; i < 3; i++) {
      socket.send('count')
      assert.equal(await inbox.data(), '1')
      await sync('hibernated')
    }
    inbox.none()
    socket.send('close 4001 bye')
    assert.equal((await inbox.next('close')).code, 4001)
  },

  // os.Exit in a hook: the class that hibernates keeps its connections.
  async 'crash'() {
    const sleepy = open(), awake = open({ party: 'my-server', ...soon })
    await sleepy.inbox.hello()
    await awake.inbox.hello()
    awake.socket.send('exit')
    assert.equal((await awake.inbox.next('close')).code, 1006)
    awake.socket.send('count')
    assert.equal((await awake.inbox.hello()).id, awake.socket.id)
    assert.equal(await awake.inbox.data(), '1')
    sleepy.inbox.none()
    sleepy.socket.send('count')
    assert.equal(await sleepy.inbox.data(), '1')
  },

  // The whole tool ends and is started again at the same port.
  async 'restart'() {
    const { socket, inbox } = open(soon)
    await inbox.hello()
    await sync('stop')
    const closed = await inbox.next('close')
    console.log(`closed ${closed.code}`)
    for (const text of ['one', 'two']) assert.equal(socket.send(text), false)
    await sync('start')
    await inbox.failedAttempts()
    assert.equal((await inbox.hello()).id, socket.id)
    assert.equal(await inbox.data(), 'one')
    assert.equal(await inbox.data(), 'two')
  },
}

const run = scenarios[scenario]
if (!run) throw new Error(`no scenario ${scenario}; there are ${Object.keys(scenarios).join(', ')}`)
await run()
process.exit(0) // sockets are still open
