import type { Answer, Answers, Claim, ClaimId, ClaimMode, HandedGrant, Step, StoreEvent, WatchReply } from 'soloist'

type TriggerStep = Extract<Step, { readonly kind: 'trigger' }>
type BeginAnswer = Extract<Answer, { readonly status: 'begun' | 'displaced' | 'lost' }>
type Note = Extract<Answer, { readonly status: 'begun' }>['notes'][number]
type Seen = Extract<Answer, { readonly status: 'met' }>['seen']
type SeenRun = NonNullable<Seen['running']>

/** How long a pushed grant stands unconfirmed. */
const GRANT_MS = 5_000
/** How long a client may be silent. */
const SILENT_MS = 12_000

/** A claim that holds its lock or waits for it. */
interface Row {
  readonly name: string
  readonly owner: string
  readonly claim: Claim
  readonly client: string
  /** Whether it holds the lock; else it waits. */
  held: boolean
  /** Of a holder. */
  fence: number
  grantedMs: number
  untilMs: number
  /** Of one that waits, or has waited. */
  readonly ticket: number
  readonly sinceMs: number
  readonly begins: boolean
  readonly note: string | null
}

interface Pending {
  readonly owner: string
  notes: readonly Note[]
  readonly firstMs: number
  notBeforeMs: number | null
}

/** What is known of a lock's runs. */
interface Runs {
  pending: Pending | null
  readonly begun: Map<string, readonly Note[]>
}

interface Kept {
  readonly reply: Exclude<WatchReply, { status: 'live' | 'gone' }>
  readonly untilMs: number
}

/**
 * What the port says a datastore does, as plainly as it can be said: one list of claims, looked through anew for every
 * question. It shares no code with any backend. Pushes are collected, and whoever runs it delivers them.
 */
export class SpecStore {
  /** What is to be told to clients. */
  readonly pushes: { readonly client: string; readonly event: StoreEvent }[] = []
  readonly clients = new Set<string>()
  /** Which fences were given, in the order of the grants. */
  readonly grants: {
    readonly name: string
    readonly owner: string
    readonly fence: number
    readonly mode: ClaimMode
  }[] = []
  #rows: Row[] = []
  readonly #runs = new Map<string, Runs>()
  readonly #heard = new Map<string, number>()
  readonly #fences = new Map<string, number>()
  readonly #lastTickets = new Map<string, number>()
  readonly #kept = new Map<string, Kept>()
  readonly #watchers = new Map<string, Map<string, number>>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  run(client: string, steps: readonly Step[]): Answers {
    const handed: HandedGrant[] = []
    return { steps: steps.map(step => this.#step(client, step, handed)), handed }
  }

  watch(client: string, { name, owner }: ClaimId): WatchReply {
    const key = keyOf(name, owner)
    const kept = this.#keptOf(name, owner)
    if (kept !== null) return kept
    this.#expire(name)
    this.#advance(name, null, null, [])
    if (this.#find(name, owner) === undefined) return { status: 'gone' }
    const watchers = this.#watchers.get(key) ?? new Map<string, number>()
    this.#watchers.set(key, watchers.set(client, this.#nowMs()))
    return { status: 'live' }
  }

  /** Who holds the lock at this moment, in the order of the grants. */
  holders(name: string): readonly { readonly owner: string; readonly fence: number; readonly untilMs: number }[] {
    return this.#holders(name).filter(({ untilMs }) => untilMs > this.#nowMs())
  }

  /** Who waits for the lock, first come first. */
  waiters(name: string): readonly string[] {
    return this.#queue(name).map(({ owner }) => owner)
  }

  /** The lock's pending run, and what was left with it. */
  pending(
    name: string,
  ): { readonly owner: string; readonly notes: number; readonly notBeforeMs: number | null } | null {
    const pending = this.#runs.get(name)?.pending ?? null
    if (pending === null) return null
    // One that was granted is not put off.
    const notBeforeMs = this.#find(name, pending.owner)?.held ? null : pending.notBeforeMs
    return { owner: pending.owner, notes: pending.notes.length, notBeforeMs }
  }

  /** Lets go of what has run out, as any look at the lock does. */
  look(name: string): void {
    this.#expire(name)
    this.#head(name)
  }

  /** Every lock that is held or waited for at this moment. */
  inUse(): readonly string[] {
    const names = new Set(
      this.#rows.filter(({ held, untilMs }) => !held || untilMs > this.#nowMs()).map(row => row.name),
    )
    return [...names]
  }

  #step(client: string, step: Step, handed: HandedGrant[]): Answer {
    switch (step.kind) {
      case 'acquire': {
        const { claim, ticket, replaces } = step
        return this.#acquire(client, claim, ticket, replaces, handed)
      }
      case 'renew': {
        this.#expire(step.name)
        this.#advance(step.name, client, null, handed)
        const mine = this.#find(step.name, step.owner)
        if (!mine?.held) return { status: 'lost' }
        this.#extend(mine, step.ttlMs)
        return { status: 'held', fence: mine.fence }
      }
      case 'release': {
        this.#expire(step.name)
        const held = this.#find(step.name, step.owner)?.held === true
        const { result } = step
        this.#remove(step.name, step.owner)
        if (held && result !== null) {
          const reply = { status: 'result', text: result.text } as const
          this.#kept.set(keyOf(step.name, step.owner), { reply, untilMs: this.#nowMs() + result.keepMs })
        }
        this.#advance(step.name, client, null, handed)
        return { status: 'released', held }
      }
      case 'trigger':
        return this.#trigger(client, step, handed)
      case 'begin':
        return this.#begin(client, step, handed)
    }
  }

  #acquire(
    client: string,
    claim: Claim,
    ticket: 'new' | number | null,
    replaces: string | null,
    handed: HandedGrant[],
  ): Answer {
    const { name, owner, ttlMs } = claim
    if (ticket !== null) this.#hear(name, client)
    this.#expire(name)
    this.#advance(name, client, owner, handed)
    const mine = this.#find(name, owner)
    if (mine?.held) return this.#extend(mine, ttlMs)
    if (typeof ticket === 'number' && mine === undefined && this.#displacedBy(name, owner) !== null) {
      return this.#busy(name, null, false)
    }
    const other = replaces === null ? undefined : this.#find(name, replaces)
    if (other?.held && other.claim.mode === claim.mode) {
      this.#remove(name, other.owner)
      this.#drop(name, owner)
      const granted = this.#grant(this.#row(client, claim, 0, false, null), ttlMs)
      this.#nextRun(name)
      return granted
    }
    if (other?.held === false && ticket !== null && other.ticket < (mine?.ticket ?? Infinity)) {
      // Its place in the queue.
      const { begins, note, claim: waits, client: of } = mine ?? { begins: false, note: null, claim, client }
      this.#rows = this.#rows.filter(row => row !== mine)
      this.#rows.push(this.#row(of, waits, other.ticket, begins, note))
      this.#remove(name, other.owner)
      return this.#queued(client, claim, other.ticket, false, handed)
    }
    if (this.#queue(name).length === 0 && this.#fits(claim)) {
      return this.#grant(this.#row(client, claim, 0, false, null), ttlMs)
    }
    if (ticket === null) return this.#busy(name, null, false)
    const place = mine?.ticket ?? this.#ticket(name, ticket)
    if (mine === undefined) this.#rows.push(this.#row(client, claim, place, false, null))
    return this.#queued(client, claim, place, ticket !== 'new' && mine === undefined, handed)
  }

  #queued(
    client: string,
    { name, owner, ttlMs }: Claim,
    place: number,
    requeued: boolean,
    handed: HandedGrant[],
  ): Answer {
    this.#advance(name, client, owner, handed)
    const granted = this.#find(name, owner)
    if (granted?.held) return this.#extend(granted, ttlMs)
    return this.#busy(name, place, requeued)
  }

  #trigger(client: string, step: TriggerStep, handed: HandedGrant[]): Answer {
    const { claim, note, begins, debounce, without, keepMs } = step
    const { name, owner, ttlMs } = claim
    const now = this.#nowMs()
    this.#hear(name, client)
    this.#expire(name)
    if (without !== null) this.#remove(name, without)
    this.#advance(name, client, owner, handed)
    const seen = this.#seen(name, owner)

    // What was done before is answered once more.
    const mine = this.#find(name, owner)
    if (mine?.held) return { ...this.#extend(mine, ttlMs), seen, pending: this.#isPending(name, owner) }
    if (mine !== undefined) return { ...this.#busy(name, mine.ticket, false), seen }
    const by = this.#displacedBy(name, owner)
    if (by !== null) return { status: 'displaced', by }
    const noted = this.#notedWith(name, owner)
    if (noted !== null) return { status: 'met', seen, noted }

    const runs = this.#runsOf(name)
    const { pending } = runs
    const free = this.#queue(name).length === 0 && this.#fits(claim)
    if (free && debounce === null) {
      const granted = this.#grant(this.#row(client, claim, 0, begins, note), ttlMs)
      if (begins && pending === null) runs.pending = this.#newPending(owner, note, null)
      else if (begins) runs.begun.set(owner, notesOf(owner, note))
      return { ...granted, seen, pending: this.#isPending(name, owner) }
    }
    const action = pending !== null ? step.pending : free ? 'follow' : step.running
    if (action === 'meet') return { status: 'met', seen, noted: null }
    if (action === 'wait' || pending === null) {
      const place = this.#ticket(name, 'new')
      const becomes = action !== 'wait'
      this.#rows.push(this.#row(client, claim, place, becomes || begins, note))
      if (becomes) runs.pending = this.#newPending(owner, note, debounce)
      else this.#nextRun(name)
      return { ...this.#busy(name, place, false), seen }
    }
    if (action === 'follow') {
      if (note !== null) pending.notes = [...pending.notes, { owner, text: note }]
      // One that was granted is not put off.
      if (this.#find(name, pending.owner)?.held !== true && debounce !== null) {
        pending.notBeforeMs = Math.min(now + debounce.waitMs, pending.firstMs + debounce.maxWaitMs)
      }
      return { status: 'met', seen, noted: pending.owner }
    }
    // The pending run is displaced where it stands.
    const displaced = this.#find(name, pending.owner) as Row
    const wasHeld = displaced.held
    const firstMs = pending.firstMs
    const before = wasHeld ? null : pending.notBeforeMs
    const put = debounce === null ? before : Math.min(now + debounce.waitMs, firstMs + debounce.maxWaitMs)
    this.#drop(name, displaced.owner)
    this.#endWatch(name, displaced.owner)
    const reply = { status: 'displaced', by: owner } as const
    this.#kept.set(keyOf(name, displaced.owner), { reply, untilMs: now + keepMs })
    runs.pending = { owner, notes: notesOf(owner, note), firstMs, notBeforeMs: put }
    if (wasHeld && debounce === null && this.#fits(claim)) {
      const granted = this.#grant(this.#row(client, claim, 0, begins, note), ttlMs)
      if (!begins) {
        runs.begun.set(owner, runs.pending.notes)
        runs.pending = null
        this.#nextRun(name)
      }
      return { ...granted, seen, pending: this.#isPending(name, owner) }
    }
    const first = this.#queue(name)[0]
    const front = first === undefined ? now * 1000 : Math.min(first.ticket - 1, now * 1000)
    const place = this.#ticket(name, wasHeld ? front : displaced.ticket)
    this.#rows.push(this.#row(client, claim, place, true, note))
    this.#advance(name, client, owner, handed)
    const placed = this.#find(name, owner) as Row
    if (placed.held) return { status: 'granted', fence: placed.fence, seen, pending: this.#isPending(name, owner) }
    return { ...this.#busy(name, place, false), seen }
  }

  #begin(client: string, { name, owner }: ClaimId, handed: HandedGrant[]): BeginAnswer {
    this.#expire(name)
    this.#advance(name, client, null, handed)
    const runs = this.#runsOf(name)
    if (this.#find(name, owner)?.held) {
      if (runs.pending?.owner === owner) {
        runs.begun.set(owner, runs.pending.notes)
        runs.pending = null
        this.#nextRun(name)
      }
      return { status: 'begun', notes: runs.begun.get(owner) ?? [] }
    }
    // An owner that was displaced and asks anew is told so of its former run, as long as that is kept.
    const kept = this.#keptOf(name, owner)
    return kept?.status === 'displaced' ? kept : { status: 'lost' }
  }

  /** Grants the head of the queue whatever fits. */
  #advance(name: string, caller: string | null, asking: string | null, handed: HandedGrant[]): void {
    for (let head = this.#head(name); head !== undefined; head = this.#head(name)) {
      this.#nextRun(name)
      const { owner, claim, client, begins, note } = head
      const { pending, begun } = this.#runsOf(name)
      const durable = claim.durable === true
      const early = pending?.owner === owner && (pending.notBeforeMs ?? 0) > this.#nowMs()
      if (!this.#fits(claim) || early || (durable && caller === null)) return
      if (begins && pending?.owner !== owner) begun.set(owner, notesOf(owner, note))
      const own = durable || client === caller
      const { fence } = this.#grant(head, own ? claim.ttlMs : Math.min(GRANT_MS, claim.ttlMs ?? GRANT_MS))
      if (!own) this.pushes.push({ client, event: { type: 'granted', name, owner, fence } })
      else if (owner !== asking) handed.push({ name, owner, fence })
    }
  }

  /** The first that waits, of those whose clients are there. */
  #head(name: string): Row | undefined {
    for (const row of this.#queue(name)) {
      if (this.#stays(row)) return row
      this.#over(row)
    }
    return undefined
  }

  #expire(name: string): void {
    const pending = this.#runs.get(name)?.pending
    const waiting = pending ? this.#find(name, pending.owner) : undefined
    if (waiting !== undefined && !waiting.held && !this.#stays(waiting)) this.#over(waiting)
    for (const row of this.#holders(name)) if (row.untilMs <= this.#nowMs()) this.#over(row)
  }

  #stays({ claim, client, name }: Row): boolean {
    if (claim.durable === true) return true
    const heardMs = this.#heard.get(keyOf(name, client)) ?? -Infinity
    return this.clients.has(client) && this.#nowMs() - heardMs <= SILENT_MS
  }

  /** A claim neither holds nor waits any more, and nobody is told. */
  #over({ name, owner }: Row): void {
    this.#drop(name, owner)
    const runs = this.#runsOf(name)
    if (runs.pending?.owner === owner) runs.pending = null
    runs.begun.delete(owner)
    this.#nextRun(name)
  }

  #remove(name: string, owner: string): void {
    const row = this.#find(name, owner)
    if (row === undefined) return
    this.#endWatch(name, owner)
    this.#over(row)
  }

  #endWatch(name: string, owner: string): void {
    const key = keyOf(name, owner)
    for (const [client, askedMs] of this.#watchers.get(key) ?? []) {
      if (this.#nowMs() - askedMs <= SILENT_MS) this.pushes.push({ client, event: { type: 'ended', name, owner } })
    }
    this.#watchers.delete(key)
  }

  /** Where no run is pending, the first that waits may become it. */
  #nextRun(name: string): void {
    const runs = this.#runsOf(name)
    const first = this.#queue(name)[0]
    if (runs.pending === null && first?.begins) runs.pending = this.#newPending(first.owner, first.note, null)
  }

  #newPending(owner: string, note: string | null, debounce: TriggerStep['debounce']): Pending {
    const now = this.#nowMs()
    const notBeforeMs = debounce === null ? null : now + Math.min(debounce.waitMs, debounce.maxWaitMs)
    return { owner, notes: notesOf(owner, note), firstMs: now, notBeforeMs }
  }

  #grant(row: Row, ttlMs: number | null): { readonly status: 'granted'; readonly fence: number } {
    const { name, owner } = row
    const now = this.#nowMs()
    row.fence = Math.max((this.#fences.get(name) ?? 0) + 1, now * 1000)
    this.#fences.set(name, row.fence)
    this.grants.push({ name, owner, fence: row.fence, mode: row.claim.mode })
    row.held = true
    row.grantedMs = now
    // It comes behind all that were granted before.
    this.#rows = [...this.#rows.filter(other => other !== row), row]
    return this.#extend(row, ttlMs)
  }

  #extend(row: Row, ttlMs: number | null): { readonly status: 'granted'; readonly fence: number } {
    row.untilMs = ttlMs === null ? Infinity : this.#nowMs() + ttlMs
    return { status: 'granted', fence: row.fence }
  }

  #fits({ name, mode, limit }: Claim): boolean {
    const holders = this.#holders(name)
    if (holders.length === 0) return true
    if (mode === 'exclusive' || holders.some(({ claim }) => claim.mode === 'exclusive')) return false
    return limit === null || holders.length < limit
  }

  #busy(name: string, ticket: number | null, requeued: boolean): Answer & { readonly status: 'busy' } {
    const holders = this.#holders(name)
    const now = this.#nowMs()
    const first = Math.min(...holders.map(({ untilMs }) => untilMs))
    const head = this.#queue(name)[0]
    const pending = this.#runs.get(name)?.pending ?? null
    const dueMs = head !== undefined && pending?.owner === head.owner ? (pending.notBeforeMs ?? 0) : 0
    let helpsMs = first
    if (head !== undefined && dueMs > now) helpsMs = this.#fits(head.claim) ? dueMs : Math.max(first, dueMs)
    const retryAfterMs = helpsMs === Infinity ? null : Math.max(helpsMs - now, 1)
    return { status: 'busy', holder: holders[0]?.owner ?? null, retryAfterMs, ticket, requeued }
  }

  #isPending(name: string, owner: string): boolean {
    return this.#runs.get(name)?.pending?.owner === owner
  }

  #seen(name: string, asking: string): Seen {
    const now = this.#nowMs()
    const told = (row: Row | undefined): SeenRun | null => {
      if (row === undefined || row.owner === asking) return null
      return { owner: row.owner, ageMs: now - (row.held ? row.grantedMs : row.sinceMs) }
    }
    const pending = this.#runs.get(name)?.pending?.owner
    const notPending = (row: Row | undefined) => (row?.owner === pending ? undefined : row)
    return {
      running: told(notPending(this.#holders(name)[0])),
      pending: told(pending === undefined ? undefined : this.#find(name, pending)),
      waiting: told(notPending(this.#queue(name)[0])),
    }
  }

  #notedWith(name: string, owner: string): string | null {
    const { pending, begun } = this.#runsOf(name)
    if (pending?.notes.some(note => note.owner === owner)) return pending.owner
    for (const [run, notes] of begun) if (notes.some(note => note.owner === owner)) return run
    return null
  }

  #displacedBy(name: string, owner: string): string | null {
    const kept = this.#find(name, owner) === undefined ? this.#keptOf(name, owner) : null
    return kept?.status === 'displaced' ? kept.by : null
  }

  #keptOf(name: string, owner: string): Kept['reply'] | null {
    const kept = this.#kept.get(keyOf(name, owner))
    return kept !== undefined && kept.untilMs > this.#nowMs() ? kept.reply : null
  }

  #ticket(name: string, wanted: 'new' | number): number {
    if (wanted !== 'new') {
      if (this.#queue(name).length === 0 || wanted > (this.#lastTickets.get(name) ?? 0))
        this.#lastTickets.set(name, wanted)
      return wanted
    }
    // Those that were handed out before the queue was last empty count by the clock alone.
    const last = this.#queue(name).length === 0 ? 0 : (this.#lastTickets.get(name) ?? 0)
    const ticket = Math.max(last + 1, this.#nowMs() * 1000)
    this.#lastTickets.set(name, ticket)
    return ticket
  }

  #row(client: string, claim: Claim, ticket: number, begins: boolean, note: string | null): Row {
    const { name, owner } = claim
    const sinceMs = this.#nowMs()
    const waits = { held: false, fence: 0, grantedMs: 0, untilMs: Infinity }
    return { name, owner, claim, client, ticket, sinceMs, begins, note, ...waits }
  }

  #holders(name: string): readonly Row[] {
    return this.#rows.filter(row => row.held && row.name === name)
  }

  #queue(name: string): readonly Row[] {
    return this.#rows.filter(row => !row.held && row.name === name).sort((a, b) => a.ticket - b.ticket)
  }

  #find(name: string, owner: string): Row | undefined {
    return this.#rows.find(row => row.name === name && row.owner === owner)
  }

  #drop(name: string, owner: string): void {
    this.#rows = this.#rows.filter(row => row.name !== name || row.owner !== owner)
  }

  #hear(name: string, client: string): void {
    this.#heard.set(keyOf(name, client), this.#nowMs())
  }

  #runsOf(name: string): Runs {
    const runs = this.#runs.get(name) ?? { pending: null, begun: new Map<string, readonly Note[]>() }
    this.#runs.set(name, runs)
    return runs
  }
}

function notesOf(owner: string, text: string | null): readonly Note[] {
  return text === null ? [] : [{ owner, text }]
}

function keyOf(name: string, owner: string): string {
  return JSON.stringify([name, owner])
}
