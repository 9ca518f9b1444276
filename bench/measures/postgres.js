// The same on Postgres, beside what else locks there.
import { POSTGRES_PEERS, SOLOIST } from '../contender.js'
import { inRounds } from './rounds.js'

/** @typedef {{ url: string, ms: number, rounds: number, progress: (done: string) => void }} Run */

/** Locks nobody else wants. @param {Run} run @param {number} callers */
export async function freeOnPostgres({ url, ms, rounds, progress }, callers) {
  return await inRounds({
    title: `free locks on Postgres, ${callers} callers`,
    names: [SOLOIST, ...POSTGRES_PEERS],
    urlOf: () => url,
    rounds,
    progress,
    turn: async crew => {
      const [{ pairs, ms: spentMs, cpuUs, p50Ms, p99Ms }] = await crew.measure('free', { callers, ms })
      return { perSecond: pairs / (spentMs / 1_000), clientUs: cpuUs / pairs, p50Ms, p99Ms }
    },
  })
}

/** One lock that goes round. @param {Run} run @param {number} callers */
export async function hotOnPostgres({ url, ms, rounds, progress }, callers) {
  return await inRounds({
    title: `one lock on Postgres, ${callers} callers`,
    names: [SOLOIST, ...POSTGRES_PEERS],
    urlOf: () => url,
    rounds,
    // A turn is long enough.
    warmUps: 1,
    progress,
    turn: async (crew, round) => {
      const [part] = await crew.measure('hot', { callers, ms, lock: `hot:${round}` })
      const { handOvers, ms: spentMs, cpuUs, ...rest } = part
      return { perSecond: handOvers / (spentMs / 1_000), clientUs: cpuUs / handOvers, ...rest }
    },
  })
}
