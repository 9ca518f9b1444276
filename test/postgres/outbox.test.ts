import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { judge } from '../../examples/postgres/judge.js'
import type { RunRecord } from '../../examples/postgres/run.js'
import { Program, timeout } from '../process/program.js'

const MAIN = fileURLToPath(new URL('../../examples/postgres/main.js', import.meta.url))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soloist-outbox-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const example = (...args: string[]) => new Program(MAIN, args)

async function runOf(...args: string[]): Promise<{ exitCode: number | null; printed: string; record: RunRecord }> {
  const file = join(folder, 'record.json')
  await using program = example('--record', file, ...args)
  const { exitCode, printed } = await program.ended
  expect(existsSync(file), printed).toBe(true)
  return { exitCode, printed, record: JSON.parse(readFileSync(file, 'utf8')) }
}

test('each event is told once, although a worker is killed and one is paused', { timeout }, async () => {
  const { exitCode, record } = await runOf('--events', '100')
  expect(record.problems).toEqual([])
  expect(exitCode).toBe(0)
  expect(record.committed).toBeGreaterThanOrEqual(100)
  expect(record.told).toBe(record.committed)
  expect(record.rolledBack).toBeGreaterThan(0)
  expect(record.killed?.events.length).toBeGreaterThan(0)
  expect(record.paused).toMatchObject({ outcome: 'refused' })
})

test('without the guard the worker that was paused tells its events again', { timeout }, async () => {
  const { exitCode, record } = await runOf('--events', '50', '--without-guard')
  expect(exitCode).toBe(1)
  expect(record.paused).toMatchObject({ outcome: 'told' })
  const events = record.paused?.events ?? []
  expect(events.length).toBeGreaterThan(0)
  expect(record.told).toBe(record.committed + events.length)
  for (const id of events) expect(record.problems).toContain(`event ${id} was told 2 times`)
})

test('Ctrl-C ends all processes, Postgres included', { timeout }, async () => {
  await using program = example()
  await program.until(() => / was killed while/.test(program.printed))
  program.signal('SIGINT')
  const { exitCode, printed } = await program.ended
  // As in the example of webhooks, they may say before that the server is gone.
  expect(printed).toMatch(/^interrupted: all processes have ended$/m)
  expect(exitCode).toBe(130)
  expect(() => process.kill(-program.pid, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }))
})

test.each([
  ['an unknown option', ['--bogus']],
  ['too few events', ['--events', '49']],
  ['a superfluous argument', ['more']],
])('%s gets one line and exit code 2', async (_, args) => {
  await using program = example(...args)
  const { exitCode, printed } = await program.ended
  expect(printed).toMatch(/^outbox: .+\n$/)
  expect(exitCode).toBe(2)
})

describe('the judge', () => {
  const event = (id: string, account = 'a') => ({ id, account, amount: 5 })
  const entry = (id: string, fence: string, account = 'a') => ({ event: id, account, amount: 5, fence, worker: 1 })
  const balances = new Map([['a', 10]])

  test('finds nothing wrong with what is right', () => {
    expect(judge([entry('1', '7'), entry('2', '7')], [event('1'), event('2')], [event('3')], balances)).toEqual([])
  })

  test.each([
    ['what was told twice', [entry('1', '7'), entry('2', '7'), entry('2', '7')], 'event 2 was told 2 times'],
    ['what was not told', [entry('1', '7')], 'event 2 was told 0 times'],
    [
      'what was rolled back',
      [entry('1', '7'), entry('2', '7'), entry('3', '7')],
      'event 3 was told, and was rolled back',
    ],
    ['another order', [entry('2', '7'), entry('1', '7')], 'a: event 1 came after a later one'],
    ['a holder that came late', [entry('1', '8'), entry('2', '7')], 'a: a holder wrote after a later one'],
    ['a balance that is not the sum', [entry('1', '7')], 'a: the balance is 10, and 5 was told'],
  ])('finds %s', (_, ledger, problem) => {
    expect(judge(ledger, [event('1'), event('2')], [event('3')], balances)).toContain(problem)
  })
})
