import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { decide } from '../../dist/internal/job-decision.js'

// The table of docs/adapters/bullmq.md says what the code decides.

const page = readFileSync(new URL('../../docs/adapters/bullmq.md', import.meta.url), 'utf8')
const rows = [
  ...page.matchAll(/^\| `(join|skip|reject|replace|rerun|delay)` \| ([\w ]+) \| ([\w ]+) \| ([\w ]+) \|$/gm),
]

const words = {
  meet: { meet: 'meet', wait: 'wait', follow: 'add', displace: 'take the place' },
  // Where only a queued one is in the way, the first that is queued follows the one that runs.
  first: { meet: 'meet', wait: 'wait', follow: 'add', displace: 'follow' },
} as const

test('each cell', () => {
  expect(rows).toHaveLength(6)
  for (const [, strategy, running, pending, gated] of rows as unknown as [
    string,
    Parameters<typeof decide>[1],
    string,
    string,
    string,
  ][]) {
    for (const mode of ['untilExecuted', 'whileExecuting', 'untilExpired'] as const) {
      const { running: onRun, pending: onPending } = decide(mode, strategy, true)
      expect([strategy, words.meet[onRun], words.meet[onPending]]).toEqual([strategy, running, pending])
    }
    for (const mode of ['untilExecuting', 'untilAndWhileExecuting'] as const) {
      const { running: onRun, pending: onPending } = decide(mode, strategy, true)
      const own = strategy === 'replace' ? words.meet : words.first
      expect([strategy, own[onRun], words.meet[onPending]]).toEqual([strategy, gated, pending])
    }
  }
})
