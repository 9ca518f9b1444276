import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type Bench, eventually, finished, isAlive, lines, useBench } from './support.js'

const bench = useBench()

/** The owner that holds the lock, `null` when none does. */
async function ownerOf(name: string): Promise<string | null> {
  return (await bench().get(name))?.holders[0]?.owner ?? null
}

/** Resolves once so many claims wait for the lock. */
async function waiting(on: Bench, name: string, claims: number): Promise<void> {
  await eventually(`${claims} waiting`, async () => (await on.get(name))?.waiting === claims)
}

const NODE = [process.execPath, '-e'] as const

describe('one process runs CMD', () => {
  test('whoever comes second exits with 75 and says who has the lock, since when and why', async () => {
    const first = await bench().hold('job', '--meta', 'nightly build')
    const owner = await ownerOf('job')
    expect(owner).toContain(`:${first.pid}:`)

    const second = await bench().run('run', 'job', '--', 'touch', join(bench().folder, 'second'))
    expect([second.exitCode, second.stdout]).toEqual([75, ''])
    expect(lines(second.stderr)).toHaveLength(1)
    expect(second.stderr).toMatch(
      /^soloist: 'job' is busy, held by .* since \d{4}-\d\d-\d\dT[\d:]+Z \(\d.*s ago, 'nightly build'\)/,
    )
    expect(second.stderr).toContain(` ${owner} `)
    expect(existsSync(join(bench().folder, 'second'))).toBe(false)

    expect(await finished(first)).toEqual({ exitCode: 0, stdout: 'held\n', stderr: '' })
    expect(await bench().run('run', 'job', '--', 'echo', 'third')).toEqual({
      exitCode: 0,
      stdout: 'third\n',
      stderr: '',
    })
  })

  test('--busy-exit-code and --quiet change what being second looks like', async () => {
    await bench().hold('job')
    const second = await bench().run('run', 'job', '--busy-exit-code', '0', '--quiet', '--', 'echo', 'second')
    expect(second).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  })

  test('other names are other locks', async () => {
    await bench().hold('job')
    expect((await bench().run('run', 'job2', '--', 'echo', 'mine')).stdout).toBe('mine\n')
  })
})

describe('--wait', () => {
  test('gives each its turn, in order and with rising fences', async () => {
    const cmd = ['--', 'sh', '-c', 'echo "fence $SOLOIST_FENCE"; cat']
    const first = bench().start('run', 'job', ...cmd)
    await first.printed('fence ')
    const second = bench().start('run', 'job', '--wait', '1h', ...cmd)
    await waiting(bench(), 'job', 1)
    const third = bench().start('run', 'job', '--wait', '1h', ...cmd)
    await waiting(bench(), 'job', 2)
    expect(await ownerOf('job')).toContain(`:${first.pid}:`)
    expect([second.stdout, third.stdout]).toEqual(['', ''])

    expect((await finished(first)).exitCode).toBe(0)
    await second.printed('fence ')
    expect(await ownerOf('job')).toContain(`:${second.pid}:`)
    expect(third.stdout).toBe('')

    expect((await finished(second)).exitCode).toBe(0)
    await third.printed('fence ')
    expect(await ownerOf('job')).toContain(`:${third.pid}:`)
    expect(await finished(third)).toMatchObject({ exitCode: 0, stderr: '' })

    const fences = [first, second, third].map(({ stdout }) => Number(/fence (\d+)/.exec(stdout)?.[1]))
    expect(fences).toEqual([...fences].sort((a, b) => a - b))
    expect(new Set(fences).size).toBe(3)
  })

  test('ends after its time with exit code 75, and nothing is left in the queue', async () => {
    const first = await bench().hold('job')
    const startedAt = performance.now()
    const second = await bench().run('run', 'job', '--wait', '400ms', '--', 'echo', 'second')
    expect(performance.now() - startedAt).toBeGreaterThan(400)
    expect([second.exitCode, second.stdout]).toEqual([75, ''])
    expect(lines(second.stderr)).toEqual([expect.stringContaining(`:${first.pid}:`)])
    expect(await bench().get('job')).toMatchObject({ waiting: 0, holders: [{ owner: expect.any(String) }] })
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('is ended by %s with exit code %d, and nothing is left in the queue', async (signal, exitCode) => {
    const first = await bench().hold('job')
    const second = bench().start('run', 'job', '--wait', '1h', '--', 'echo', 'second')
    await waiting(bench(), 'job', 1)
    second.child.kill(signal)
    const ended = await second.ended
    expect([ended.exitCode, ended.stdout]).toEqual([exitCode, ''])
    expect(lines(ended.stderr)).toEqual([expect.stringContaining(`${signal} ended the wait for 'job'`)])
    expect((await bench().get('job'))?.waiting).toBe(0)
    expect(await ownerOf('job')).toContain(`:${first.pid}:`)
  })
})

describe('CMD', () => {
  test.each([0, 1, 3, 75, 255])('passes on its exit code %d', async code => {
    const ended = await bench().run('run', 'job', '--', ...NODE, `process.exit(${code})`)
    expect(ended).toEqual({ exitCode: code, stdout: '', stderr: '' })
  })

  test.each([
    ['SIGKILL', 137],
    ['SIGTERM', 143],
    ['SIGSEGV', 139],
  ])('that dies by %s becomes exit code %d, and the lock is free', async (signal, code) => {
    const ended = await bench().run('run', 'job', '--', ...NODE, `process.kill(process.pid, '${signal}')`)
    expect(ended).toEqual({ exitCode: code, stdout: '', stderr: '' })
    expect(await bench().get('job')).toBeNull()
  })

  test('has stdin, stdout and stderr to itself, byte for byte', async () => {
    const copy = "process.stdin.on('data', c => { process.stdout.write(c); process.stderr.write(c.map(b => 255 - b)) })"
    const running = bench().start('run', 'job', '--', ...NODE, copy)
    const bytes = randomBytes(3_000_001)
    running.child.stdin?.write(bytes)
    await finished(running)
    const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')
    expect(hash(Buffer.concat(running.out))).toBe(hash(bytes))
    expect(hash(Buffer.concat(running.err))).toBe(hash(bytes.map(byte => 255 - byte) as Buffer))
  })

  test('gets its arguments as they are, also what looks like options of soloist, -- or shell', async () => {
    const args = ['--ttl', '5', '--', '--json', '', '$HOME', '`id`', '*', 'a b', "it's", '\n']
    const ended = await bench().run(
      'run',
      'job',
      '--',
      ...NODE,
      'console.log(JSON.stringify(process.argv.slice(1)))',
      '--',
      ...args,
    )
    expect(JSON.parse(ended.stdout)).toEqual(args)
  })

  test('stands behind the -- that is no value of an option', async () => {
    const running = bench().start('run', 'job', '--meta', '--', '--', 'sh', '-c', 'echo "$0"; cat', '--')
    await running.printed('--\n')
    expect((await bench().get('job'))?.holders[0]?.meta).toBe('--')
    expect(await finished(running)).toEqual({ exitCode: 0, stdout: '--\n', stderr: '' })
  })

  test('finds the lock, the owner and the fence in its environment', async () => {
    const script = 'printf "%s\\n" "$SOLOIST_LOCK" "$SOLOIST_OWNER" "$SOLOIST_FENCE"; cat'
    const running = bench().start('run', 'a job: *', '--', 'sh', '-c', script)
    await eventually('three lines', () => lines(running.stdout).length === 3)
    const holder = (await bench().get('a job: *'))?.holders[0]
    expect(lines(running.stdout)).toEqual(['a job: *', holder?.owner, String(holder?.fence)])
  })

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)(
    'gets a %s that was sent to soloist, once, and still decides its exit code',
    async signal => {
      const script = `
        let count = 0
        process.on('${signal}', () => { count += 1; console.log('got ' + count) })
        process.stdin.on('end', () => process.exit(40 + count)).resume()
        console.log('ready')`
      const running = bench().start('run', 'job', '--', ...NODE, script)
      await running.printed('ready')
      running.child.kill(signal)
      await running.printed('got 1')
      expect(await ownerOf('job')).toContain(`:${running.pid}:`)
      expect(await finished(running)).toEqual({ exitCode: 41, stdout: 'ready\ngot 1\n', stderr: '' })
      expect(await bench().get('job')).toBeNull()
    },
  )

  test('gets one SIGINT when Ctrl-C is pressed on a terminal', async () => {
    const script = `
      let count = 0
      process.on('SIGINT', () => { count += 1; console.log('got ' + count) })
      process.stdin.on('data', () => process.exit(40 + count))
      console.log('ready')`
    const running = bench().startOnTerminal('run', 'job', '--', ...NODE, script)
    await running.printed('ready')
    // Paused, so that a second signal could not be taken for the first.
    const soloist = Number(/:(\d+):/.exec((await ownerOf('job')) ?? '')?.[1])
    process.kill(soloist, 'SIGSTOP')
    running.type('\x03')
    await running.printed('got 1')
    process.kill(soloist, 'SIGCONT')
    await new Promise(resolve => setTimeout(resolve, 300))
    running.type('\n')
    expect(await running.ended).toMatchObject({ exitCode: 41, stdout: expect.not.stringContaining('got 2') })
  })
})

describe('the lease', () => {
  test('is renewed while CMD runs', async () => {
    const running = await bench().hold('job', '--ttl', '3s')
    const owner = await ownerOf('job')
    const until = performance.now() + 4_500
    while (performance.now() < until) {
      expect(await ownerOf('job')).toBe(owner)
      await sleep(20)
    }
    expect((await finished(running)).exitCode).toBe(0)
  })

  test('when it is lost, CMD gets SIGTERM, then SIGKILL after the grace, and the exit code is 76', async () => {
    // It says by its own clock how long it has lived on, so that nobody else has to look in time.
    const script = `
      let askedAt = Infinity
      process.on('SIGTERM', () => { askedAt = Math.min(askedAt, performance.now()) })
      setInterval(() => { if (askedAt < Infinity) console.log('lived', performance.now() - askedAt) }, 20)
      console.log(process.pid)`
    const running = bench().start('run', 'job', '--ttl', '9s', '--grace', '4s', '--', ...NODE, script)
    await eventually('a process id', () => running.stdout.includes('\n'))
    const cmd = Number(running.stdout)
    expect((await bench().run('unlock', 'job', '--force')).exitCode).toBe(0)
    const ended = await running.ended
    expect(Number(/.*lived ([\d.]+)\n/s.exec(ended.stdout)?.[1])).toBeGreaterThan(500)
    expect(isAlive(cmd)).toBe(false)
    expect(ended.exitCode).toBe(76)
    expect(lines(ended.stderr)).toEqual([
      expect.stringMatching(new RegExp(`^soloist: lost 'job': .*SIGTERM.*${cmd}.*SIGKILL`)),
    ])
  })

  test('when it is lost and CMD ends by itself at SIGTERM, the exit code is 76 all the same', async () => {
    const running = bench().start(
      'run',
      'job',
      '--ttl',
      '9s',
      '--grace',
      '1h',
      '--',
      'sh',
      '-c',
      'echo ready; exec sleep 1000',
    )
    await running.printed('ready')
    await bench().run('unlock', 'job', '--force')
    // Somebody else has it by now, and keeps it.
    const next = await bench().hold('job')
    expect((await running.ended).exitCode).toBe(76)
    expect(await ownerOf('job')).toContain(`:${next.pid}:`)
  })

  test('that ran out while soloist was paused is a lost one, also when CMD is through by then', async () => {
    const file = join(bench().folder, 'done')
    const running = bench().start('run', 'job', '--ttl', '6s', '--', 'sh', '-c', `echo ready; cat; touch '${file}'`)
    await running.printed('ready')
    running.child.kill('SIGSTOP')
    running.endInput()
    await eventually('CMD is through', () => existsSync(file))
    await eventually('the lock is free', async () => (await bench().get('job')) === null)
    running.child.kill('SIGCONT')
    const ended = await running.ended
    expect(ended.exitCode).toBe(76)
    expect(lines(ended.stderr)).toEqual([expect.stringMatching(/^soloist: lost 'job': /)])
  })

  test('that ran out while soloist was paused is taken again with --on-lost retake, and said so', async () => {
    const running = bench().start(
      ...['run', 'job', '--ttl', '6s', '--on-lost', 'retake', '--quiet', '--', 'sh', '-c', 'echo ready; cat'],
    )
    await running.printed('ready')
    const owner = await ownerOf('job')
    running.child.kill('SIGSTOP')
    await eventually('the lock is free', async () => (await bench().get('job')) === null)
    running.child.kill('SIGCONT')
    await eventually('it holds the lock again', async () => (await bench().get('job')) !== null)
    expect(await ownerOf('job')).toBe(owner)
    running.endInput()
    const ended = await running.ended
    expect(ended.exitCode).toBe(0)
    expect(lines(ended.stderr)).toEqual([
      expect.stringMatching(/^soloist: the lease on 'job' ran out and was taken again/),
    ])
    expect((await bench().run('run', 'job', '--on-lost', 'again', '--', 'true')).exitCode).toBe(2)
  })

  test('stays after a quick CMD with --hold-for, for that long and not longer', async () => {
    expect((await bench().run('run', 'job', '--hold-for', '1h', '--', 'echo', 'first')).exitCode).toBe(0)
    expect((await bench().run('run', 'job', '--', 'echo', 'second')).exitCode).toBe(75)
    const startedAt = Date.now()
    expect((await bench().run('run', 'other', '--hold-for', '2s', '--', 'echo', 'first')).exitCode).toBe(0)
    const third = await bench().run('run', 'other', '--wait', '1m', '--', 'echo', 'third')
    expect(third).toMatchObject({ exitCode: 0, stdout: 'third\n' })
    expect(Date.now() - startedAt).toBeGreaterThan(2_000)
  })

  test('runs out after the ttl when soloist is killed by SIGKILL, while CMD lives on', async () => {
    const first = bench().start('run', 'job', '--ttl', '8s', '--', 'sh', '-c', 'echo $$; exec sleep 1000')
    await eventually('a process id', () => first.stdout.includes('\n'))
    const cmd = Number(first.stdout)
    first.child.kill('SIGKILL')
    await eventually('soloist is dead', () => first.child.signalCode === 'SIGKILL')
    expect(await ownerOf('job')).toContain(`:${first.pid}:`)
    const second = await bench().hold('job', '--wait', '1m')
    expect(await ownerOf('job')).toContain(`:${second.pid}:`)
    expect(isAlive(cmd)).toBe(true)
    process.kill(cmd)
    await eventually('CMD has ended', () => !isAlive(cmd))
  })
})

describe('what it says', () => {
  test('without --store and SOLOIST_URL: which file it uses, unless --quiet', async () => {
    const file = join(bench().folder, 'state', 'soloist', 'soloist.db')
    const ended = await finished(bench().startIn({}, ['run', 'job', '--', 'echo', 'ran']))
    expect([ended.exitCode, ended.stdout]).toEqual([0, 'ran\n'])
    expect(lines(ended.stderr)).toEqual([expect.stringContaining(`using sqlite:${file}`)])
    expect(existsSync(file)).toBe(true)
    const quiet = await finished(bench().startIn({}, ['run', 'job', '--quiet', '--', 'echo', 'ran']))
    expect(quiet).toEqual({ exitCode: 0, stdout: 'ran\n', stderr: '' })
  })

  test('--store comes before SOLOIST_URL', async () => {
    await bench().hold('job')
    const other = `sqlite:${join(bench().folder, 'other.db')}`
    expect((await bench().run('run', 'job', '--store', other, '--', 'true')).exitCode).toBe(0)
  })

  test('as JSON: one object a line on stderr, nothing on stdout but what CMD prints', async () => {
    const first = await bench().hold('job', '--json', '--meta', 'm')
    const holder = (await bench().get('job'))?.holders[0]
    const second = await bench().run('run', 'job', '--json', '--', 'echo', 'second')
    expect(second).toMatchObject({ exitCode: 75, stdout: '' })
    expect(JSON.parse(second.stderr)).toEqual({
      event: 'busy',
      name: 'job',
      owner: holder?.owner,
      acquiredAtMs: holder?.acquiredAtMs,
      meta: 'm',
      waitedMs: expect.any(Number),
      message: expect.stringContaining('is busy'),
    })
    const ended = await finished(first)
    expect(ended.stdout).toBe('held\n')
    expect(JSON.parse(ended.stderr)).toEqual({
      event: 'finished',
      name: 'job',
      owner: holder?.owner,
      fence: holder?.fence,
      exitCode: 0,
      signal: null,
      ranMs: expect.any(Number),
    })
  })

  test('holds no raw control characters, whoever set them', async () => {
    await bench().hold('\x1b[2Jjob', '--meta', '\x07bell')
    const second = await bench().run('run', '\x1b[2Jjob', '--', 'true')
    expect(lines(second.stderr)).toEqual([expect.stringMatching(/^soloist: '\\x1b\[2Jjob' is busy.*'\\x07bell'/)])
  })
})
