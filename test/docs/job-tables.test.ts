// The table of modes and strategies in docs/jobs.md against the function that decides.
import type { JobMode, JobStrategy } from 'soloist'
import { expect, test } from 'vitest'
import { type Course, type Decision, decide, verdict } from '../../dist/internal/job-decision.js'
import { textOf } from './pages.js'

const MODES = [
  ['untilExecuted', 'whileExecuting'],
  ['untilExecuting', 'untilAndWhileExecuting'],
  ['untilExpired'],
] as const satisfies readonly (readonly JobMode[])[]
const STRATEGIES = ['join', 'reject', 'skip', 'replace', 'rerun', 'delay'] as const satisfies readonly JobStrategy[]

const live = { owner: 'live', ageMs: 1 }
const waiting = { owner: 'waiting', ageMs: 1 }

/** The rows of the table below this heading, cell by cell. */
function table(heading: string): string[][] {
  const section =
    textOf('docs/jobs.md')
      .split(/^## /m)
      .find(part => part.startsWith(heading)) ?? ''
  const rows = section.split('\n').filter(line => line.startsWith('|'))
  return rows.map(row =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map(cell => cell.trim()),
  )
}

/** What a trigger comes to where only the lock's state decides. */
function courseOf(decision: Decision, pends: boolean): Course {
  const action = pends ? decision.pending : decision.running
  return action === 'wait' || action === 'displace' || (action === 'follow' && !pends) ? 'queued' : 'met'
}

/** What the page has to say first in a cell. */
function cell(mode: JobMode, strategy: JobStrategy, adds: boolean): string {
  const gated = mode === 'untilExecuting' || mode === 'untilAndWhileExecuting'
  const seen = { running: live, pending: gated ? waiting : null, waiting: null }
  const { status, ofMet, met } = verdict(mode, strategy, courseOf(decide(mode, strategy, adds), gated), seen)
  if (strategy === 'reject') {
    expect(status).toBe('duplicate')
    return '`DuplicateJobError`'
  }
  return `\`${status}\`, id of the ${ofMet ? met?.owner : 'new'} run`
}

test('each cell says what is decided, whether or not rerun merges', () => {
  const [head = [], , ...rows] = table('What becomes of a duplicate')
  expect(head.slice(1)).toEqual(MODES.map(modes => modes.map(mode => `\`${mode}\``).join(', ')))
  expect(rows.map(([strategy]) => strategy?.replace(' (default)', ''))).toEqual(STRATEGIES.map(each => `\`${each}\``))
  for (const [i, strategy] of STRATEGIES.entries()) {
    for (const [j, modes] of MODES.entries()) {
      for (const mode of modes) {
        for (const adds of [true, false]) {
          const text = rows[i]?.[j + 1] as string
          expect(text.startsWith(cell(mode, strategy, adds)), `${mode} × ${strategy}: ${text}`).toBe(true)
        }
      }
    }
  }
})

test('each mode says when a trigger is a duplicate, and when the first during a run is none', () => {
  const [, , ...rows] = table('From when to when')
  expect(rows.map(([modes]) => modes?.match(/`until\w+`|`while\w+`/g)?.map(word => word.slice(1, -1)))).toEqual(MODES)
  for (const [i, modes] of MODES.entries()) {
    for (const mode of modes) {
      const seen = { running: live, pending: null, waiting: null }
      const { status } = verdict(mode, 'join', courseOf(decide(mode, 'join', false), false), seen)
      expect(status).toBe(rows[i]?.[1]?.startsWith('a run waits') ? 'deferred' : 'duplicate')
      expect(verdict(mode, 'join', 'granted', { running: null, pending: null, waiting: null }).status).toBe('started')
    }
  }
})
