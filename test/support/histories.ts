import { setTimeout as sleep } from 'node:timers/promises'
import type { Soloist } from 'soloist'

// Histories of one key, made at random: triggers one by one and several at once, runs that end, and moments in which others get
// on. What has to be true of each is the same for jobs of functions and of queues.

export const LIMITS = [1, 2, 3] as const
export const MODES = [
  'untilExecuted',
  'untilExecuting',
  'whileExecuting',
  'untilAndWhileExecuting',
  'untilExpired',
] as const
export const STRATEGIES = ['join', 'skip', 'reject', 'replace', 'rerun', 'delay'] as const

/** What the jobs of one cell of the table are. */
export interface Cell {
  readonly mode: (typeof MODES)[number]
  readonly strategy: (typeof STRATEGIES)[number]
  readonly merges: boolean
  readonly limit: number
}

/** Every cell that is no contradiction. */
const all: readonly Cell[] = MODES.flatMap(mode =>
  STRATEGIES.flatMap(strategy =>
    (strategy === 'rerun' ? [false, true] : [false]).flatMap(merges =>
      LIMITS.filter(limit => limit === 1 || mode !== 'untilExpired').map(limit => ({ mode, strategy, merges, limit })),
    ),
  ),
)

/** Where a defect has been, or most can go wrong: what was left with a run, places for several, and periods. */
const isDense = ({ mode, strategy, merges, limit }: Cell) =>
  (mode === 'untilExecuted' && limit === 2 && (merges || strategy === 'replace')) || (mode === 'untilExpired' && merges)
const ONE_IN = 9

/** All of them take three minutes: `npm run test:crowds` has them, and other runs some of each kind. */
export const cells: readonly Cell[] =
  process.env.SOLOIST_TESTS === 'crowds' ? all : all.filter((cell, i) => isDense(cell) || i % ONE_IN === 0)

export function nameOf({ mode, strategy, merges, limit }: Cell): string {
  return `${mode}, limit ${limit}, ${strategy}${merges ? ' with merge' : ''}`
}

/** The data of the jobs: `values` are the numbers of all triggers that were merged into it. */
export interface Data {
  readonly key: number
  readonly value: number
  readonly values: readonly number[]
}

export function merge(older: Data, newer: Data): Data {
  return { ...newer, values: [...older.values, ...newer.values] }
}

/** The options that make jobs of this cell. */
export function optionsOf({ mode, strategy, merges, limit }: Cell, expiryMs: number) {
  return {
    uniqueOn: ['key'] as const,
    mode,
    onDuplicate: strategy,
    ...(merges ? { merge } : {}),
    ...(limit === 1 ? {} : { limit }),
    ...(mode === 'untilExpired' ? { expiryMs } : {}),
  }
}

interface Add {
  readonly value: number
  readonly sentAt: number
  status: string
}

interface Ran {
  readonly value: number
  readonly values: readonly number[]
  readonly startedAt: number
  endedAt: number
  end: () => void
}

/** Resolves when who has the period has it no more. */
export async function untilPeriodEnds(lock: string, { jobs }: Soloist): Promise<void> {
  const owner = async () => (await jobs.inspect(lock))?.holders[0]?.owner
  const before = await owner()
  while (before !== undefined && (await owner()) === before) await sleep(5)
}

/** What a history needs of those whose jobs are triggered. */
export interface World {
  /** @returns the status, or `rejected` */
  trigger(data: Data): Promise<string>
  /** Lets others get on. */
  look(): Promise<unknown>
  /** Waits for the end of the period, where there is one. */
  period(key: number): Promise<unknown>
}

/** One key's triggers and runs, with when each was, counted in events. */
export class History {
  readonly key: number
  readonly adds: Add[] = []
  readonly runs: Ran[] = []
  most = 0
  readonly #cell: Cell
  readonly #world: World
  readonly #random: () => number
  #now = 0
  #open = false
  /** Triggers that were sent at once reach the store in an order that is not known here. */
  #sentTogether = false

  constructor(cell: Cell, key: number, world: World) {
    this.#cell = cell
    this.key = key
    this.#world = world
    this.#random = randomFrom(key)
  }

  /** The handler, or processor. */
  async run({ value, values }: Data): Promise<number> {
    this.#now += 1
    let end = () => {}
    const gate = new Promise<void>(resolve => {
      end = resolve
    })
    const ran = { value, values, startedAt: this.#now, endedAt: Number.POSITIVE_INFINITY, end }
    this.runs.push(ran)
    this.most = Math.max(this.most, this.#underWay.length)
    if (!this.#open) await gate
    this.#now += 1
    ran.endedAt = this.#now
    return value
  }

  get #underWay(): Ran[] {
    return this.runs.filter(({ endedAt }) => endedAt === Number.POSITIVE_INFINITY)
  }

  /** Before there is anybody to run it. */
  async prelude(): Promise<void> {
    for (let left = this.#below(5); left > 0; left -= 1) {
      await this.#add()
      if (this.#below(3) === 0) await this.#world.period(this.key)
    }
  }

  async go(steps: number): Promise<void> {
    for (let left = steps; left > 0; left -= 1) {
      const kind = this.#below(10)
      if (kind < 6) await this.#add()
      else if (kind < 7) await this.#burst()
      else if (kind < 9) this.#underWay[0]?.end()
      else await this.#world.period(this.key)
      for (let looks = this.#below(10); looks > 0; looks -= 1) await this.#world.look()
    }
  }

  /** From now on runs end at once. */
  finish(): void {
    this.#open = true
    for (const { end } of this.runs) end()
  }

  /** What is not as it has to be. */
  get wrong(): string[] {
    const { mode, strategy, merges, limit } = this.#cell
    const wrong: string[] = []
    const alone = mode !== 'untilExecuting' && mode !== 'untilExpired'
    if (alone && this.most > limit) wrong.push(`${this.most} at once`)
    const all = this.runs.flatMap(({ values }) => values)
    for (const value of new Set(all)) {
      if (all.filter(other => other === value).length > 1) wrong.push(`${value} ran more than once`)
    }
    // Which run a duplicate met is not known here: one that ends is live until the store was told.
    for (const { value, sentAt, status } of this.adds) {
      if (status === 'rejected') {
        if (all.includes(value)) wrong.push(`${value} was rejected and ran`)
        continue
      }
      const after = this.runs.filter(({ startedAt }) => startedAt > sentAt)
      const own = after.some(({ values }) => values.includes(value))
      const newer = after.some(ran => ran.value >= value)
      const newest = strategy === 'replace' || (strategy === 'rerun' && !merges)
      const meets = strategy === 'join' || strategy === 'skip'
      const covered = newest
        ? this.#sentTogether
          ? after.length > 0
          : newer
        : own || (meets && status === 'duplicate' && this.runs.length > 0)
      if (!covered) wrong.push(`${value}, ${status}, was lost`)
    }
    // What relied on a run whose period ended before it began starts anew, behind what came later.
    if (merges && !this.#sentTogether && mode !== 'untilExpired') {
      for (const { values } of this.runs) {
        if (values.some((value, i) => i > 0 && value < (values[i - 1] as number))) wrong.push(`out of order: ${values}`)
      }
    }
    if (wrong.length === 0) return []
    const adds = this.adds.map(({ value, sentAt, status }) => `${sentAt} ${status} ${value}`)
    const runs = this.runs.map(({ values, startedAt, endedAt }) => `${startedAt}-${endedAt} [${values}]`)
    return [`key ${this.key}: ${wrong.join('; ')}`, `  triggers: ${adds.join(', ')}`, `  runs: ${runs.join(', ')}`]
  }

  async #add(): Promise<void> {
    this.#now += 1
    const value = this.adds.length
    const add = { value, sentAt: this.#now, status: 'sent' }
    this.adds.push(add)
    add.status = await this.#world.trigger({ key: this.key, value, values: [value] })
  }

  async #burst(): Promise<void> {
    this.#sentTogether = true
    await Promise.all(Array.from({ length: 3 }, () => this.#add()))
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound)
  }
}

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed * 0x9e3779b1
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
