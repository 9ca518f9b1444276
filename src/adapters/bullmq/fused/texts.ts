import { IDLE_MS } from '../../../backends/redis/protocol/limits.js'
import { scripts } from '../../../internal/generated/bullmq.js'
import { scripts as locks } from '../../../internal/generated/redis.js'
import type { BullmqScripts } from '../../../internal/peers/bullmq.js'
import { KeyNames } from './words.js'

/** A script under the name it is defined by. */
export interface Text {
  readonly name: string
  /** How many keys it takes, where each is a word. */
  readonly keys: number
  readonly lua: string
  /** How its keys and arguments become words; absent: each is one. */
  readonly names?: KeyNames | undefined
}

type Part = keyof typeof scripts

/** The scripts that add a job, which are run for several in one call. */
export const ADDS: ReadonlySet<string> = new Set([
  'addStandardJob',
  'addDelayedJob',
  'addPrioritizedJob',
  'addParentJob',
])

/** Where each of the keys of `moveToActive` stands among those of `moveToDelayed`, by how many that has. */
export const ACTIVE_IN_DELAYED: { readonly [keys: number]: readonly number[] } = {
  // BullMQ 6
  11: [9, 2, 3, 6, 8, 10, 4, 9, 7, 11, 1],
  // BullMQ 5
  12: [9, 2, 3, 6, 8, 10, 4, 11, 7, 12, 1],
}

/** How many keys each script takes, as far as positions are relied on. */
const KEYS: { readonly [name: string]: readonly number[] } = {
  addStandardJob: [9],
  addDelayedJob: [6],
  addPrioritizedJob: [9],
  addParentJob: [6],
  moveToActive: [11],
  moveToFinished: [14],
  moveToDelayed: [11, 12],
  retryJob: [11],
  moveJobFromActiveToWait: [9],
  moveToWaitingChildren: [7],
  removeJob: [2],
  reprocessJob: [8, 9],
  moveStalledJobsToWait: [8, 9],
}

/** What the keys of the scripts that run most are called. */
const NAMES: { readonly [name: string]: KeyNames } = {
  addStandardJob: new KeyNames('wait paused meta id completed delayed active events marker'),
  addDelayedJob: new KeyNames('marker meta id delayed completed events'),
  addPrioritizedJob: new KeyNames('marker meta id prioritized delayed completed active events pc'),
  addParentJob: new KeyNames('meta id delayed waiting-children completed events'),
  moveToActive: new KeyNames('wait active prioritized events stalled limiter delayed paused meta pc marker'),
  moveToFinished: new KeyNames(
    'wait active prioritized events stalled limiter delayed paused meta pc <5> <1> metrics:<5> marker',
  ),
}

/** What is done around a script of BullMQ's, and with which others. */
const AROUND: {
  readonly [name: string]: {
    /** What is done of it where nothing is in the way, without what `parts` define. */
    readonly quick?: readonly Part[]
    readonly parts: readonly Part[]
    readonly bodies: { readonly [local: string]: string }
  }
} = {
  ...Object.fromEntries(
    [...ADDS].map(name => [
      name,
      { quick: ['quick_add'] as const, parts: ['add'] as const, bodies: { bull_add: name, bull_remove: 'removeJob' } },
    ]),
  ),
  moveToActive: {
    quick: ['quick_fetch', 'quick_take'],
    parts: ['fetch', 'take'],
    bodies: { bull_active: 'moveToActive' },
  },
  moveToFinished: {
    quick: ['quick_fetch', 'quick_finish'],
    parts: ['fetch', 'finish'],
    bodies: { bull_active: 'moveToActive', bull_finish: 'moveToFinished' },
  },
  moveToDelayed: {
    parts: ['fetch', 'between', 'delay'],
    bodies: { bull_active: 'moveToActive', bull_body: 'moveToDelayed' },
  },
  retryJob: { parts: ['between', 'retry'], bodies: { bull_body: 'retryJob' } },
  moveJobFromActiveToWait: { parts: ['between', 'wait'], bodies: { bull_body: 'moveJobFromActiveToWait' } },
  moveToWaitingChildren: { parts: ['children'], bodies: { bull_body: 'moveToWaitingChildren' } },
  removeJob: { parts: ['remove'], bodies: { bull_body: 'removeJob' } },
  reprocessJob: { parts: ['again'], bodies: { bull_body: 'reprocessJob' } },
  moveStalledJobsToWait: { parts: ['sweeping', 'stalled'], bodies: { bull_body: 'moveStalledJobsToWait' } },
}

/** Scripts of our own, with how many keys. */
const OWN: { readonly [name: string]: { readonly parts: readonly Part[]; readonly keys: number } } = {
  sweep: { parts: ['sweeping', 'sweep'], keys: 1 },
  tidy: { parts: ['sweeping', 'tidy'], keys: 2 },
  folded: { parts: ['folded'], keys: 1 },
  stops: { parts: ['stops'], keys: 1 },
  forget: { parts: ['forget'], keys: 3 },
}

/**
 * The scripts that are run in place of BullMQ's, by the names of these, and our own.
 *
 * @param lapsed what becomes of a job that comes to its start and finds its place taken
 * @returns `null` where BullMQ's scripts are not those that are known
 */
export function textsFor(bull: BullmqScripts, lapsed: string): ReadonlyMap<string, Text> | null {
  const texts = new Map<string, Text>()
  const keysOfDelayed = bull.moveToDelayed?.keys ?? 0
  const active = ACTIVE_IN_DELAYED[keysOfDelayed]
  if (active === undefined) return null
  const constants = [
    `local IDLE_MS, LAPSED = ${IDLE_MS}, '${lapsed}'`,
    // BullMQ 5 keeps the jobs of a paused queue in a list of their own.
    `local PAUSED_LIST = ${keysOfDelayed === 12}`,
    `local KEYS_OF_ACTIVE = '${active.join(' ')}'`,
    '',
  ].join('\n')
  const whole = (parts: readonly Part[]) =>
    [asFunction('lock_steps', locks.steps.source), scripts.common.source, scripts.locks.source, sourceOf(parts)].join(
      '\n',
    )
  for (const [name, { quick = [], parts, bodies }] of Object.entries(AROUND)) {
    const keys = bull[name]?.keys
    if (keys === undefined || KEYS[name]?.includes(keys) !== true) return null
    const functions: string[] = []
    for (const [local, body] of Object.entries(bodies)) {
      const content = bull[body]?.content
      if (typeof content !== 'string') return null
      functions.push(asFunction(local, content))
    }
    // What a script defines costs each call, so what is rarely needed is defined only then.
    const one = `${sourceOf(quick)}\nlocal function whole()\n${whole(parts)}\nend\nreturn whole()`
    texts.set(name, textOf(name, `soloist:${name}`, keys, constants + functions.join(''), one))
  }
  for (const [name, { parts, keys }] of Object.entries(OWN)) {
    texts.set(name, { name: `soloist:${name}`, keys, lua: constants + whole(parts) })
  }
  return texts
}

/** The scripts that add jobs without locks, by the names of BullMQ's. @returns `null` where those are not the ones that are known */
export function addsFor(bull: BullmqScripts): ReadonlyMap<string, Text> | null {
  const texts = new Map<string, Text>()
  for (const name of ADDS) {
    const { content, keys } = bull[name] ?? {}
    if (typeof content !== 'string' || keys === undefined || KEYS[name]?.includes(keys) !== true) return null
    texts.set(name, textOf(name, `soloist:plain:${name}`, keys, asFunction('add', content), 'return add(KEYS, ARGV)'))
  }
  return texts
}

/** @param before what it defines @param body what is done, for each in the call where it adds jobs */
function textOf(of: string, name: string, keys: number, before: string, body: string): Text {
  const names = NAMES[of]
  if (names === undefined) return { name, keys, lua: before + body }
  const each = ADDS.has(of) ? `local function one()\n${body}\nend\n${scripts.each.source}` : body
  return { name, keys, names, lua: names.lua + before + each }
}

function sourceOf(parts: readonly Part[]): string {
  return parts.map(part => scripts[part].source).join('\n')
}

function asFunction(name: string, body: string): string {
  return `local function ${name}(KEYS, ARGV)\n${body}\nend\n`
}
