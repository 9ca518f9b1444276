import { appendFileSync, readFileSync } from 'node:fs'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { Backend } from '../../backend.js'
import { connect, type Lease, type Soloist, SoloistError } from '../../index.js'
import { importStore } from '../setup.js'
import { release } from '../trial/steps.js'
import type { ChildCommands, Reply, Request } from './protocol.js'
import { type Recorded, recordSection } from './recorder.js'

// The child process of the suite: one client of the datastore, told over IPC what to do. It lives as long as its parent.

let backend: Backend
let solo: Soloist
let lease: Lease
let leaseTtlMs: number

/** How long a first section lasts at least. */
const MEET_MS = 150
/** Where so many cannot hold it together, a first section ends after this long, and the test fails. */
const MEETING_MS = 10_000
const commands: ChildCommands = {
  async open(store, prefix) {
    backend = (await (await importStore(store)).open({ prefix })).backend
    solo = connect(backend)
  },

  async lock(name, ttlMs) {
    leaseTtlMs = ttlMs
    lease = await solo.lock(name, { ttlMs, outlivesProcess: true })
    return { owner: lease.owner, fence: lease.fence }
  },

  async release() {
    await lease.release()
  },

  async leave(text, keepMs) {
    await backend.run([release(lease, { text, keepMs })])
  },

  async lost() {
    const { signal } = lease
    if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
    return codeOf(signal.reason)
  },

  async assertValid() {
    try {
      lease.assertValid()
    } catch (error) {
      return codeOf(error)
    }
    return 'valid'
  },

  async insist() {
    const { name, owner } = lease
    const renewal = { kind: 'renew', name, owner, ttlMs: leaseTtlMs, fence: null } as const
    const { steps } = await backend.run([renewal, release(lease)])
    const [renewed, released] = steps
    return { renewal: renewed?.status ?? 'no answer', released: released?.status === 'released' && released.held }
  },

  async sections(target, rounds, log, label) {
    const record = (entry: unknown) => appendFileSync(log, `${JSON.stringify(entry)}\n`)
    const meet = async () => {
      const untilMs = performance.now() + MEETING_MS
      await sleep(MEET_MS)
      while (performance.now() < untilMs && !(await haveMet(target, log))) await sleep(5)
    }
    for (let round = 0; round < rounds; round += 1) {
      const stay = () => (round === 0 ? meet() : round % 3 === 0 ? sleep(1) : turn())
      await recordSection(solo, target, `${label}/${round}`, record, stay)
    }
  },
}

process.on('message', (request: Request) => void answer(request))
process.once('disconnect', () => process.exit())

async function answer({ id, command, args }: Request): Promise<void> {
  const run = commands[command] as (...args: readonly unknown[]) => Promise<unknown>
  let reply: Reply
  try {
    reply = { id, value: await run(...args) }
  } catch (error) {
    reply = { id, error: error instanceof Error ? String(error.stack) : String(error) }
  }
  process.send?.(reply)
}

/** Whether as many processes as can hold it together, or do, have written down that they do. */
async function haveMet({ name, limit }: Recorded, log: string): Promise<boolean> {
  const holding = (await solo.inspect(name))?.holding ?? 0
  const told = readFileSync(log, 'utf8').split('"event":"granted"').length - 1
  return told >= Math.max(limit ?? 1, holding)
}

function codeOf(error: unknown): string {
  return error instanceof SoloistError ? error.code : String(error)
}
