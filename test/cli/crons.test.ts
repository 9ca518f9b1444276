import { connect } from 'soloist'
import { cron, oncePerTick } from 'soloist/cron'
import { expect, test } from 'vitest'
import { useBench } from './support.js'

const bench = useBench()

test('crons shows the last tick, by whom, how long, how it ended, and the next', async () => {
  await using solo = connect(bench().store)
  const at = new Date(Math.floor(Date.now() / 1_000) * 1_000)
  await oncePerTick(solo, 'mail:digest', at, () => Promise.reject(new Error('no\u001bserver')))
  await using schedule = cron(solo, 'nightly', '0 3 * * *', { timezone: 'UTC' }, () => {})
  await expect.poll(async () => await bench().get('cron:nightly')).not.toBeNull()

  const { exitCode, stdout, stderr } = await bench().run('crons')
  expect([exitCode, stderr]).toEqual([0, ''])
  const [titles, mail, nightly] = stdout.split('\n')
  expect(titles).toMatch(/^NAME +PATTERN +LAST TICK +RESULT +TOOK +BY +NEXT +ERROR$/)
  expect(mail).toContain(`${at.toISOString().slice(0, 19)}Z  failed`)
  expect(mail).toContain(solo.clientId)
  expect(mail).toContain('no\\x1bserver')
  expect(nightly).toMatch(/^nightly +0 3 \* \* \* +- +- +- +- +\d{4}-\d\d-\d\dT03:00:00Z$/)

  const { crons } = JSON.parse((await bench().run('crons', 'mail', '--json')).stdout)
  expect(crons).toEqual([
    {
      name: 'mail:digest',
      pattern: null,
      timezone: null,
      sinceMs: expect.any(Number),
      last: {
        scheduledAtMs: at.getTime(),
        by: expect.stringContaining(solo.clientId),
        startedAtMs: expect.any(Number),
        tookMs: expect.any(Number),
        result: 'failed',
        error: 'no\u001bserver',
      },
      nextMs: null,
    },
  ])
  expect(schedule.next).not.toBeNull()
})

test('crons says when there is none', async () => {
  expect(await bench().run('crons')).toEqual({ exitCode: 0, stdout: '', stderr: 'soloist: no cron job is known\n' })
  expect((await bench().run('crons', '--json')).stdout).toBe('{"crons":[]}\n')
})
