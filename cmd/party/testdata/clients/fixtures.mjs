// partysocket against the example servers: `node fixtures.mjs URL NAME`.
import assert from 'node:assert/strict'
import PartySocket from 'partysocket'
import WS from 'ws'
import { Inbox, host, sync, url, waitingFor } from './lib.mjs'

function open(options) {
  const socket = new PartySocket({ host, WebSocket: WS, minReconnectionDelay: 10, ...options })
  socket.binaryType = 'arraybuffer'
  return { socket, inbox: new Inbox(socket) }
}

const fixtures = {
  async chat() {
    const join = async name => {
      const c = open({ party: 'chat', room: 'lobby', query: { name } })
      await c.inbox.next('open')
      c.welcome = await c.inbox.json()
      return c
    }
    const ada = await join('Ada')
    const bob = await join('Bob')
    assert.deepEqual(bob.welcome.people.map(p => p.name), ['Ada', 'Bob'])
    assert.deepEqual(await ada.inbox.json(), { type: 'join', id: bob.socket.id, name: 'Bob' })
    ada.socket.send('hello')
    const said = await bob.inbox.json()
    assert.deepEqual([said.type, said.id, said.from, said.text], ['message', ada.socket.id, 'Ada', 'hello'])

    // Whoever reconnects has not left, or has come back.
    ada.socket.reconnect()
    await ada.inbox.next('close')
    await ada.inbox.next('open')
    assert.equal((await ada.inbox.json()).id, ada.socket.id)
    bob.socket.send('{"type":"message","text":"again"}')
    assert.equal((await ada.inbox.json()).text, 'again')

    const page = await fetch(url)
    assert.match(await page.text(), /<title>Chat<\/title>/)
  },

  async cursors() {
    const join = async team => {
      const c = open({ party: 'cursors', room: 'board', query: { team } })
      await c.inbox.next('open')
      await c.inbox.data() // who one is
      return c
    }
    // What is not asked for here is who comes and goes.
    const text = async (c, holds) => {
      for (;;) {
        const m = await c.inbox.data()
        if (typeof m !== 'string') throw new Error('a pointer instead of text')
        if (m.includes(holds)) return m
      }
    }
    const pointer = async c => {
      for (;;) {
        const m = await c.inbox.data()
        if (typeof m !== 'string') return new Uint8Array(m)
        if (m.includes('over here')) throw new Error('text for the other team')
      }
    }
    const red = await join('red'), blue = await join('blue'), mate = await join('red')
    const at = Uint8Array.of(0x12, 0x34, 0xff, 0x00)
    red.socket.send(at)
    const [a, b] = [await pointer(blue), await pointer(mate)]
    assert.deepEqual(a.slice(-4), at)
    assert.deepEqual(a, b)
    assert.ok(a.length > 4, 'the number of the player stands before the position')
    red.socket.send('over here') // to the team only
    await text(mate, 'over here')
    mate.socket.send(at)
    assert.notDeepEqual(await pointer(blue), a) // another player's
  },

  async counter() {
    const room = { host, party: 'counter', room: 'visits' }
    const following = new AbortController()
    waitingFor('server-sent events')
    const events = await PartySocket.fetch({ ...room, path: 'events' }, { signal: following.signal })
    assert.equal(events.status, 200)
    const reader = events.body.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    const value = async () => {
      while (!text.includes('\n\n')) {
        const { value, done } = await reader.read()
        if (done) throw new Error('the stream ended')
        text += value
      }
      const at = text.indexOf('\n\n') + 2
      const event = text.slice(0, at)
      text = text.slice(at)
      return event
    }
    assert.equal(await value(), 'data: 0\n\n')
    for (let i = 1; i <= 3; i++) {
      const post = await PartySocket.fetch(room, { method: 'POST' }) // while the stream is open
      assert.equal(post.status, 200)
      assert.equal(await value(), `data: ${i}\n\n`)
    }
    following.abort()
    const total = await PartySocket.fetch({ host, party: 'total', room: 'all' })
    assert.match(await total.text(), /\b3\b/)
  },

  async lobby() {
    const general = { host, party: 'room', room: 'general' }
    const refused = await PartySocket.fetch(general)
    assert.equal(refused.status, 401)
    assert.equal(refused.headers.get('access-control-allow-origin'), '*')
    const preflight = await PartySocket.fetch(general, { method: 'OPTIONS' })
    assert.ok(preflight.ok)
    assert.match(preflight.headers.get('access-control-allow-headers'), /Authorization/)
    const backstage = await PartySocket.fetch({ ...general, room: 'backstage' }, { headers: { Authorization: 'Bearer demo-bob' } })
    assert.equal(backstage.status, 403)

    // A client without a token is not let in; with one it is, at the next attempt.
    const tokens = ['stale', 'demo-ada']
    const ada = open({ ...general, query: async () => ({ token: tokens.shift() }) })
    await ada.inbox.failedAttempts()
    await ada.inbox.next('open')
    const welcome = await ada.inbox.json()
    assert.deepEqual([welcome.type, welcome.name, welcome.role, welcome.title], ['welcome', 'Ada', 'host', 'General'])
    assert.deepEqual(tokens, [])

    const bob = open({ ...general, query: { token: 'demo-bob' }, shouldReconnectOnClose: () => false })
    await bob.inbox.next('open')
    assert.equal((await bob.inbox.json()).people.length, 2)
    assert.equal((await ada.inbox.json()).type, 'join')
    const here = await PartySocket.fetch(general, { headers: { Authorization: 'Bearer demo-carol' } })
    assert.deepEqual((await here.json()).map(p => p.name), ['Ada', 'Bob'])
    ada.socket.send('/kick Bob')
    assert.deepEqual(await bob.inbox.next('close'), { kind: 'close', code: 4004, reason: 'removed by Ada', clean: true })
    assert.equal((await ada.inbox.json()).type, 'leave')

    const rooms = await (await fetch(`${url}/api/rooms`)).json()
    assert.equal(rooms.find(r => r.name === 'general').people, 1)
  },

  // What a client has seen is there after kill -9.
  async todo() {
    const { socket, inbox } = open({ party: 'todo', room: 'shopping' })
    const list = async () => (await inbox.json()).map(i => `${i.text}${i.done ? ' done' : ''}`)
    await inbox.next('open')
    assert.deepEqual(await list(), [])
    const say = m => socket.send(JSON.stringify(m))
    say({ do: 'add', text: 'milk' })
    assert.deepEqual(await list(), ['milk'])
    say({ do: 'add', text: 'bread' })
    assert.deepEqual(await list(), ['milk', 'bread'])
    say({ do: 'done', id: 1 })
    assert.deepEqual(await list(), ['milk done', 'bread'])
    await sync('kill')
    assert.equal((await inbox.next('close')).code, 1006)
    say({ do: 'add', text: 'tea' })
    await sync('start')
    await inbox.failedAttempts()
    await inbox.next('open')
    assert.deepEqual(await list(), ['milk done', 'bread'])
    assert.deepEqual(await list(), ['milk done', 'bread', 'tea'])
  },

  async reminder() {
    const place = { host, party: 'reminder', room: 'ada' }
    const { inbox } = open(place)
    await inbox.next('open')
    await sync('hibernated') // an alarm wakes the room
    const post = await PartySocket.fetch({ ...place, query: { in: '300ms' } }, { method: 'POST', body: 'tea' })
    assert.equal(post.status, 201)
    assert.equal((await inbox.json()).text, 'tea')
    assert.deepEqual(await (await PartySocket.fetch(place)).json(), [])
  },
}

await fixtures[process.argv[3]]()
process.exit(0) // sockets are still open
