// Two tabs of the chat example's page in Chromium, then partysocket in the
// browser. Run as `node browser.mjs URL CHROMIUM`.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'
import { sync, url, waitingFor } from './lib.mjs'

const browser = await chromium.launch({
  executablePath: process.argv[3],
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
})
try {
  const context = await browser.newContext()
  context.setDefaultTimeout(15_000)
  await chat(context)
  await partysocket(context)
} finally {
  await browser.close()
}
process.exit(0)

async function chat(context) {
  const tabs = []
  const errors = []
  for (let i = 0; i < 2; i++) {
    const page = await context.newPage()
    page.on('pageerror', e => errors.push(e))
    page.on('websocket', ws => ws.on('close', () => errors.push(new Error('a page lost its connection'))))
    waitingFor('the page to connect')
    await page.goto(`${url}/?room=browser`)
    await page.getByRole('status').getByText('connected', { exact: true }).waitFor()
    tabs.push(page)
  }
  const say = async (page, text) => {
    const box = page.getByRole('textbox', { name: 'Message' })
    await box.fill(text)
    await box.press('Enter')
  }
  const sees = async (page, text) => {
    waitingFor(`a tab to show ${text}`)
    await page.getByRole('log').getByText(text, { exact: true }).waitFor()
  }
  await say(tabs[0], 'hello from the first')
  await sees(tabs[1], 'hello from the first')
  await say(tabs[1], 'hello from the second')
  await sees(tabs[0], 'hello from the second')
  assert.deepEqual(errors, [])

  await sync('hibernated')
  await say(tabs[0], 'are you awake?')
  await sees(tabs[1], 'are you awake?')
  await sync('hibernated')
  await say(tabs[1], 'I am now')
  await sees(tabs[0], 'I am now')
  assert.deepEqual(errors, [])
  await tabs[1].getByRole('list', { name: 'People in this room' }).getByRole('listitem').nth(1).waitFor()

  // Nobody pulls the page's plug by closing its tab.
  await tabs[1].close()
  waitingFor('the first tab to notice')
  await tabs[0].getByText('One person is here').waitFor()
  await tabs[0].close()
}

// The browser closes as its WebSocket does, which ws in Node only imitates.
async function partysocket(context) {
  const page = await context.newPage()
  await page.route('**/partysocket/*.js', async route => {
    const name = new URL(route.request().url()).pathname.split('/').pop()
    const body = await readFile(new URL(`node_modules/partysocket/dist/${name}`, import.meta.url))
    await route.fulfill({ contentType: 'text/javascript', body })
  })
  await page.goto(`${url}/?room=other`)
  waitingFor('partysocket in the page')
  const got = await page.evaluate(async () => {
    const { default: PartySocket } = await import('/partysocket/index.js')
    const socket = new PartySocket({ host: location.host, party: 'chat', room: 'page', query: { name: 'Ada' } })
    const message = () => new Promise(resolve => socket.addEventListener('message', e => resolve(JSON.parse(e.data)), { once: true }))
    const first = await message()
    const again = message()
    socket.reconnect()
    const second = await again
    const reached = await PartySocket.fetch({ host: location.host, party: 'chat', room: 'page' })

    const raw = new WebSocket(`ws://${location.host}/parties/chat/page?name=Raw`)
    await new Promise(resolve => { raw.onopen = resolve })
    const began = performance.now()
    const closed = await new Promise(resolve => { raw.onclose = resolve; raw.close() })
    return {
      id: socket.id, first, second, status: reached.status,
      closed: [closed.code, closed.reason, closed.wasClean], took: performance.now() - began,
    }
  })
  assert.equal(got.first.type, 'welcome')
  assert.equal(got.first.id, got.id)
  assert.equal(got.first.name, 'Ada')
  assert.equal(got.second.id, got.id)
  assert.equal(got.status, 404) // the chat has no OnRequest
  assert.deepEqual(got.closed, [1005, '', true])
  assert.ok(got.took < 2000, `a close without a code took ${got.took} ms`)
}
