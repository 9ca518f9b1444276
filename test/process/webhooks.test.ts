import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createEndpoint, type Delivery, signatureOf } from '../../examples/webhooks/endpoint.js'
import { judge } from '../../examples/webhooks/judge.js'
import type { RunRecord } from '../../examples/webhooks/run.js'
import type { Entry } from '../../examples/webhooks/store.js'
import { Program, timeout } from './program.js'

const MAIN = fileURLToPath(new URL('../../examples/webhooks/main.js', import.meta.url))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soloist-webhooks-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

// Its own Redis makes its files here.
const example = (...args: string[]) => new Program(MAIN, args, { TMPDIR: folder })

test('every account is synced to its last state, although a worker is killed', { timeout }, async () => {
  const file = join(folder, 'record.json')
  await using program = example('--record', file, '--deliveries', '300')
  const { exitCode, printed } = await program.ended
  expect(printed).toContain('every target holds the last delivered state')
  expect(exitCode).toBe(0)

  const record: RunRecord = JSON.parse(readFileSync(file, 'utf8'))
  expect(record.problems).toEqual([])
  expect(record.deliveries).toBe(300)
  const { accounts, runs, statuses, kill } = record
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
  expect(sum(accounts.map(({ deliveries }) => deliveries))).toBe(300)
  for (const { deliveries, delivered, synced } of accounts) {
    // Versions count the changes of an account, so the last one is their number.
    expect(delivered).toBe(deliveries)
    expect(synced).toBe(delivered)
  }
  // Some came twice, and each that came was answered or sent again.
  const received = sum(accounts.map(account => account.received))
  expect(received).toBeGreaterThan(300)
  expect(record.requests).toBeGreaterThanOrEqual(received)
  expect(sum(Object.values(statuses))).toBe(received)
  expect(statuses.deferred).toBeGreaterThan(0)
  expect(runs.completed).toBeLessThan(300 / 2)
  expect(sum(accounts.map(account => account.runs))).toBe(runs.completed + runs.failed + runs.killed)
  expect(kill?.worker).toMatch(/^worker \d$/)
  expect(kill?.accounts).toHaveLength(runs.killed)
  for (const account of kill?.accounts ?? []) {
    expect(printed).toMatch(new RegExp(`${account} is synced, \\d+\\.\\d s after the kill`))
  }
})

test('Ctrl-C ends all processes, Redis included', { timeout }, async () => {
  await using program = example('--record', join(folder, 'record.json'))
  await program.until(() => / answered, [1-9]/.test(program.printed))
  const port = Number(/redis-server on port (\d+)/.exec(program.printed)?.[1])
  program.signal('SIGINT')
  const { exitCode, printed } = await program.ended
  expect(exitCode).toBe(130)
  // Ctrl-C ends Redis as well, perhaps before them: then they may say that it is gone.
  expect(printed).toMatch(/^interrupted: all processes have ended$/m)
  expect(existsSync(join(folder, 'record.json'))).toBe(false)
  expect(() => process.kill(-program.pid, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }))
  const socket = connect(port, '127.0.0.1')
  const [error] = await once(socket, 'error')
  expect(error).toMatchObject({ code: 'ECONNREFUSED' })
})

test.each([
  ['an unknown option', ['--bogus']],
  ['too few deliveries', ['--deliveries', '99']],
  ['a number that is none', ['--deliveries', '1e3']],
  ['a superfluous argument', ['more']],
])('%s gets one line and exit code 2', async (_, args) => {
  await using program = example(...args)
  const { exitCode, printed } = await program.ended
  expect(printed).toMatch(/^webhooks: .+\n$/)
  expect(exitCode).toBe(2)
})

describe('the endpoint', () => {
  const secret = 'shared'
  const delivery: Delivery = { id: 'evt_1', account: 'acct_1', version: 1, plan: 'team', seats: 3 }
  let endpoint: Server
  let accepted: Delivery[]
  let url: string
  beforeEach(async () => {
    accepted = []
    endpoint = createEndpoint(secret, async taken => {
      if (taken.plan === 'broken') throw new Error('the store is down')
      accepted.push(taken)
      return { taken: accepted.length }
    }).listen(0, '127.0.0.1')
    await once(endpoint, 'listening')
    url = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}`
  })
  afterEach(async () => {
    endpoint.close()
    endpoint.closeAllConnections()
    await once(endpoint, 'close')
  })

  const post = async (body: string, { path = '/webhooks', signature = signatureOf(secret, body) } = {}) => {
    const response = await fetch(`${url}${path}`, { method: 'POST', body, headers: { 'x-signature': signature } })
    return { status: response.status, body: await response.json() }
  }

  test('answers a signed delivery when it is accepted, also when it comes again', async () => {
    const body = JSON.stringify(delivery)
    expect(await post(body)).toEqual({ status: 202, body: { taken: 1 } })
    expect(await post(body)).toEqual({ status: 202, body: { taken: 2 } })
    expect(accepted).toEqual([delivery, delivery])
  })

  test('asks the sender to send again what could not be accepted', async () => {
    const noted = vi.spyOn(console, 'error').mockImplementation(() => {})
    expect(await post(JSON.stringify({ ...delivery, plan: 'broken' }))).toMatchObject({ status: 503 })
    expect(noted).toHaveBeenCalledWith(expect.objectContaining({ message: 'the store is down' }))
    noted.mockRestore()
  })

  test('refuses what is no delivery', async () => {
    const good = JSON.stringify(delivery)
    expect(await post(good, { signature: signatureOf('another', good) })).toMatchObject({ status: 401 })
    expect(await post(good, { signature: '' })).toMatchObject({ status: 401 })
    expect(await post(good, { path: '/' })).toMatchObject({ status: 404 })
    expect((await fetch(`${url}/webhooks`)).status).toBe(405)
    for (const body of ['{', 'null', '[]', JSON.stringify({ ...delivery, version: '1' })]) {
      expect(await post(body)).toMatchObject({ status: 400 })
    }
    expect(await post('x'.repeat(65 * 1024))).toMatchObject({ status: 413 })
    expect(accepted).toEqual([])
  })

  test('goes on after a sender that went away in the middle', async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write('POST /webhooks HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{')
    const [request] = await once(endpoint, 'request')
    socket.destroy()
    // Not `once` of node:events, which rejects for the error that comes before.
    await new Promise(resolve => request.once('close', resolve))
    expect(await post(JSON.stringify(delivery))).toMatchObject({ status: 202 })
  })
})

describe('the journal is judged', () => {
  const at = (step: Entry['step'], more: Partial<Entry>): Entry => ({ step, account: 'a', ...more })
  const received = at('received', { version: 2, delivery: 'd' })
  const start = (run: string, fence: number) => at('start', { run, fence, pid: fence })
  const end = (run: string, version: number) => at('end', { run, version })

  test.each<[string, readonly Entry[], object]>([
    ['covered', [received, start('r', 1), end('r', 2)], { overlaps: [], uncovered: [], backwards: [] }],
    ['a run that began before', [start('r', 1), received, end('r', 2)], { uncovered: [expect.stringContaining('d')] }],
    ['an older version', [received, start('r', 1), end('r', 1)], { uncovered: [expect.any(String)] }],
    ['a run that failed', [received, start('r', 1), at('failed', { run: 'r' })], { uncovered: [expect.any(String)] }],
    [
      'two runs at a time',
      [received, start('r', 1), start('s', 2), end('r', 2), end('s', 2)],
      { overlaps: [expect.stringContaining('run s began during run r')] },
    ],
    [
      'a run after one that was killed',
      [received, start('r', 1), { step: 'killed', pid: 1 }, start('s', 2), end('s', 2)],
      { overlaps: [], uncovered: [], runs: { completed: 1, failed: 0, killed: 1 } },
    ],
    [
      'a lower fence',
      [start('r', 2), end('r', 1), start('s', 1), end('s', 1)],
      { backwards: [expect.stringContaining('run s has fence 1')] },
    ],
  ])('%s', (_, entries, judgement) => {
    expect(judge(entries)).toMatchObject(judgement)
  })
})
