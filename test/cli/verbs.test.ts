import { describe, expect, test } from 'vitest'
import { eventually, lines, type Running, useBench } from './support.js'

const bench = useBench()
const CONTROL = /[\p{Cc}\p{Cf}]/u

async function names(...args: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await bench().run('ls', '--json', ...args)
  return JSON.parse(stdout).locks.map((lock: { name: string }) => lock.name)
}

/** A `run` that waits for the lock, once it is in the queue. */
async function queueFor(name: string): Promise<Running> {
  const running = bench().start('run', name, '--wait', '1h', '--meta', 'next', '--', 'cat')
  await eventually('it waits', async () => (await bench().get(name))?.waiting === 1)
  return running
}

describe('ls', () => {
  test('shows who holds what as a table', async () => {
    const b = await bench().hold('b-job', '--meta', 'second')
    const a = await bench().hold('a-job', '--ttl', '1h')
    await queueFor('b-job')
    const { exitCode, stdout, stderr } = await bench().run('ls')
    expect([exitCode, stderr]).toEqual([0, ''])
    const [title, first, second, ...rest] = lines(stdout)
    expect(title).toMatch(/^NAME +OWNER +MODE +AGE +EXPIRES IN +WAITING +META$/)
    expect(first).toMatch(new RegExp(`^a-job +\\S*:${a.pid}:\\S+ +exclusive +\\d\\S*s +(1h00m|59m\\d\\ds) +0$`))
    expect(second).toMatch(new RegExp(`^b-job +\\S*:${b.pid}:\\S+ +exclusive +\\d\\S*s +[1-3]\\ds +1  second$`))
    expect(rest).toEqual([])
    for (const line of [first, second]) expect(line?.indexOf('exclusive')).toBe(title?.indexOf('MODE'))
  })

  test('takes the prefix literally', async () => {
    for (const name of ['a*', 'ab', 'a_c', 'a%', 'b']) await bench().hold(name)
    expect(await names()).toEqual(['a%', 'a*', 'a_c', 'ab', 'b'])
    expect(await names('a')).toEqual(['a%', 'a*', 'a_c', 'ab'])
    expect(await names('a*')).toEqual(['a*'])
    expect(await names('a_')).toEqual(['a_c'])
    expect(await names('a%')).toEqual(['a%'])
    expect(await names('[a]')).toEqual([])
  })

  test('says so when there is nothing, on stderr', async () => {
    expect(await bench().run('ls')).toEqual({ exitCode: 0, stdout: '', stderr: 'soloist: no lock is in use\n' })
    expect(await bench().run('ls', 'x', '--quiet')).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    expect(await bench().run('ls', '--json')).toEqual({ exitCode: 0, stdout: '{"locks":[]}\n', stderr: '' })
  })

  test('shows control characters as text, and keeps them in JSON', async () => {
    const name = 'red\x1b[31m\nfake  line\u202e'
    await bench().hold(name, '--meta', '\x1b]0;title\x07')
    const { stdout } = await bench().run('ls')
    expect(lines(stdout)).toHaveLength(2)
    expect(stdout).toContain('red\\x1b[31m\\x0afake  line\\u202e')
    expect(stdout).toContain('\\x1b]0;title\\x07')
    expect(stdout.replaceAll('\n', '')).not.toMatch(CONTROL)
    expect(await names()).toEqual([name])
    const get = await bench().run('get', name)
    expect(get.stdout.replaceAll('\n', '')).not.toMatch(CONTROL)
  })
})

describe('get', () => {
  test('shows the holder and who waits, in full', async () => {
    const first = await bench().hold('job', '--meta', 'nightly')
    const second = await queueFor('job')
    const json = await bench().run('get', 'job', '--json')
    expect(json).toMatchObject({ exitCode: 0, stderr: '' })
    const state = JSON.parse(json.stdout)
    expect(state).toEqual({
      name: 'job',
      holding: 1,
      holders: [
        {
          owner: expect.stringContaining(`:${first.pid}:`),
          mode: 'exclusive',
          limit: null,
          fence: expect.any(Number),
          acquiredAtMs: expect.any(Number),
          expiresAtMs: expect.any(Number),
          meta: 'nightly',
        },
      ],
      pending: null,
      waiting: 1,
      waiters: [
        {
          owner: expect.stringContaining(`:${second.pid}:`),
          mode: 'exclusive',
          limit: null,
          waitingSinceMs: expect.any(Number),
          meta: 'next',
          durable: false,
        },
      ],
      limit: null,
      atMs: expect.any(Number),
    })
    const { exitCode, stdout } = await bench().run('get', 'job')
    expect(exitCode).toBe(0)
    for (const shown of [state.holders[0].owner, state.holders[0].fence, state.waiters[0].owner, 'nightly', 'next']) {
      expect(stdout).toContain(String(shown))
    }
  })

  test('a free lock is exit code 1', async () => {
    expect(await bench().run('get', 'job')).toEqual({ exitCode: 1, stdout: "'job' is free\n", stderr: '' })
    expect(await bench().run('get', 'job', '--json')).toEqual({ exitCode: 1, stdout: 'null\n', stderr: '' })
  })
})

describe('unlock', () => {
  test('--force takes the lock from whoever holds it, says whom, and the next in line gets it', async () => {
    await bench().hold('job', '--meta', 'stuck')
    const owner = (await bench().get('job'))?.holders[0]?.owner as string
    const next = await queueFor('job')
    const { exitCode, stdout, stderr } = await bench().run('unlock', 'job', '--force')
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(lines(stdout)).toEqual([expect.stringMatching(/^'job' was taken away from .* since .* ago, 'stuck'\)$/)])
    expect(stdout).toContain(owner)
    next.type('mine\n')
    await next.printed('mine')
    expect((await bench().get('job'))?.holders[0]?.owner).toContain(`:${next.pid}:`)
  })

  test('--owner takes it from exactly this owner', async () => {
    await bench().hold('job')
    const owner = (await bench().get('job'))?.holders[0]?.owner as string
    const wrong = await bench().run('unlock', 'job', '--owner', `${owner}0`)
    expect(wrong).toMatchObject({ exitCode: 1, stderr: '' })
    expect(lines(wrong.stdout)).toEqual([`'job' is not held by ${owner}0; nothing was taken away`])
    expect((await bench().get('job'))?.holders[0]?.owner).toBe(owner)

    const right = await bench().run('unlock', 'job', '--owner', owner, '--json')
    expect(right).toMatchObject({ exitCode: 0, stderr: '' })
    expect(JSON.parse(right.stdout)).toEqual({
      name: 'job',
      removed: [expect.objectContaining({ owner, mode: 'exclusive' })],
    })
    expect(await bench().get('job')).toBeNull()
  })

  test('of a free lock is exit code 1', async () => {
    const ended = await bench().run('unlock', 'job', '--force', '--json')
    expect(ended).toEqual({ exitCode: 1, stdout: '{"name":"job","removed":[]}\n', stderr: '' })
  })
})

describe('clear', () => {
  test('--yes takes away what starts with the prefix, literally, and tells how many', async () => {
    for (const name of ['a*1', 'a*2', 'ab', 'b']) await bench().hold(name)
    expect(await bench().run('clear', 'a*', '--yes')).toEqual({ exitCode: 0, stdout: '2 locks cleared\n', stderr: '' })
    expect(await names()).toEqual(['ab', 'b'])
    const json = await bench().run('clear', 'a', '--yes', '--json')
    expect(json).toEqual({ exitCode: 0, stdout: '{"prefix":"a","cleared":1}\n', stderr: '' })
    expect(await bench().run('clear', 'a', '--yes')).toMatchObject({
      exitCode: 0,
      stdout: "no lock is held below 'a'\n",
    })
    expect(await bench().run('clear', '--all', '--yes')).toMatchObject({ exitCode: 0, stdout: '1 lock cleared\n' })
    expect(await names()).toEqual([])
  })

  test.each([
    ['n\r', 1],
    ['\r', 1],
    ['\x04', 1],
    ['\x03', 1],
    ['yep\r', 1],
    ['y\r', 0],
    ['YES\r', 0],
  ])('asks on a terminal, and the answer %j ends with exit code %d', async (answer, exitCode) => {
    await bench().hold('job-1')
    await bench().hold('job-2')
    const running = bench().startOnTerminal('clear', 'job')
    await running.printed('[y/N] ')
    expect(running.stdout).toContain("2 locks held below 'job'")
    expect(running.stdout).toContain("'job-1', held by ")
    running.type(answer)
    expect((await running.ended).exitCode).toBe(exitCode)
    expect(await names()).toEqual(exitCode === 0 ? [] : ['job-1', 'job-2'])
  })
})
