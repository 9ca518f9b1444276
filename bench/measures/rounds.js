import { Crew } from '../crew.js'

/**
 * How many rounds warm up and do not count: code that runs often is compiled better, and more code takes longer until it is.
 * A lock that a thousand want is not such a matter, and takes half a minute a round.
 */
export const WARM_UP_ROUNDS = 4

/**
 * Measures several contenders by turns, so that a machine whose speed changes is as fast for one as for the other. The
 * first rounds warm up and do not count.
 *
 * @param {{ names: readonly string[], urlOf: (name: string) => string, processes?: number, rounds: number, warmUps?: number,
 *   progress: (done: string) => void, title: string,
 *   turn: (crew: Crew, round: number) => Promise<Record<string, number>> }} options
 * @returns {Promise<Record<string, Record<string, Spread>>>} by contender and figure
 */
export async function inRounds({
  names,
  urlOf,
  processes = 1,
  rounds,
  warmUps = WARM_UP_ROUNDS,
  progress,
  title,
  turn,
}) {
  const crews = []
  for (const name of names) crews.push(await Crew.start(name, urlOf(name), processes))
  /** @type {Record<string, Record<string, number[]>>} */
  const measured = {}
  for (let round = 1 - warmUps; round <= rounds; round += 1) {
    for (const crew of crews) {
      progress(`${title}: ${round < 1 ? 'warm-up' : `round ${round} of ${rounds}`}, ${crew.name}`)
      const figures = await turn(crew, round)
      if (round < 1) continue
      const own = measured[crew.name] ?? {}
      measured[crew.name] = own
      for (const [figure, value] of Object.entries(figures)) own[figure] = [...(own[figure] ?? []), value]
    }
  }
  for (const crew of crews) await crew.stop()
  return mapValues(measured, figures => mapValues(figures, spread))
}

/** @typedef {{ median: number, least: number, most: number }} Spread */

/** @param {readonly number[]} values @returns {Spread} */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (/** @type {number} */ i) => sorted[i] ?? Number.NaN
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2
  return { median, least: at(0), most: at(sorted.length - 1) }
}

/** @template T, U @param {Record<string, T>} record @param {(value: T) => U} change @returns {Record<string, U>} */
export function mapValues(record, change) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}
