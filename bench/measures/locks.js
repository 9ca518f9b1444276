// What locks cost and how fast they change hands, of each contender.
import { JOBS, PEERS, RAW, SOLOIST } from '../contender.js'
import { Crew } from '../crew.js'
import { inRounds, WARM_UP_ROUNDS } from './rounds.js'

/** @typedef {{ redis: Awaited<ReturnType<typeof import('../redis.js').startRedis>>, ms: number, rounds: number,
 *   progress: (done: string) => void }} Run */

/** @param {readonly any[]} parts @param {string} figure */
const sum = (parts, figure) => parts.reduce((total, part) => total + part[figure], 0)
/** @param {readonly any[]} parts @param {string} figure */
const most = (parts, figure) => Math.max(...parts.map(part => part[figure]))

/** Locks nobody else wants, on Redis. @param {Run} run @param {number} callers */
export async function freeOnRedis({ redis, ms, rounds, progress }, callers) {
  return await inRounds({
    title: `free locks, ${callers} callers`,
    names: [SOLOIST, ...PEERS, RAW],
    urlOf: () => redis.url,
    rounds,
    progress,
    turn: async crew => {
      const before = await redis.cpuUs()
      const [{ pairs, ms: spentMs, cpuUs, p50Ms, p99Ms }] = await crew.measure('free', { callers, ms })
      const serverUs = (await redis.cpuUs()) - before
      await redis.flush()
      return { perSecond: pairs / (spentMs / 1_000), clientUs: cpuUs / pairs, serverUs: serverUs / pairs, p50Ms, p99Ms }
    },
  })
}

/** The same of Soloist on another store. @param {Run} run @param {string} url @param {number} callers */
export async function freeElsewhere({ ms, rounds, progress }, url, callers) {
  const measured = await inRounds({
    title: `free locks on ${new URL(url).protocol.slice(0, -1)}, ${callers} callers`,
    names: [SOLOIST],
    urlOf: () => url,
    rounds,
    progress,
    turn: async crew => {
      const [{ pairs, ms: spentMs, cpuUs, p50Ms, p99Ms }] = await crew.measure('free', { callers, ms })
      return { perSecond: pairs / (spentMs / 1_000), clientUs: cpuUs / pairs, p50Ms, p99Ms }
    },
  })
  return measured[SOLOIST]
}

/** Function jobs with keys of their own, that do nothing. @param {Run} run @param {string} url @param {number} callers */
export async function functionJobs({ ms, rounds, progress }, url, callers) {
  const measured = await inRounds({
    title: `function jobs on ${new URL(url).protocol.slice(0, -1)}, ${callers} callers`,
    names: [JOBS],
    urlOf: () => url,
    rounds,
    progress,
    turn: async crew => {
      const [{ pairs, ms: spentMs, cpuUs, p50Ms, p99Ms }] = await crew.measure('free', { callers, ms })
      return { perSecond: pairs / (spentMs / 1_000), clientUs: cpuUs / pairs, p50Ms, p99Ms }
    },
  })
  return measured[JOBS]
}

/** One lock that goes round. @param {Run} run @param {number} callers @param {number} processes among which they are divided */
export async function hotOnRedis({ redis, ms, rounds, progress }, callers, processes) {
  const lock = `hot:${callers}:${processes}`
  return await inRounds({
    title: `one lock, ${callers} callers in ${processes} process${processes === 1 ? '' : 'es'}`,
    names: [SOLOIST, ...PEERS],
    urlOf: () => redis.url,
    processes,
    rounds,
    warmUps: callers < 1_000 ? WARM_UP_ROUNDS : 1,
    progress,
    turn: async crew => {
      const before = await redis.cpuUs()
      const share = (/** @type {number} */ i) => Math.floor((callers + i) / processes)
      const parts = await crew.measure('hot', i => ({ callers: share(i), ms, lock }))
      const serverUs = (await redis.cpuUs()) - before
      const handOvers = sum(parts, 'handOvers')
      return {
        perSecond: handOvers / (most(parts, 'ms') / 1_000),
        clientUs: sum(parts, 'cpuUs') / handOvers,
        serverUs: serverUs / handOvers,
        p50Ms: most(parts, 'p50Ms'),
        longestMs: most(parts, 'longestMs'),
        fewestTurns: Math.min(...parts.map(part => part.fewestTurns)),
        mostTurns: most(parts, 'mostTurns'),
        overlaps: sum(parts, 'overlaps'),
        failures: sum(parts, 'failures'),
      }
    },
  })
}

/** Many leases that are kept. @param {Run} run @param {number} count */
export async function keptOnRedis({ redis, ms, progress }, count) {
  const crew = await Crew.start(SOLOIST, redis.url)
  progress(`${count} leases: taking them`)
  const [{ takeMs, heapBytes, core, longestStallMs }] = await crew.measure('hold', { count, ms: Math.max(ms, 10_000) })
  progress(`${count} leases: giving them back`)
  const [{ freeMs }] = await crew.measure('hold', { count: 0, ms: 0 })
  await crew.stop()
  return { count, takeMs, heapBytes, core, longestStallMs, freeMs }
}

/** Callers that wait for a lock which is held. @param {Run} run @param {number} callers */
export async function idleOnRedis({ redis, ms, progress }, callers) {
  /** @type {Record<string, number>} */
  const commandsPerSecond = {}
  for (const name of [SOLOIST, ...PEERS]) {
    progress(`${callers} callers wait, ${name}`)
    const watched = await redis.watch()
    const crew = await Crew.start(name, redis.url)
    const waitMs = Math.max(ms, 5_000)
    const waiting = crew.measure('idle', { callers, ms: waitMs + 1_500 })
    await new Promise(resolve => setTimeout(resolve, 1_000))
    commandsPerSecond[name] = (await watched.commandsWithin(waitMs)) / (waitMs / 1_000)
    watched.stop()
    await waiting
    await crew.stop()
    await redis.flush()
  }
  return commandsPerSecond
}
