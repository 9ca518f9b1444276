import { FlowProducer, Worker } from 'bullmq'
import { type JobMode, type JobStrategy, SoloistError } from 'soloist'
import type { SingletonJobOptions, SingletonOutcome } from 'soloist/bullmq'
import { expect } from 'vitest'
import type { RedisProxy } from '../support/proxy.js'
import { logOf } from './crowd.js'
import { type Bench, connectionTo, type Data, numbers, until } from './support.js'

// Many jobs that wait for children, which meet live jobs: shared by a thousand children in one tick and by those of four processes.

const optionsOf = ({ url, prefix }: Bench) => ({ connection: connectionTo(url), prefix })

/** What each of them is tried with: those whose children follow, merge, take places, and are met. */
export const CELLS: readonly (readonly [JobMode, JobStrategy])[] = [
  ['untilExecuted', 'join'],
  ['untilExecuted', 'rerun'],
  ['untilExecuted', 'replace'],
  ['untilExecuted', 'delay'],
  ['whileExecuting', 'join'],
  ['whileExecuting', 'delay'],
  ['untilAndWhileExecuting', 'rerun'],
  ['untilAndWhileExecuting', 'replace'],
]

export const jobOf = (mode: JobMode, onDuplicate: JobStrategy): SingletonJobOptions<Data> =>
  ({ mode, onDuplicate }) as SingletonJobOptions<Data>

/** Jobs whose children are added one by one: each waits for another child until then. */
export class Parents {
  readonly #bench: Bench
  readonly ids: readonly string[]

  private constructor(bench: Bench, ids: readonly string[]) {
    this.#bench = bench
    this.ids = ids
  }

  static async in(bench: Bench, count: number): Promise<Parents> {
    const flows = new FlowProducer(optionsOf(bench))
    bench.closeLater(() => flows.close())
    const all = await flows.addBulk(
      numbers(count).map(() => ({
        name: 'parent',
        queueName: 'parents',
        children: [{ name: 'gate', queueName: 'gates' }],
      })),
    )
    return new Parents(
      bench,
      all.map(({ job }) => job.id as string),
    )
  }

  idOf(value: number): string {
    return this.ids[value % this.ids.length] as string
  }

  of(value: number): { readonly id: string; readonly queue: string } {
    return { id: this.idOf(value), queue: `${this.#bench.prefix}:parents` }
  }

  /** Lets them on as far as their children do, and has each noted as it is run. */
  async open(): Promise<void> {
    const bench = this.#bench
    const note = async (id: unknown) => void (await bench.redis.rpush(logOf(bench), JSON.stringify(['parent', 0, id])))
    const gates = new Worker('gates', async () => {}, { ...optionsOf(bench), concurrency: 50 })
    const parents = new Worker('parents', ({ id }) => note(id), { ...optionsOf(bench), concurrency: 50 })
    for (const worker of [gates, parents]) bench.closeLater(() => worker.close())
    let opened = 0
    gates.on('completed', () => {
      opened += 1
    })
    await until(() => opened === this.ids.length)
  }

  /** Resolves when all have ended. */
  async ended(): Promise<void> {
    await until(async () => (await this.run()).size === this.ids.length)
  }

  /** Those that were run. */
  async run(): Promise<Set<unknown>> {
    const entries = (await this.#bench.redis.lrange(logOf(this.#bench), 0, -1)).map(text => JSON.parse(text))
    return new Set(entries.flatMap(([what, , id]) => (what === 'parent' ? [id] : [])))
  }

  /**
   * Each child is covered by a run that had ended before its parent was run, and each parent was run once.
   *
   * @param own whether that run is to have the child's own data among its own
   */
  async expectCovered(outcomes: ReadonlyMap<number, SingletonOutcome>, own: boolean): Promise<void> {
    const entries = (await this.#bench.redis.lrange(logOf(this.#bench), 0, -1)).map(text => JSON.parse(text))
    const parentAt = new Map<string, number>()
    const endsOf = new Map<string, { at: number; values: readonly number[] }[]>()
    for (const [at, [what, , of, values, , id]] of entries.entries()) {
      if (what === 'parent') {
        expect(parentAt.has(of)).toBe(false)
        parentAt.set(of, at)
      }
      if (what === 'end') endsOf.set(id, [...(endsOf.get(id) ?? []), { at, values }])
    }
    const uncovered = [...outcomes].filter(([value, { id }]) => {
      const before = parentAt.get(this.idOf(value)) ?? -1
      return endsOf.get(id)?.some(({ at, values }) => at < before && (!own || values.includes(value))) !== true
    })
    expect(uncovered).toEqual([])
  }
}

/** Adds again what is told to have failed since nobody answered: a child may have two jobs then. */
export async function persisting<T>(add: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await add()
    } catch (error) {
      if (!(error instanceof SoloistError) || error.code !== 'BACKEND_UNAVAILABLE') throw error
    }
  }
}

/** Whether children that meet a live job have no run of their own. */
export const joins = (steps: 'one step' | 'two steps', strategy: JobStrategy): boolean =>
  steps === 'one step' && strategy === 'join'

/** Every so many answers of scripts are lost, so that the calls are sent again. */
export function losing(proxy: RedisProxy, times: number, every: number): void {
  let calls = 0
  const lose = async (): Promise<void> => {
    for (let lost = 0; lost < times; lost += 1)
      await proxy.dropReplyTo(([command = '']) => /^evalsha$/i.test(command) && ++calls % every === 0, 'reset').hit
  }
  void lose()
}

/** No job is left to be run, and nothing of the locks lasts. */
export async function untilClean(bench: Bench): Promise<void> {
  const queue = bench.queue({})
  await until(async () => {
    const { active, waiting, delayed, prioritized } = await queue.getJobCounts()
    if ((active ?? 0) + (waiting ?? 0) + (delayed ?? 0) + (prioritized ?? 0) > 0) return false
    const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
    const left = await Promise.all(keys.map(async key => (await bench.redis.pttl(key)) === -1))
    return Object.keys(await bench.held()).length === 0 && !left.includes(true)
  })
}
