import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connect } from 'soloist'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'

// Test runners replace the timers of a process, jsdom has some of its own: locks go by real time all the same.

const child = fileURLToPath(new URL('children/faked-time.js', import.meta.url))
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'soloist-faked-time-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** What locks do in a process of its own, which must end by itself. */
async function run(how: string, kind: string): Promise<string> {
  const urls: Record<string, string> = {
    'redis:': String(process.env.SOLOIST_TEST_REDIS),
    'sqlite:': `sqlite:${folder}/${how.replaceAll(/\W+/g, '-')}.db`,
  }
  const url = urls[kind] ?? kind
  const { stdout } = await promisify(execFile)(process.execPath, [child, how, url], { timeout: 55_000 })
  return stdout
}

const AS_EVER = `timed out: LOCK_TIMEOUT
renewed: true
handed over: true
runs out: true
by the clock: true
events: true
`

describe.concurrent('locks work as ever', { timeout: 60_000 }, () => {
  test.each([
    ['numbers, as in jsdom', 'memory:'],
    ['numbers, as in jsdom, before soloist is loaded', 'sqlite:'],
    ['all', 'memory:'],
    ['all', 'sqlite:'],
    ['all but ticks', 'redis:'],
    ['Date alone, before soloist is loaded', 'sqlite:'],
    ['performance alone, before soloist is loaded', 'sqlite:'],
    ['ticks, before soloist is loaded', 'memory:'],
    ['Date set to another year', 'sqlite:'],
  ])('where these were replaced: %s (%s)', async (how, kind) => {
    expect(await run(how, kind)).toBe(AS_EVER)
  })

  test('or fail with a code where it is the client that needs what was replaced', async () => {
    // ioredis sends nothing without process.nextTick.
    const failed = await run('ticks', 'redis:').catch((error: { stderr: string }) => error.stderr)
    expect(failed).toContain("code: 'BACKEND_UNAVAILABLE'")
  })

  test.each(['all', 'timers alone'])('or are refused where there are no real timers any more: %s', async how => {
    const failed = await run(`${how}, before soloist is loaded`, 'memory:').catch(
      (error: { stderr: string }) => error.stderr,
    )
    expect(failed).toContain('soloist was loaded after useFakeTimers()')
    expect(failed).toContain("code: 'INVALID_ARGUMENT'")
  })
})

describe("under Vitest's fake timers", () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  test('a call settles while the fake time stands still', async () => {
    await using solo = connect('memory:')
    const held = await solo.lock('a')
    vi.useFakeTimers()
    await expect(solo.lock('a', { waitMs: 50 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', holder: held.owner })
  })

  test('a lease stays when the fake time moves on', async () => {
    vi.useFakeTimers()
    await using solo = connect('memory:')
    const held = await solo.lock('a', { ttlMs: 30_000 })
    await vi.advanceTimersByTimeAsync(86_400_000)
    vi.setSystemTime('2040-01-01')
    held.assertValid()
    await held.renew()
    expect(await solo.tryLock('a')).toBeNull()
    expect((await solo.inspect('a'))?.holders).toMatchObject([{ owner: held.owner }])
    expect(vi.getTimerCount()).toBe(0)
  })
})
