import { createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { acquire, begin, type PortClient, portClient, release, trigger } from './support.js'

// The lock side within a script of somebody else's: what it grants is told to that script, in the same step, and any client
// goes on with it by steps of its own.

const url = String(process.env.SOLOIST_TEST_REDIS)
const admin = new Redis(url)
let prefix: string
const opened: PortClient[] = []
beforeEach(() => {
  prefix = `${randomUUID()}:`
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map(({ backend }) => backend.close()))
})
afterAll(() => admin.disconnect())

const folder = new URL('../../src/backends/redis/scripts/', import.meta.url)
const part = (name: string): string =>
  readFileSync(new URL(name, folder), 'utf8').replace(/^-- @include (\S+)\n/gm, (_, other: string) => part(other))

/** Runs this within a script with an open lock `l` of the owner. */
const around = (body: string) => `
local call, try = redis.call, redis.pcall
local mark_key, channels, client = KEYS[1], ARGV[1], ''
local hears, on_cluster, grant_ms, alive_ms, idle_ms, long_at_most = '0', '0', 5000, 12000, 60000, 32
local handed, work, guard_ms = {}, 0, nil
${part('_time.lua')}${part('_fences.lua')}${part('_engine.lua')}
local owner = ARGV[2]
local l = open_lock(KEYS[2], KEYS[3], KEYS[4], owner)
${body}
settle(l)
mark()
return { cjson.encode({ letter, told or {} }), cjson.encode(handed) }
`
const TRIGGER = around(`
local claim = { owner = owner, mode = 'x', limit = '', ttl = '0', client = client, noted = true, durable = true }
local t = { running = 'f', pending = 'f', note = ARGV[3], begins = true, keep = '60000' }
local letter, told = trigger(l, 1, claim, t, left_key(l, owner))
`)
const BEGIN = around('local letter, told = begin(l, 1, owner, left_key(l, owner))')
const RELEASE = around(
  "local letter, told = release(l, 1, owner, { ms = '60000', text = ARGV[3], key = left_key(l, owner) })",
)

async function run(script: string, owner: string, text = '') {
  const lock = `${prefix}lock`
  const reply = await admin.eval(
    ...([script, 4, `{${prefix}}:f2`, lock, `{${lock}}:q2`, `{${lock}}:d2`, `${prefix}grants:`, owner, text] as const),
  )
  const [step, handed] = (reply as string[]).map(part => JSON.parse(part) as unknown)
  return { step, handed }
}

const seenNobody = ['', '', '', '', '', '']
const fence = expect.stringMatching(/^\d{16}$/)

test('a script of somebody else triggers, begins and releases a claim, and learns which durable ones it granted', async () => {
  const a = portClient(url, prefix)
  opened.push(a)
  expect(await run(TRIGGER, 'first', 'one')).toEqual({ step: ['t', [fence, ...seenNobody, '1']], handed: {} })
  expect(await run(BEGIN, 'first')).toEqual({ step: ['B', ['first', 'one']], handed: {} })
  const age = expect.stringMatching(/^\d+$/)
  expect(await run(TRIGGER, 'second', 'two')).toEqual({
    step: ['q', ['first', '', fence, '0', 'first', age, '', '', '', '']],
    handed: {},
  })
  expect(await run(TRIGGER, 'third', 'three')).toEqual({
    step: ['m', ['second', 'first', age, 'second', age, '', '']],
    handed: {},
  })
  // A client adds to it, and waits behind it.
  const [other, waiting] = [a.claim('lock'), a.claim('lock')]
  expect((await a.run(trigger(other), acquire(waiting, { ticket: 'new' }))).steps).toMatchObject([
    ...[{ status: 'met', noted: 'second', seen: { running: { owner: 'first' }, pending: { owner: 'second' } } }],
    { status: 'busy', holder: 'first' },
  ])
  await a.hears()
  expect(await run(RELEASE, 'first', 'its result')).toEqual({ step: ['1', {}], handed: [1, 'second', fence] })
  expect(await a.backend.results?.watch({ name: 'lock', owner: 'first' })).toEqual({
    ...{ status: 'result', text: 'its result' },
  })
  const notes = ['second', 'two', 'third', 'three', other.owner, `of ${other.owner}`]
  expect(await run(BEGIN, 'second')).toEqual({ step: ['B', notes], handed: {} })
  expect((await a.run(begin({ ...waiting, owner: 'second' }))).steps).toMatchObject([{ status: 'begun' }])
  expect(await run(RELEASE, 'second')).toEqual({ step: ['1', {}], handed: {} })
  await a.pushed(waiting)
  await a.run(release(waiting))
  expect((await admin.keys(`*${prefix}*`)).filter(key => !/:[fr]2$/.test(key))).toEqual([])
})

test('what an owner leaves has the key under which a client looks for it', async () => {
  await run(TRIGGER, 'first')
  await run(RELEASE, 'first', 'text')
  const digest = createHash('sha1').update('first').digest('hex')
  expect(await admin.get(`{${prefix}lock}:${digest}:r2`)).toBe('text')
})
