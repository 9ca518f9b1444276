import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import type { Answer, Answers, Backend, Claim, LockState, Seen, SeenRun, Step, StoreEvent } from 'soloist'
import { MemoryStore, memoryBackend } from 'soloist'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { acquire, type PortClient, portClient, release, renewal } from './support.js'

// Random steps of all kinds, by three clients, on Redis and on the memory store: both answer the same, times and fences
// apart, and show the same lock.

let server: RedisServer
let admin: Redis
const clients: PortClient[] = []
const prefix = `${randomUUID()}:`
beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
  for (let i = 0; i < 3; i += 1) clients.push(portClient(server.url, prefix, `${i}`))
})
afterAll(async () => {
  await Promise.all(clients.map(({ backend }) => backend.close()))
  admin.disconnect()
  await server.stop()
})

/** Each client hears its pushes. */
async function listen() {
  for (const [i, client] of clients.entries()) {
    const other = clients[(i + 1) % 3] as PortClient
    const [held, waiting] = [other.claim('warm-up'), client.claim('warm-up')]
    await other.take(held)
    await client.queue(waiting)
    await client.hears()
    await client.release(waiting)
    await other.release(held)
  }
}

/** What is asked for a claim, and so by its client. */
const CLAIMS: ReadonlySet<string> = new Set(['trigger', 'acquire', 'beat', 'replace'])
const OWNERS = ['a', 'b', 'c', 'd', 'e', 'f']
const FAR_MS = 600_000
/** After this long without it, a push is missing. */
const HEARD_MS = 10_000
/** So short that it runs out at once. */
const ENDS_MS = 1

interface Action {
  readonly kind: 'trigger' | 'begin' | 'back' | 'release' | 'renew' | 'end' | 'acquire' | 'beat' | 'replace' | 'watch'
  readonly owner: number
  readonly other: number
  readonly actions: readonly ['meet' | 'wait' | 'follow' | 'displace', 'meet' | 'wait' | 'follow' | 'displace']
  readonly begins: boolean
  readonly note: boolean
  readonly debounce: null | 'now' | 'late'
  readonly without: boolean
}

const act = fc.constantFrom('meet', 'wait', 'follow', 'follow', 'follow', 'displace' as const)
const action: fc.Arbitrary<Action> = fc.record({
  kind: fc.constantFrom(
    ...([
      'trigger',
      'trigger',
      'trigger',
      'trigger',
      'trigger',
      'begin',
      'begin',
      'back',
      'release',
      'release',
    ] as const),
    ...(['renew', 'end', 'acquire', 'beat', 'beat', 'replace', 'watch'] as const),
  ),
  owner: fc.nat({ max: OWNERS.length - 1 }),
  other: fc.nat({ max: OWNERS.length - 1 }),
  actions: fc.tuple(act, act) as fc.Arbitrary<Action['actions']>,
  begins: fc.boolean(),
  note: fc.boolean(),
  debounce: fc.constantFrom(null, null, null, 'now', 'late' as const),
  without: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
})
const calls = fc.array(
  fc.record({
    client: fc.nat({ max: 2 }),
    // What a lease ends by is the last of a list.
    list: fc.array(action, { minLength: 1, maxLength: 6 }).map(list => {
      const end = list.findIndex(({ kind }) => kind === 'end')
      return end < 0 ? list : list.slice(0, end + 1)
    }),
  }),
  { minLength: 1, maxLength: 25 },
)

/** Grants what can be granted. On Redis neither a renewal nor a look at a claim does so, which the memory store grants by. */
const nothing = (name: string): Step => ({ kind: 'release', name, owner: 'nobody', result: null })

/** One store, and what is known of it only here. */
interface Side {
  readonly backends: readonly Backend[]
  readonly name: string
  /**
   * Of claims whose place nobody asked to take: it is not said who of two with one ticket is first. On Redis their owners'
   * names decide, elsewhere who had it first.
   */
  readonly tickets: Map<string, number>
}

function stepsOf({ name, tickets }: Side, list: readonly Action[], client: number, ids: readonly string[]): Step[] {
  const stepsFor = (one: Action): Step[] => {
    // A claim is of one client.
    if (CLAIMS.has(one.kind) && one.owner % 3 !== client) return []
    // Who acquires is not who triggers: core has new owners for each.
    const plain = one.kind === 'acquire' || one.kind === 'replace'
    const owner = `${ids[one.owner]}${plain ? '/plain' : ''}`
    const other = String(ids[one.other])
    // The terms of a claim are those of its owner.
    const shared = isShared(one)
    const durable = one.owner % 2 === 1
    const claim: Claim = {
      ...{ name, owner, mode: shared ? 'shared' : 'exclusive', limit: shared ? 2 : null },
      ...{ ttlMs: durable ? null : 60_000, meta: one.note ? 'why' : null, noted: true, durable: durable },
    }
    const { note, begins, debounce } = one
    switch (one.kind) {
      case 'trigger':
        return [
          {
            ...{ kind: 'trigger', claim, running: one.actions[0], pending: one.actions[1], begins, keepMs: FAR_MS },
            note: note ? `${owner}: its note ✓` : null,
            debounce: debounce && { waitMs: debounce === 'now' ? 0 : FAR_MS, maxWaitMs: FAR_MS },
            without: one.without && other !== owner ? other : null,
          },
        ]
      case 'begin':
        return [{ kind: 'begin', name, owner }]
      case 'back':
        return [{ kind: 'begin', name, owner, takesBack: other }]
      case 'release':
        return [release({ ...claim, owner: one.without ? `${owner}/plain` : owner }, null)]
      case 'renew':
        return [nothing(name), renewal(claim, 7)]
      case 'end':
        // A lease that runs out at once.
        return [nothing(name), renewal({ ...claim, ttlMs: ENDS_MS })]
      case 'beat':
        return [acquire(claim, { ticket: tickets.get(owner) ?? 'new' })]
      case 'acquire':
        return [acquire(claim, { ticket: one.begins ? 'new' : null })]
      case 'replace': {
        const replaces = one.debounce === 'now' ? `${other}/plain` : other
        tickets.delete(replaces)
        return [acquire(claim, { replaces, ticket: one.begins ? 'new' : null })]
      }
      case 'watch':
        return []
    }
  }
  return list.flatMap(one => stepsFor(one))
}

function isShared(one: Action): boolean {
  return one.owner >= 4
}

const about = (ms: number | null) => (ms === null ? null : Math.max(Math.round(ms / 20_000), 0))
const runSeen = (run: SeenRun | null) => run?.owner ?? null
const seenOf = ({ running, pending, waiting }: Seen) => [running, pending, waiting].map(runSeen)

/** An answer without what need not be the same. */
function told(answer: Answer, several: boolean): unknown {
  const seen = 'seen' in answer ? { seen: seenOf(answer.seen) } : {}
  switch (answer.status) {
    case 'granted':
      return { status: 'granted', ...seen }
    case 'held':
      return { status: 'held' }
    case 'busy': {
      const { holder, retryAfterMs, ticket, requeued } = answer
      const some = several && holder !== null ? 'some' : holder
      return { status: 'busy', holder: some, retry: about(retryAfterMs), queued: ticket !== null, requeued, ...seen }
    }
    case 'met':
      return { status: 'met', noted: answer.noted, ...seen }
    case 'fault':
      throw answer.error
    default:
      return answer
  }
}

const state = (one: LockState | null) =>
  one && {
    holding: one.holding,
    holders: one.holders.map(({ owner, mode }) => `${owner} ${mode}`).toSorted(),
    pending: one.pending && {
      ...one.pending,
      notBeforeMs: about(one.pending.notBeforeMs && one.pending.notBeforeMs - one.atMs),
    },
    waiters: one.waiters.map(({ owner, mode, durable }) => `${owner} ${mode} ${durable}`),
  }

const shown = (list: readonly StoreEvent[]) =>
  list.flatMap(event => (event.type === 'ended' || event.type === 'granted' ? [`${event.type} ${event.owner}`] : []))

/** What is in the first list and not in the second: what is there twice has to be there twice. */
function missing(list: readonly string[], from: readonly string[]): readonly string[] {
  const left = [...from]
  return list.filter(one => {
    const at = left.indexOf(one)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

let runs = 0
test('Redis answers as the memory store does', { timeout: 120_000 }, async () => {
  await listen()
  await fc.assert(
    fc.asyncProperty(calls, async all => {
      runs += 1
      const store = new MemoryStore()
      const events: StoreEvent[][] = [[], []]
      const before = clients.map(client => client.events.length)
      const memory = clients.map(({ id }) => {
        const backend = memoryBackend({ store })
        backend.open(id, event => events[0]?.push(event))
        return backend
      })
      const name = `lock ${runs}`
      const sides: Side[] = [
        { backends: memory, name, tickets: new Map() },
        { backends: clients.map(({ backend }) => backend), name, tickets: new Map() },
      ]
      const ids = OWNERS.map(owner => `${owner}${runs}`)
      // Whose lease ran out, since when nobody asked for it: who watched it is owed no push, whatever its owner does next.
      const lapsed = new Set<string>()
      // Such a push may come all the same, by whatever comes upon that end.
      const allowed: string[] = []
      let judged = 0
      const owed: string[] = []
      const judge = () => {
        const fresh = events[0]?.slice(judged) ?? []
        judged += fresh.length
        for (const event of fresh)
          if (!(event.type === 'ended' && lapsed.has(event.owner))) owed.push(...shown([event]))
      }
      for (const [n, { client, list }] of all.entries()) {
        const sidesTold: unknown[] = []
        const many = (await memory[0]?.inspect(name))?.holding ?? 0
        const [ended, asked] = [new Set<string>(), new Set<string>()]
        for (const [s, side] of sides.entries()) {
          const backend = side.backends[client] as Backend
          const steps = stepsOf(side, list, client, ids)
          const answers: Answers = await backend.run(steps)
          answers.steps.forEach((answer, i) => {
            const step = steps[i] as Step
            if (step.kind === 'acquire' && step.replaces !== null) side.tickets.delete(step.replaces)
            if (answer.status === 'busy' && answer.ticket !== null && 'claim' in step)
              side.tickets.set(step.claim.owner, answer.ticket)
            if (step.kind === 'renew' && step.ttlMs === ENDS_MS && answer.status === 'held') ended.add(step.owner)
          })
          for (const step of steps) if (step.kind === 'release') side.tickets.delete(step.owner)
          if (list.some(({ kind }) => kind === 'end' || kind === 'watch')) {
            await sleep(3)
            await backend.run([nothing(name)])
          }
          const watched = []
          for (const one of list) {
            if (one.kind !== 'watch') continue
            const owner = String(ids[one.owner])
            const reply = await backend.results?.watch({ name, owner })
            if (reply?.status === 'live') asked.add(owner)
            watched.push(reply)
          }
          const after = state(await backend.inspect(name))
          const shared = many > 1 || list.some(isShared) || (after?.holding ?? 0) > 1
          sidesTold[s] = {
            steps: answers.steps.map(answer => told(answer, shared)),
            handed: answers.handed.map(({ owner }) => owner),
            watched,
            state: after,
          }
        }
        expect(sidesTold[1], `call ${n}`).toEqual(sidesTold[0])
        judge()
        for (const owner of ended) {
          lapsed.add(owner)
          allowed.push(`ended ${owner}`)
        }
        for (const owner of asked) lapsed.delete(owner)
      }
      await sleep(2)
      // Everything that is released leaves nothing.
      for (const side of sides) {
        const backend = side.backends[0] as Backend
        for (let more = true; more; ) {
          const last = await backend.inspect(name)
          more = last !== null
          if (last) {
            const owners = [...last.holders, ...last.waiters].map(({ owner }) => owner)
            await backend.run(owners.map(owner => ({ kind: 'release', name, owner, result: null })))
          }
        }
      }
      // A shared lease that ran out is left for a while.
      for (const key of await admin.keys(`{${prefix}${name}}:*2`)) expect(await admin.pttl(key), key).toBeGreaterThan(0)
      judge()
      const heard = () => shown(clients.flatMap((client, i) => client.events.slice(before[i])))
      const untilMs = performance.now() + HEARD_MS
      while (performance.now() < untilMs && missing(owed, heard()).length > 0) await sleep(5)
      expect(missing(owed, heard()), 'owed, and not heard').toEqual([])
      expect(missing(heard(), [...shown(events[0] ?? []), ...allowed]), 'heard on Redis alone').toEqual([])
    }),
    // The same lists each time: another seed finds what is new, when somebody looks.
    { numRuns: 300, interruptAfterTimeLimit: 60_000, seed: Number(process.env.SOLOIST_TEST_SEED ?? 20_261_129) },
  )
})
