import type {
  AcquireStep,
  Answer,
  Answers,
  Claim,
  HandedGrant,
  Seen,
  SeenRun,
  Step,
  TriggerStep,
} from '../../backend.js'
import { SoloistError } from '../../errors.js'
import { claimOf } from '../../internal/step-names.js'
import type { Row } from './database/database.js'
import { arrayOf, decode, encode, quoted } from './text.js'

/** "Never", where the database counts microseconds. */
const NEVER = '9223372036854775807'
/** What an index of Postgres takes, with room for what else is in its entry. */
const LONGEST_KEY_BYTES = 2_600

/** Both answer one text, whatever a client makes of other types. */
const RUN = `SELECT soloist.run_1($1::text, $2::text::text[], $3::text::text[], $4::text::text[],
  $5::text::text[], $6::text::int8[], $7::text::bool[], $8::text::text[], $9::text::text[], $10::text::text[],
  $11::text::int8[], $12::text::jsonb) AS answers`

const ONE = `SELECT soloist.one_1($1::text, $2::text, $3::text, $4::text, $5::text::int8, $6::text::bool, $7::text)
  AS answers`

const micros = (ms: number | null): string => (ms === null ? NEVER : String(ms * 1000))

type Json = string | number | boolean | null

/** The parts of a list, as `run_1` takes them, and which step each of their answers is for. */
interface Parts {
  readonly releases: number[]
  readonly acquires: number[]
  readonly renewals: number[]
  readonly others: number[]
}

/** What `run_1` returns. */
type AnswerParts = [
  acquired: string | null,
  released?: string | null,
  renewed?: string | null,
  rest?: Json[][] | null,
  handed?: readonly string[],
]

/** A list of steps on its way to the database and back. */
export class Request {
  /** The statement that does the list. */
  readonly sql: string
  readonly values: readonly (string | null)[]
  readonly #prefix: string
  readonly #steps: readonly Step[]
  readonly #parts: Parts = { releases: [], acquires: [], renewals: [], others: [] }
  readonly #faults = new Map<number, SoloistError>()

  /** @param prefix what comes before each name, encoded */
  constructor(client: string, prefix: string, steps: readonly Step[]) {
    this.#prefix = prefix
    this.#steps = steps
    const names = steps.map(step => prefix + encode(claimOf(step).name))
    const { releases, acquires, renewals, others } = this.#parts
    const counts = new Map<string, number>()
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
    for (const [i, step] of steps.entries()) {
      const name = names[i] as string
      if (this.#isTooLong(i, name, encode(claimOf(step).owner))) continue
      const alone = counts.get(name) === 1
      if (alone && step.kind === 'release' && step.result === null) releases.push(i)
      else if (alone && step.kind === 'renew') renewals.push(i)
      else if (alone && step.kind === 'acquire' && isPlain(step)) acquires.push(i)
      else others.push(i)
    }
    if (steps.length === 1 && others.length === 0) {
      this.sql = ONE
      this.values = [encode(client), ...oneOf(steps[0] as Step, names[0] as string)]
      return
    }
    this.sql = RUN
    const nameOf = (i: number) => quoted(names[i] as string)
    const ownerOf = (i: number) => quoted(encode(claimOf(steps[i] as Step).owner))
    const claims = acquires.map(i => steps[i] as AcquireStep)
    const ttls = renewals.map(i => micros((steps[i] as { readonly ttlMs: number | null }).ttlMs))
    this.values = [
      encode(client),
      arrayOf(releases.map(nameOf)),
      arrayOf(releases.map(ownerOf)),
      arrayOf(acquires.map(nameOf)),
      arrayOf(acquires.map(ownerOf)),
      arrayOf(claims.map(({ claim }) => micros(claim.ttlMs))),
      arrayOf(claims.map(({ ticket }) => (ticket === null ? 'f' : 't'))),
      arrayOf(claims.map(({ claim: { meta } }) => (meta === null ? 'null' : quoted(encode(meta))))),
      arrayOf(renewals.map(nameOf)),
      arrayOf(renewals.map(ownerOf)),
      arrayOf(ttls),
      others.length === 0 ? null : JSON.stringify(others.map(i => fieldsOf(steps[i] as Step, names[i] as string))),
    ]
  }

  /** Whether there is anything to ask the database. */
  get isEmpty(): boolean {
    return this.#faults.size === this.#steps.length
  }

  answers(row: Row | undefined): Answers {
    const steps: Answer[] = new Array(this.#steps.length)
    for (const [i, error] of this.#faults) steps[i] = { status: 'fault', error }
    if (row === undefined) return { steps, handed: [] }
    const { releases, acquires, renewals, others } = this.#parts
    const [acquired, released, renewed, rest, handed] = JSON.parse(row.answers as string) as AnswerParts
    let next = 0
    eachOf(released, releases, (text, i) => {
      steps[i] = { status: 'released', held: text === '1' }
    })
    eachOf(acquired, acquires, (text, i) => {
      if (text === 'x') {
        steps[i] = answerOf(rest?.[next] as Json[])
        next += 1
      } else steps[i] = { status: 'granted', fence: Number(text) }
    })
    eachOf(renewed, renewals, (text, i) => {
      steps[i] = text === '0' ? { status: 'lost' } : { status: 'held', fence: Number(text) }
    })
    for (const i of others) {
      steps[i] = answerOf(rest?.[next] as Json[])
      next += 1
    }
    return { steps, handed: this.#handed(handed ?? []) }
  }

  #handed(texts: readonly string[]): readonly HandedGrant[] {
    const handed: HandedGrant[] = []
    for (let i = 0; i < texts.length; i += 3) {
      const [name = '', owner = '', fence] = texts.slice(i, i + 3)
      handed.push({ name: decode(name.slice(this.#prefix.length)), owner: decode(owner), fence: Number(fence) })
    }
    return handed
  }

  #isTooLong(i: number, name: string, owner: string): boolean {
    const longest = Math.max(Buffer.byteLength(name), Buffer.byteLength(owner))
    if (longest <= LONGEST_KEY_BYTES) return false
    const message = `the name with its prefix, or the owner, has ${longest} bytes in Postgres, where ${LONGEST_KEY_BYTES} are the most`
    this.#faults.set(i, new SoloistError('INVALID_ARGUMENT', message))
    return true
  }
}

/** A step that is all of its list, as `one_1` takes it. */
function oneOf(step: Step, name: string): readonly (string | null)[] {
  const owner = encode(claimOf(step).owner)
  if (step.kind === 'release') return ['r', name, owner, null, null, null]
  if (step.kind === 'renew') return ['n', name, owner, micros(step.ttlMs), null, null]
  const { claim, ticket } = step as AcquireStep
  return ['a', name, owner, micros(claim.ttlMs), ticket === null ? 'f' : 't', encoded(claim.meta)]
}

function eachOf(
  text: string | null | undefined,
  parts: readonly number[],
  take: (text: string, step: number) => void,
): void {
  if (parts.length === 0) return
  const texts = (text as string).split(',')
  for (const [k, i] of parts.entries()) take(texts[k] as string, i)
}

/** Whether the claim, where it is granted at once, needs nothing but the lock's row. */
function isPlain({ claim, ticket, replaces }: AcquireStep): boolean {
  return claim.mode === 'exclusive' && replaces === null && typeof ticket !== 'number' && claim.durable !== true
}

const encoded = (text: string | null): string | null => (text === null ? null : encode(text))

/** A step that goes one by one, as `run_1` reads it. Numbers that may be too large for JSON are texts. */
function fieldsOf(step: Step, name: string): readonly Json[] {
  const owner = encode(claimOf(step).owner)
  switch (step.kind) {
    case 'acquire': {
      const ticket = step.ticket === 'new' ? -1 : step.ticket
      return ['a', name, owner, ...claimFields(step.claim), ticket, encoded(step.replaces)]
    }
    case 'trigger':
      return ['t', name, owner, ...claimFields(step.claim), ...triggerFields(step)]
    case 'renew':
      return ['n', name, owner, micros(step.ttlMs)]
    case 'release': {
      const { result } = step
      return ['r', name, owner, ...(result === null ? [null, null] : [encode(result.text), micros(result.keepMs)])]
    }
    case 'begin':
      return ['g', name, owner, encoded(step.takesBack ?? null)]
  }
}

function claimFields({ ttlMs, mode, limit, meta, durable }: Claim): readonly Json[] {
  return [micros(ttlMs), mode === 'shared', limit, encoded(meta), durable === true]
}

function triggerFields(step: TriggerStep): readonly Json[] {
  const { running, pending, note, begins, debounce, without, keepMs } = step
  const times = debounce === null ? [null, null] : [micros(debounce.waitMs), micros(debounce.maxWaitMs)]
  return [running, pending, encoded(note), begins, ...times, encoded(without), micros(keepMs)]
}

const text = (value: Json | undefined): string => decode(value as string)
const textOrNull = (value: Json | undefined): string | null => (typeof value === 'string' ? decode(value) : null)

/** An answer of the steps that go one by one, without what a trigger saw where there is none. */
function answerOf(fields: readonly unknown[]): Answer {
  const [kind, ...rest] = fields as [string, ...Json[]]
  switch (kind) {
    case 'g':
      return rest[1] === undefined
        ? { status: 'granted', fence: rest[0] as number }
        : { status: 'granted', fence: rest[0] as number, seen: seenOf(rest[1]), pending: rest[2] === true }
    case 'b': {
      const [holder, retryAfterMs, ticket, requeued, seen] = rest
      return {
        status: 'busy',
        holder: textOrNull(holder),
        retryAfterMs: retryAfterMs as number | null,
        ticket: ticket as number | null,
        requeued: requeued as boolean,
        ...seenIn(seen),
      }
    }
    case 'h':
      return { status: 'held', fence: rest[0] as number }
    case 'l':
      return { status: 'lost' }
    case 'r':
      return { status: 'released', held: rest[0] as boolean }
    case 'm':
      return { status: 'met', noted: textOrNull(rest[1]), seen: seenOf(rest[0]) }
    case 'd':
      return { status: 'displaced', by: text(rest[0]) }
    default:
      return {
        status: 'begun',
        notes: (rest[0] as unknown as [string, string][]).map(note => ({ owner: text(note[0]), text: text(note[1]) })),
      }
  }
}

function seenIn(seen: unknown): { readonly seen?: Seen } {
  return seen === undefined ? {} : { seen: seenOf(seen) }
}

function seenOf(seen: unknown): Seen {
  const [running, pending, waiting] = (seen as (readonly [string, number] | null)[]).map(run =>
    run === null ? null : ({ owner: text(run[0]), ageMs: run[1] } satisfies SeenRun),
  )
  return { running: running ?? null, pending: pending ?? null, waiting: waiting ?? null }
}
