import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Event, readJournal } from '../../examples/demo/journal.js'
import type { JudgedRecord } from '../../examples/demo/timeline.js'
import { Program, timeout } from './program.js'

const MAIN = fileURLToPath(new URL('../../examples/demo/main.js', import.meta.url))
/** Longer than the ttl of the demo's locks. */
const SLEEPS_MS = 2_500

let out: string
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'soloist-demo-'))
})
afterEach(() => rmSync(out, { recursive: true, force: true }))

const demo = (...args: string[]) => new Program(MAIN, args)

const stores = [
  { name: 'SQLite', args: [] },
  { name: 'Redis', args: ['--store', process.env.SOLOIST_TEST_REDIS ?? ''] },
]

describe.each(stores)('the demo on $name', ({ name, args }) => {
  test('measures each package once, although one worker is killed with a lock in its hands', { timeout }, async () => {
    await using program = demo('--out', out, ...args)
    const { exitCode, printed } = await program.ended
    expect(printed).toContain('complete, each package measured once')
    expect(exitCode).toBe(0)

    const record: JudgedRecord = JSON.parse(readFileSync(join(out, 'latest.json'), 'utf8'))
    const { totals, kill, holdings, workers, packages } = record
    expect(record.problems).toEqual([])
    expect(record.backend).toBe(name.toLowerCase())
    expect(totals.requests).toBeGreaterThan(totals.packages)
    expect(totals.served).toBe(totals.requests)
    expect(packages).toHaveLength(totals.packages)

    const measured = holdings.filter(({ use }) => use === 'measured').map(holding => holding.package)
    expect(measured.toSorted()).toEqual(packages.map(({ path }) => path).toSorted())
    expect(totals.reused).toBe(totals.requests - totals.packages)
    expect(record.waits.length).toBeGreaterThan(0)

    expect(holdings.filter(({ use }) => use === 'unfinished')).toMatchObject([
      { worker: kill?.worker, package: kill?.package, fence: kill?.fence, end: 'killed' },
    ])
    const taken = packages.find(({ path }) => path === kill?.package)
    expect(taken).toMatchObject({ worker: kill?.successor, fence: kill?.successorFence })
    expect(taken?.worker).not.toBe(kill?.worker)
    expect(taken?.fence).toBeGreaterThan(kill?.fence ?? Infinity)
    expect(workers.find(worker => worker.name === kill?.worker)).toMatchObject({ killed: true })
    expect(workers.filter(({ replaces }) => replaces === kill?.worker)).toHaveLength(1)
    expect(lastSteps(record)).toEqual(['granted', 'measuring'])

    expect(record.overlaps).toEqual([])
    expect(overlapping(record)).toEqual([])
    expect(record.remeasured.map(({ same }) => same)).toEqual([true, true, true])
    expect(readFileSync(join(out, 'latest.html'), 'utf8')).not.toMatch(/https?:/)
  })
})

/** What the killed worker did with its last package, from its journal. */
function lastSteps({ run, kill }: JudgedRecord) {
  const events = readJournal(join(out, run), kill?.worker ?? '')
  const last = events.filter(({ request }) => request === events.at(-1)?.request)
  return last.map(({ step }) => step).filter(step => step !== 'asked' && step !== 'waiting')
}

/** Locks that changed hands before their holder was done, or with a lower fence, from the journals alone. */
function overlapping({ run, workers, kill }: JudgedRecord) {
  const events = workers.flatMap(({ name }) => readJournal(join(out, run), name)).sort((a, b) => a.t - b.t)
  const holder = new Map<string, Event>()
  const fences = new Map<string, number>()
  return events.filter(event => {
    const path = event.package ?? ''
    const { step, fence = 0 } = event
    if (step === 'releasing') holder.delete(path)
    if (step !== 'granted') return false
    const before = holder.get(path)
    const wrong = (before !== undefined && before.worker !== kill?.worker) || fence <= (fences.get(path) ?? 0)
    holder.set(path, event)
    fences.set(path, fence)
    return wrong
  })
}

test.each(stores)(
  'on $name a run goes on when the machine has slept for longer than a lease lasts',
  { timeout },
  async ({ args }) => {
    await using program = demo('--out', out, ...args)
    await program.until(() => {
      if (!isMeasuring(out)) return false
      program.signal('SIGSTOP')
      // It may have finished before it was stopped.
      if (isMeasuring(out)) return true
      program.signal('SIGCONT')
      return false
    })
    await sleep(SLEEPS_MS)
    program.signal('SIGCONT')
    const { exitCode, printed } = await program.ended
    expect(printed).toContain('complete, each package measured once')
    expect(exitCode).toBe(0)
    const { totals, holdings }: JudgedRecord = JSON.parse(readFileSync(join(out, 'latest.json'), 'utf8'))
    const lost = holdings.filter(({ end }) => end === 'lost')
    expect(lost).not.toEqual([])
    expect(totals.served).toBe(totals.requests)
  },
)

/** Whether a worker has a lock and has not finished, as far as the journals of a run tell. */
function isMeasuring(folder: string): boolean {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(file => /events-\d/.test(file))
  return files.some(file => /"step":"measuring"[^\n]*\n$/.test(readFileSync(join(folder, file), 'utf8')))
}

test('Ctrl-C ends the workers and removes the run', { timeout }, async () => {
  await using program = demo('--out', out)
  const journals = () => readdirSync(out, { recursive: true, encoding: 'utf8' }).filter(file => /events-\d/.test(file))
  const granted = () => journals().some(file => readFileSync(join(out, file), 'utf8').includes('"granted"'))
  await program.until(granted)
  program.signal('SIGINT')
  expect((await program.ended).exitCode).toBe(130)
  expect(readdirSync(out)).toEqual([])
  expect(() => process.kill(-program.pid, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }))
})

test.each([
  ['an unknown option', ['--bogus']],
  ['too few workers', ['--workers', '1']],
  ['a number that is none', ['--workers', '4x']],
  ['an unknown store', ['--store', 'nope:']],
  ['a store that others cannot see', ['--store', 'memory:']],
  ['a superfluous argument', ['more']],
])('%s gets one line and exit code 2', async (_, args) => {
  await using program = demo('--out', join(out, 'new'), ...args)
  const { exitCode, printed } = await program.ended
  expect(printed).toMatch(/^demo: .+\n$/)
  expect(exitCode).toBe(2)
  expect(existsSync(join(out, 'new'))).toBe(false)
})

test('a store that does not answer gets one line and leaves nothing', async () => {
  await using program = demo('--out', out, '--store', 'redis://127.0.0.1:1')
  const { exitCode, printed } = await program.ended
  expect(printed).toMatch(/^demo: .+ECONNREFUSED.+\n$/)
  expect(exitCode).toBe(1)
  expect(readdirSync(out)).toEqual([])
})
