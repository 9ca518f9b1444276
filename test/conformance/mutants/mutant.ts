import type { AcquireReply, Backend, GrantEvent } from 'soloist'

/** One way to get a backend wrong. */
export interface Mutant {
  readonly fault: string
  /** The guarantee whose tests have to notice. */
  readonly caughtBy: string
  /** What the broken backend does instead; the rest is as in the backend it is made of. */
  readonly change: (right: Backend, shared: Shared) => Partial<Backend>
}

/** What all broken clients of one datastore have in common. */
export interface Shared {
  readonly listeners: ((event: GrantEvent) => void)[]
  readonly fences: Map<string, number>
  readonly limits: Map<string, number | null>
  /** Owners that released, by name and owner. */
  readonly gone: Map<string, AcquireReply>
  /** What was left, by whatever the fault takes for its place. */
  readonly results: Map<string, string>
  count: number
}

export function newShared(): Shared {
  return { listeners: [], fences: new Map(), limits: new Map(), gone: new Map(), results: new Map(), count: 0 }
}

/** A backend with some of its methods replaced. */
export function broken(right: Backend, change: Partial<Backend>): Backend {
  return {
    kind: right.kind,
    beatMs: right.beatMs,
    acquire: (claim, options) => right.acquire(claim, options),
    renew: claims => right.renew(claims),
    release: (claim, result) => right.release(claim, result),
    watch: (name, owner, client) => right.watch(name, owner, client),
    onGrant: listener => right.onGrant(listener),
    inspect: name => right.inspect(name),
    list: prefix => right.list(prefix),
    close: () => right.close(),
    ...change,
  }
}
