// Uses locks in a process whose timers were replaced, and prints what came of it. Arguments: how they were replaced, and the
// store. It must end by itself.
import { once } from 'node:events'
import FakeTimers from '@sinonjs/fake-timers'

const [how = '', url = 'memory:'] = process.argv.slice(2)

/** What fake timers replace by default, without what a connection needs to be made. */
const ALL_BUT_TICKS = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate']

/** @type {Record<string, () => unknown>} */
const replace = {
  'numbers, as in jsdom': () => {
    const { setTimeout, setInterval } = globalThis
    // @ts-expect-error: as jsdom does, with numbers
    globalThis.setTimeout = (/** @type {Parameters<typeof setTimeout>} */ ...args) => Number(setTimeout(...args))
    // @ts-expect-error: as jsdom does, with numbers
    globalThis.setInterval = (/** @type {Parameters<typeof setInterval>} */ ...args) => Number(setInterval(...args))
  },
  all: () => FakeTimers.install(),
  'all but ticks': () =>
    FakeTimers.install({
      toFake: /** @type {FakeTimers.FakeMethod[]} */ ([...ALL_BUT_TICKS, 'Date', 'performance', 'hrtime']),
    }),
  'timers alone': () => FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout'] }),
  'Date alone': () => FakeTimers.install({ toFake: ['Date'] }),
  'performance alone': () => FakeTimers.install({ toFake: ['performance'] }),
  ticks: () => FakeTimers.install({ toFake: ['nextTick', 'queueMicrotask'] }),
  'Date set to another year': () => FakeTimers.install({ toFake: ['Date'], now: Date.UTC(2040, 0, 1) }),
  'Date set back': () => FakeTimers.install({ toFake: ['Date'], now: 0 }),
}

const isFirst = how.endsWith(', before soloist is loaded')
const act = replace[how.replace(', before soloist is loaded', '')]
if (act === undefined) throw new Error(`how: ${how}`)
if (isFirst) act()
const { connect } = await import('soloist')
const { redisBackend } = await import('soloist/redis')
const { Redis } = await import('ioredis')

/** @type {() => unknown} */
let end = () => {}
/** @param {string} target */
async function open(target) {
  if (!target.startsWith('redis:')) return connect(target)
  const client = new Redis(target)
  end = () => client.disconnect()
  await once(client, 'ready')
  return connect(redisBackend(client, { prefix: `faked-${process.pid}:` }))
}

const solo = await open(url)
if (url.startsWith('redis:')) {
  // Its connection for pushes is made now.
  const held = await solo.lock('first')
  const next = solo.lock('first')
  await once(solo, 'waiting')
  await held.release()
  await (await next).release()
}
if (!isFirst) act()
process.on('unhandledRejection', error => console.log('unhandled rejection', error))

/** @type {string[]} */
const events = []
solo.on('waiting', () => events.push('waiting'))
const held = await solo.lock('a', { ttlMs: 6_000 })
const soon = () => solo.lock('a', { waitMs: 100 }).catch(error => error.code)
console.log('timed out:', await soon())
const waiting = solo.lock('a')
const expiry = async () => (await solo.inspect('a'))?.holders[0]?.expiresAtMs ?? 0
const before = await expiry()
// Redis tells what is left, so its end is known to a millisecond or two.
while ((await expiry()) < before + 1_000) await soon()
console.log('renewed:', true)
held.assertValid()
await held.release()
const next = await waiting
console.log('handed over:', (await solo.inspect('a'))?.holders[0]?.owner === next.owner)
// Nobody releases this one.
await solo.jobs.take('job:left:v1:0', 'nobody', { ttlMs: 300 })
const taken = await solo.lock('job:left:v1:0', { waitMs: 5_000 })
console.log('runs out:', (await solo.inspect('job:left:v1:0'))?.holders[0]?.owner === taken.owner)
console.log('by the clock:', next.expiresAt.getTime() > next.acquiredAt.getTime())
console.log('events:', events.length > 1)
await taken.release()
await next.release()
await solo.close()
end()
