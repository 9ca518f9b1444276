import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LockState } from '../../backend.js'
import { connect, type Soloist } from '../../index.js'
import { checkHistory } from '../history/check.js'
import { LONG_MS, shown } from '../trial/client.js'
import type { Suite, Trial } from '../trial/suite.js'
import { Child } from './child-process.js'
import type { Recorded } from './recorder.js'

/** Long enough to look at the lock once more after its holder was stopped, before it runs out. */
const TTL_MS = 6_000
/** A ttl that is meant to run out at once. */
const SHORT_MS = 200
/** How long a successor may take, whatever the backend has to find out first: a failure, not a measurement. */
const PATIENCE_MS = 40_000
const CHILDREN = 4
const ROUNDS = 25

/** Processes that are killed, paused, and many. `module` opens the datastore in each. */
export function processes(suite: Suite, module: URL): void {
  suite.test('a holder that is killed is succeeded when its ttl has passed, not before', async trial => {
    await using scene = new Scene(trial, module)
    const [solo, child] = [await scene.solo(), await scene.child()]
    const dead = await child.call('lock', 'lock', TTL_MS)
    const successor = awaitedLater(solo.lock('lock', { waitMs: PATIENCE_MS }))
    await scene.waiting(solo, 'lock', 1)
    await child.kill()
    const last = holderOf(await solo.inspect('lock'))
    assert.equal(last.owner, dead.owner, 'the lock is still that of the killed process')
    const lease = await successor
    assert.ok(lease.fence > dead.fence, `the fence of the successor, ${lease.fence}, should be above ${dead.fence}`)
    const next = holderOf(await solo.inspect('lock'))
    assert.equal(next.owner, lease.owner, 'the lock is the successor’s')
    assertNotBefore(last.expiresAtMs, lease.fence / 1000)
  })

  suite.test('a process that is killed while it waits does not stop the queue', async trial => {
    await using scene = new Scene(trial, module)
    const [solo, child] = [await scene.solo(), await scene.child()]
    const holder = await solo.lock('lock')
    child.begin('lock', 'lock', TTL_MS)
    await scene.waiting(solo, 'lock', 1)
    const next = awaitedLater(solo.lock('lock', { waitMs: PATIENCE_MS }))
    await scene.waiting(solo, 'lock', 2)
    await child.kill()
    await holder.release()
    const lease = await next
    assert.ok(lease.fence > holder.fence, `the fence of the next, ${lease.fence}, should be above ${holder.fence}`)
    assert.equal(holderOf(await solo.inspect('lock')).owner, lease.owner, 'the lock is that of the next in line')
  })

  suite.test(
    'a holder that is paused past its ttl is succeeded, knows it when it wakes, and changes nothing',
    async trial => {
      await using scene = new Scene(trial, module)
      const [solo, child] = [await scene.solo(), await scene.child()]
      const paused = await child.call('lock', 'lock', TTL_MS)
      const successor = awaitedLater(solo.lock('lock', { waitMs: PATIENCE_MS }))
      await scene.waiting(solo, 'lock', 1)
      child.pause()
      const last = holderOf(await solo.inspect('lock'))
      assert.equal(last.owner, paused.owner, 'the lock is still that of the paused process')
      const lease = await successor
      assert.ok(
        lease.fence > paused.fence,
        `the fence of the successor, ${lease.fence}, should be above ${paused.fence}`,
      )
      const next = holderOf(await solo.inspect('lock'))
      assert.equal(next.owner, lease.owner, 'the lock is the successor’s')
      assertNotBefore(last.expiresAtMs, lease.fence / 1000)
      child.resume()
      assert.equal(await child.call('assertValid'), 'LEASE_LOST', 'what assertValid() throws after the pause')
      assert.equal(await child.call('lost'), 'LEASE_LOST', 'what the signal aborts with after the pause')
      assert.deepEqual(await child.call('insist'), { renewal: 'lost', released: false }, 'what its owner can still do')
      await child.call('release')
      const after = holderOf(await solo.inspect('lock'))
      assert.equal(after.owner, lease.owner, 'the lock is still the successor’s')
      assert.ok([0, lease.fence].includes(after.fence), 'its fence is the successor’s, as far as it is noted')
      lease.assertValid()
    },
  )

  suite.test('what a process leaves with its release is told to another that watches', async trial => {
    await using scene = new Scene(trial, module)
    const [child, client] = [await scene.child(), await trial.client()]
    const { owner } = await child.call('lock', 'lock', TTL_MS)
    const claim = client.claim('lock', { owner })
    await client.sees(claim, 'live')
    await child.call('leave', 'left by the child', 60_000)
    await client.ended(claim)
    await child.kill()
    await client.sees(claim, { text: 'left by the child' })
  })

  suite.test('the claim of a process that is killed is live until its ttl has passed, then it is gone', async trial => {
    await using scene = new Scene(trial, module)
    const [child, client] = [await scene.child(), await trial.client()]
    const { owner } = await child.call('lock', 'lock', LONG_MS)
    const claim = client.claim('lock', { owner })
    await child.kill()
    await client.sees(claim, 'live')
    // Its ttl is cut short only now, so that a slow machine has time to look before it is over.
    await client.renewed({ ...claim, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    await client.sees(claim, 'gone')
  })

  suite.test('processes take turns on one lock', async trial => {
    const { violations, counts, handOffs } = await contend(trial, module, mutex)
    assert.deepEqual(violations, [])
    assert.equal(counts.granted, CHILDREN * ROUNDS)
    assert.equal(counts.released, counts.granted, 'every grant was released while it was valid')
    assert.equal(counts.mostTogether, 1)
    assert.ok(
      handOffs >= CHILDREN,
      `the processes should have met: the lock went from one to another ${handOffs} times`,
    )
  })

  suite.test('processes share a semaphore up to its limit', async trial => {
    const { violations, counts } = await contend(trial, module, semaphore)
    assert.deepEqual(violations, [])
    assert.equal(counts.granted, CHILDREN * ROUNDS)
    assert.equal(counts.released, counts.granted, 'every grant was released while it was valid')
    assert.equal(counts.mostTogether, semaphore.limit, 'the processes should have met')
  })
}

const mutex: Recorded = { name: 'mutex', mode: 'exclusive', limit: null }
const semaphore: Recorded = { name: 'semaphore', mode: 'shared', limit: 2 }

/** The processes of one test. */
class Scene implements AsyncDisposable {
  readonly #trial: Trial
  readonly #module: URL
  readonly #children: Child[] = []
  readonly #solos: Soloist[] = []

  constructor(trial: Trial, module: URL) {
    this.#trial = trial
    this.#module = module
  }

  async solo(): Promise<Soloist> {
    const solo = connect((await this.#trial.store()).backend)
    this.#solos.push(solo)
    return solo
  }

  async child(): Promise<Child> {
    const child = new Child()
    this.#children.push(child)
    await child.call('open', this.#module.href, this.#trial.prefix)
    return child
  }

  /** Returns when `count` claims wait for the lock. */
  async waiting(solo: Soloist, name: string, count: number): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    let state = await solo.inspect(name)
    while (state?.waiting !== count) {
      assert.ok(performance.now() < deadline, `${count} claims should wait for ${shown(name)}: ${shown(state)}`)
      await sleep(5)
      state = await solo.inspect(name)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map(child => child.kill()))
    for (const solo of this.#solos) await solo.close()
  }
}

/** Several processes run short sections on one lock at once; what they recorded, judged. */
async function contend(trial: Trial, module: URL, target: Recorded) {
  await using scene = new Scene(trial, module)
  const folder = await mkdtemp(join(tmpdir(), 'soloist-conformance-'))
  try {
    const log = join(folder, 'history.jsonl')
    const solo = await scene.solo()
    const children = await Promise.all(Array.from({ length: CHILDREN }, () => scene.child()))
    // Nobody has it before all wait for it, also on a machine that starts them one after the other.
    const gate = await solo.lock(target.name)
    const sections = children.map((child, i) => child.call('sections', target, ROUNDS, log, `process ${i}`))
    const ended = awaitedLater(Promise.all(sections))
    await Promise.race([scene.waiting(solo, target.name, CHILDREN), ended])
    await gate.release()
    await ended
    const history = await readFile(log, 'utf8')
    return { ...checkHistory(history), handOffs: handOffs(history) }
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** How often the lock went from one process to another. */
function handOffs(history: string): number {
  const granted = history.split('\n').filter(line => line.includes('"event":"granted"'))
  const processes = granted.map(line => String(JSON.parse(line).owner).split('/')[0])
  return processes.filter((process, i) => i > 0 && process !== processes[i - 1]).length
}

/** A promise that is awaited only when more was done: should that fail, its own failure must not be an unhandled one. */
function awaitedLater<T>(promise: Promise<T>): Promise<T> {
  void Promise.allSettled([promise])
  return promise
}

function holderOf(state: LockState | null): LockState['holders'][number] {
  const [holder] = state?.holders ?? []
  assert.ok(holder !== undefined && state?.holders.length === 1, `one owner should hold the lock: ${shown(state)}`)
  return holder
}

/** Both times are the datastore's: a fence tells when it was given. Rounding is all that is allowed for. */
function assertNotBefore(expiresAtMs: number | null, acquiredAtMs: number): void {
  assert.ok(expiresAtMs !== null, 'the lease before had its time')
  assert.ok(
    acquiredAtMs >= expiresAtMs - 1,
    `granted at ${acquiredAtMs}, but the lease before ran until ${expiresAtMs}`,
  )
}
