import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'
import { describe, test } from 'vitest'
import { Crew } from './crew.js'
import { deferred } from './support.js'

// A process that goes on after the lease of its run has run out: stopped, or with its event loop blocked.

/** Longer than a busy machine holds up a process that is to keep its run. */
const OPTIONS = { ttlMs: 5_000 }
const BLOCKED_MS = 8_000

type How = (child: ChildProcess) => { readonly goOn: () => void }
const hows: Record<string, How> = {
  'that was stopped': child => {
    child.kill('SIGSTOP')
    return { goOn: () => void child.kill('SIGCONT') }
  },
  'whose event loop was blocked': child => {
    child.send(BLOCKED_MS)
    return { goOn: () => {} }
  },
}

describe.concurrent.each(['redis', 'sqlite'] as const)('processes that share %s', kind => {
  test.for(Object.entries(hows))(
    'a run in a process %s for longer than its lease may not go on',
    async ([_, how], { expect }) => {
      await using crew = new Crew(kind)
      const child = fork(
        new URL('./children/paused.js', import.meta.url),
        [kind, crew.where, JSON.stringify(OPTIONS)],
        {
          execArgv: [],
        },
      )
      const messages: unknown[] = []
      child.on('message', message => messages.push(message))
      const exited = once(child, 'exit')
      const message = async () => {
        while (messages.length === 0) await once(child, 'message')
        return messages.shift()
      }
      const solo = connect(
        kind === 'redis'
          ? redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix: crew.where })
          : sqliteBackend(crew.where),
      )
      try {
        expect(await message()).toBe('running')
        const [started, end] = [deferred<bigint>(), deferred()]
        const job = solo.job('work', { uniqueOn: [], ...OPTIONS }, async (_: object) => {
          started.resolve(process.hrtime.bigint())
          await end.promise
          return 'other'
        })
        const joined = [await job.trigger({}), await job.trigger({})]
        expect(joined.map(({ status }) => status)).toEqual(['duplicate', 'duplicate'])
        const { goOn } = how(child)
        const startedAt = await started.promise
        goOn()
        const told = (await message()) as { validAt: string }
        expect(told).toMatchObject({ code: 'LEASE_LOST', aborted: true })
        expect(BigInt(told.validAt)).toBeGreaterThan(0n)
        expect(BigInt(told.validAt)).toBeLessThan(startedAt)
        child.send('end')
        // Its result does not count, though its handler returned one.
        expect(await message()).toEqual({ code: 'LEASE_LOST' })
        end.resolve()
        expect(await Promise.all(joined.map(outcome => outcome.result()))).toEqual(['other', 'other'])
        expect(await exited).toEqual([0, null])
        expect(await job({})).toBe('other')
        const left: string[] = []
        for await (const { name } of solo.jobs.list()) left.push(name)
        expect(left).toEqual([])
      } finally {
        child.kill('SIGKILL')
        await solo.close()
      }
    },
  )
})
