import { randomUUID } from 'node:crypto'
import { type Backend, connect, MemoryStore, memoryBackend, type Soloist, type Step } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { expect, test } from 'vitest'
import { Journal } from './support.js'

/** So that no renewal and no further question is due while calls are counted. */
const OPTIONS = { uniqueOn: () => 1, ttlMs: 600_000 }

type Counted = Step['kind'] | 'watch' | 'inspect'

/** The backend, with its steps and other calls counted. */
function counting(backend: Backend): { backend: Backend; calls: Record<Counted, number> } {
  const calls = { acquire: 0, renew: 0, release: 0, trigger: 0, begin: 0, watch: 0, inspect: 0 }
  const counted = <T extends object>(object: T, note: (name: string | symbol, args: unknown[]) => void): T =>
    new Proxy(object, {
      get(target, name) {
        const member = Reflect.get(target, name)
        if (name === 'results') return counted(member as object, () => (calls.watch += 1))
        if (typeof member !== 'function') return member
        return (...args: unknown[]) => {
          note(name, args)
          return member.apply(target, args)
        }
      },
    })
  const note = (name: string | symbol, [first]: unknown[]) => {
    if (name === 'inspect') calls.inspect += 1
    else if (name === 'run') for (const { kind } of first as readonly Step[]) calls[kind] += 1
  }
  return { backend: counted(backend, note), calls }
}

const memory = new MemoryStore()
const prefix = `job-${randomUUID()}:`
test.each<[string, () => Backend]>([
  ['memory', () => memoryBackend({ store: memory })],
  ['redis', () => redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix })],
])('a thousand joiners in two clients cost one run, and a few calls in each client, on %s', async (_, open) => {
  const journal = new Journal<number, { n: number }>()
  const clients: { solo: Soloist; calls: Record<Counted, number> }[] = [1, 2, 3].map(() => {
    const { backend, calls } = counting(open())
    return { solo: connect(backend), calls }
  })
  const [first, ...others] = clients.map(({ solo }, i) =>
    solo.job(
      'crowd',
      OPTIONS,
      journal.handler(`${i}`, n => ({ n })),
    ),
  )
  const own = first?.(0)
  await journal.started(1)
  const joined = Array.from({ length: 1_000 }, (_, i) => others[i % 2]?.trigger(i + 1))
  const outcomes = await Promise.all(joined)
  journal.open()
  const results = await Promise.all(outcomes.map(outcome => outcome?.result()))

  expect(await own).toEqual({ n: 0 })
  expect(results).toEqual(Array(1_000).fill({ n: 0 }))
  expect(journal.runs.length).toBe(1)
  const id = journal.runs[0]?.id
  expect(new Set(outcomes.map(outcome => `${outcome?.status} ${outcome?.id} ${outcome?.state}`))).toEqual(
    new Set([`duplicate ${id} running`]),
  )
  for (const { calls } of clients.slice(1)) {
    // The first one asks, and the other 499 come while it does: they share the second question. One watch: asked once,
    // and again when the end is pushed, unless it was over by the first.
    expect(calls).toMatchObject({ acquire: 0, renew: 0, release: 0, trigger: 2, begin: 0, inspect: 0 })
    expect(calls.watch).toBeLessThanOrEqual(2)
  }
  // In the client that runs it, joining costs nothing.
  const before = { ...clients[0]?.calls }
  const again = new Journal<number, number>()
  const here = clients[0]?.solo.job(
    'here',
    OPTIONS,
    again.handler('0', n => n),
  )
  const crowd = Array.from({ length: 1_000 }, (_, i) => here?.(i))
  await again.started(1)
  again.open()
  expect(await Promise.all(crowd)).toEqual(Array(1_000).fill(0))
  expect(clients[0]?.calls).toEqual({
    ...before,
    trigger: Number(before.trigger) + 1,
    release: Number(before.release) + 1,
  })
  await Promise.all(clients.map(({ solo }) => solo.close()))
})
