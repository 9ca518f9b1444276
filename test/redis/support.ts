import { randomUUID } from 'node:crypto'
import type {
  AcquireAnswer,
  AcquireStep,
  Answers,
  Backend,
  BeginStep,
  Claim,
  HandedGrant,
  KeptResult,
  PushedGrant,
  ReleaseAnswer,
  RenewAnswer,
  Step,
  StoreEvent,
  TriggerStep,
} from 'soloist'
import { type RedisBackendOptions, type RedisClient, redisBackend } from 'soloist/redis'
import { expect, vi } from 'vitest'

/** Tests run side by side, so there is no telling here which one a wait belongs to: `vi.waitFor` does not ask. */
const PATIENCE = { timeout: 15_000, interval: 20 }

/** One client of the backend, at the level of the port. */
export interface PortClient {
  readonly id: string
  readonly backend: Backend
  /** All that was told to it, oldest first. */
  readonly events: StoreEvent[]
  /** An exclusive claim of this client for a minute, unless `fields` say otherwise. */
  claim(name: string, fields?: Partial<Claim>): Claim
  run(...steps: Step[]): Promise<Answers>
  acquire(claim: Claim, options?: Partial<AcquireStep>): Promise<AcquireAnswer>
  /** Acquires the claim, which must be granted. @returns its fence */
  take(claim: Claim, options?: Partial<AcquireStep>): Promise<number>
  /** Queues the claim, which must be busy. @returns its ticket */
  queue(claim: Claim, ticket?: 'new' | number): Promise<number>
  renew(claim: Claim, fence?: number | null): Promise<RenewAnswer>
  release(claim: Claim, result?: KeptResult | null): Promise<ReleaseAnswer>
  /** Releases the claim, which must be held. @returns what was handed to this client in the answer */
  give(claim: Claim, result?: KeptResult | null): Promise<readonly HandedGrant[]>
  /** The push that tells this claim of its grant, waited for. */
  pushed(claim: Claim): Promise<PushedGrant>
  /** Waits until this client is told of its grants: it was told of a gap, which is what had been missed until then. */
  hears(): Promise<void>
}

export const acquire = (claim: Claim, options: Partial<AcquireStep> = {}): AcquireStep => ({
  ...{ kind: 'acquire', claim, ticket: null, replaces: null },
  ...options,
})

export const renewal = ({ name, owner, ttlMs }: Claim, fence: number | null = null): Step => ({
  ...{ kind: 'renew', name, owner, ttlMs, fence },
})

export const release = ({ name, owner }: Claim, result: KeptResult | null = null): Step => ({
  ...{ kind: 'release', name, owner, result },
})

/** Adds to the pending run, with a note, unless `options` say otherwise. */
export const trigger = (claim: Claim, options: Partial<TriggerStep> = {}): TriggerStep => ({
  ...{ kind: 'trigger', claim, running: 'follow', pending: 'follow', note: `of ${claim.owner}`, begins: false },
  ...{ debounce: null, without: null, keepMs: 60_000 },
  ...options,
})

export const begin = ({ name, owner }: Claim): BeginStep => ({ kind: 'begin', name, owner })

/** A client of the datastore whose clients all use this prefix. It is to be closed by its backend. */
export function portClient(
  target: string | RedisClient,
  prefix: string,
  id: string = randomUUID(),
  options: RedisBackendOptions = {},
): PortClient {
  const backend = redisBackend(target, { prefix, ...options })
  const events: StoreEvent[] = []
  backend.open(id, event => events.push(event))
  let claims = 0
  const client: PortClient = {
    id,
    backend,
    events,
    claim: (name, fields = {}) => {
      claims += 1
      const owner = `${id}/${claims}`
      return { name, owner, mode: 'exclusive', limit: null, ttlMs: 60_000, meta: null, ...fields }
    },
    run: (...steps) => backend.run(steps),
    acquire: async (claim, options) => (await backend.run([acquire(claim, options)])).steps[0] as AcquireAnswer,
    take: async (claim, options) => {
      const answer = await client.acquire(claim, options)
      expect(answer, `${claim.owner} on ${claim.name}`).toMatchObject({ status: 'granted' })
      return Number(Reflect.get(answer, 'fence'))
    },
    queue: async (claim, ticket = 'new') => {
      const answer = await client.acquire(claim, { ticket })
      expect(answer, `${claim.owner} on ${claim.name}`).toMatchObject({ status: 'busy', ticket: expect.any(Number) })
      return Number(Reflect.get(answer, 'ticket'))
    },
    renew: async (claim, fence) => (await backend.run([renewal(claim, fence)])).steps[0] as RenewAnswer,
    release: async (claim, result) => (await backend.run([release(claim, result)])).steps[0] as ReleaseAnswer,
    give: async (claim, result) => {
      const { steps, handed } = await backend.run([release(claim, result)])
      expect(steps, `${claim.owner} on ${claim.name}`).toEqual([{ status: 'released', held: true }])
      return handed
    },
    pushed: async ({ name, owner }) => {
      const find = () => events.find(event => event.type === 'granted' && event.name === name && event.owner === owner)
      await vi.waitFor(() => expect(find(), `the push for ${owner}`).toBeDefined(), PATIENCE)
      return find() as PushedGrant
    },
    hears: async () => {
      await vi.waitFor(() => expect(events.some(({ type }) => type === 'gap')).toBe(true), PATIENCE)
    },
  }
  return client
}
