import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryStore, memoryBackend, Soloist } from 'soloist'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Notices } from '../../dist/cli/output/notices.js'
import { runGuarded } from '../../dist/cli/run/guard.js'
import { Launch } from '../../dist/cli/run/launch.js'
import { SignalInbox } from '../../dist/cli/run/signals.js'
import { systemClock } from '../../dist/internal/clock.js'
import { ManualClock } from '../support/manual-clock.js'
import { ScriptedBackend } from '../support/scripted-backend.js'

/** What the notices have written to stderr. */
let said: string[]
let signals: SignalInbox
let folder: string
/** A file that says that CMD runs. */
let started: string

beforeEach(() => {
  said = []
  folder = mkdtempSync(join(tmpdir(), 'soloist-guard-'))
  started = join(folder, 'started')
  signals = new SignalInbox(() => {})
  vi.spyOn(process.stderr, 'write').mockImplementation(text => said.push(String(text)) > 0)
})

afterEach(() => {
  signals.close()
  rmSync(folder, { recursive: true })
  vi.restoreAllMocks()
})

const options = () => ({ graceMs: 10_000, signals, notices: new Notices() })

test('a lease that ran out before CMD ended is lost, also when no timer has told yet', async () => {
  let skippedMs = 0
  const clock = {
    monotonicMs: () => systemClock.monotonicMs() + skippedMs,
    wallMs: () => systemClock.wallMs() + skippedMs,
    // As in a process that was paused: CMD's end is seen before any timer is.
    setTimer: () => ({ cancel: () => {} }),
  }
  const solo = new Soloist(memoryBackend(), { clock })
  const lease = await solo.lock('job')
  skippedMs = 60_000
  expect(await runGuarded(solo, lease, new Launch(['true']), options())).toBe(76)
  expect(said).toEqual([expect.stringMatching(/^soloist: lost 'job': .*; CMD ended only after that\n$/)])
})

test('a lease that was taken away right before CMD ended is lost, and who has the lock now keeps it', async () => {
  await using solo = new Soloist(memoryBackend())
  const lease = await solo.lock('job')
  await solo.unlock('job', { force: true })
  const next = await solo.lock('job')
  expect(await runGuarded(solo, lease, new Launch(['true']), options())).toBe(76)
  expect(said).toEqual([
    `soloist: lost 'job': the lock "job" is not held by this lease any more; CMD ended only after that\n`,
  ])
  expect((await solo.inspect('job'))?.holders.map(({ owner }) => owner)).toEqual([next.owner])
})

describe('a store that stops answering while CMD runs', () => {
  test('does not change the exit code of CMD that ends in time, and the line says what became of the lock', async () => {
    const backend = new ScriptedBackend(memoryBackend(), systemClock)
    await using solo = new Soloist(backend)
    const lease = await solo.lock('job')
    backend.fate = 'refuse'
    expect(await runGuarded(solo, lease, new Launch(['sh', '-c', 'exit 3']), options())).toBe(3)
    expect(said).toEqual([
      expect.stringMatching(/^soloist: 'job' stays locked until it expires: .* failed \(release\)/),
    ])
    backend.fate = 'pass'
  })

  test('costs the lease after its ttl, and the line says what the store failed with', async () => {
    const clock = new ManualClock()
    const backend = new ScriptedBackend(memoryBackend({ store: new MemoryStore(clock) }), clock)
    await using solo = new Soloist(backend, { clock })
    const lease = await solo.lock('job', { ttlMs: 600 })
    backend.fate = 'refuse'
    const ended = runGuarded(solo, lease, new Launch(['sh', '-c', `echo >'${started}'; exec sleep 1000`]), options())
    await expect.poll(() => existsSync(started)).toBe(true)
    await clock.advance(600)
    expect(await ended).toBe(76)
    expect(said).toEqual([
      expect.stringMatching(/^soloist: lost 'job': .*ran out.* failed \(renew\): .*sent SIGTERM to CMD/),
    ])
    backend.fate = 'pass'
  })
})
