import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { Answer, Backend, Claim, ClaimId, HandedGrant, Step, StoreEvent } from 'soloist'
import { postgresBackend } from 'soloist/postgres'
import { afterAll } from 'vitest'

/** The server that all tests share. */
export const url = String(process.env.SOLOIST_TEST_POSTGRES)

/** A schema that no other test uses. */
export function newSchema(): string {
  return `test_${randomBytes(6).toString('hex')}`
}

/** A pool, closed at the end of this file. */
export function openPool(options: pg.PoolConfig = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 10, ...options })
  pool.on('error', () => {})
  afterAll(() => pool.end())
  return pool
}

export function claim(name: string, owner: string, changes: Partial<Claim> = {}): Claim {
  return { name, owner, mode: 'exclusive', limit: null, ttlMs: 60_000, meta: null, ...changes }
}

let count = 0

/** A backend, step by step. */
export class Client {
  readonly backend: Backend
  readonly events: StoreEvent[] = []
  readonly handed: HandedGrant[] = []

  constructor(target: Parameters<typeof postgresBackend>[0], options: Parameters<typeof postgresBackend>[1] = {}) {
    count += 1
    this.backend = postgresBackend(target, options)
    this.backend.open(`client-${count}-${randomBytes(4).toString('hex')}`, event => this.events.push(event))
    afterAll(() => this.backend.close())
  }

  async run(...steps: readonly Step[]): Promise<readonly Answer[]> {
    const { steps: answers, handed } = await this.backend.run(steps)
    this.handed.push(...handed)
    return answers
  }

  async acquire(claimed: Claim, ticket: 'new' | number | null = null): Promise<Answer> {
    const [answer] = await this.run({ kind: 'acquire', claim: claimed, ticket, replaces: null })
    return answer as Answer
  }

  async release({ name, owner }: ClaimId): Promise<Answer> {
    const [answer] = await this.run({ kind: 'release', name, owner, result: null })
    return answer as Answer
  }

  async renew({ name, owner, ttlMs }: Claim): Promise<Answer> {
    const [answer] = await this.run({ kind: 'renew', name, owner, ttlMs, fence: null })
    return answer as Answer
  }
}

/** The fence of an answer that must be a grant. */
export function fenceOf(answer: Answer): number {
  if (answer.status !== 'granted') throw new Error(`not granted: ${JSON.stringify(answer)}`)
  return answer.fence
}
