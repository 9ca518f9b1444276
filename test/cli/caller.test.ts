import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { eventually, finished, isAlive, lines, type Running, SOLOIST, useBench } from './support.js'

const bench = useBench()
/** What a program cannot be asked without. */
const onLinux = describe.runIf(existsSync('/proc/self/status'))
/** Both kinds of shell that are `/bin/sh` somewhere. */
const SHELLS = ['dash', 'bash --posix'].filter(shell => existsSync(`/bin/${shell.split(' ')[0]}`))

/**
 * Python starts a program with bytes that Node.js cannot write. `given` are the arguments of CMD and the variables, as
 * Latin-1; CMD prints what it got as JSON, in Latin-1, too.
 */
function runWithBytes(start: readonly string[], args: readonly string[], variables: Record<string, string>): Running {
  const cmd = `
import json, os, sys
latin1 = lambda data: data.decode('latin-1')
variables = {latin1(name): latin1(value) for name, value in os.environb.items()}
print(json.dumps([[latin1(os.fsencode(arg)) for arg in sys.argv[1:]], variables]))`
  const caller = `
import json, os, sys
start, args, variables, cmd = json.loads(sys.argv[1])
env = {**os.environb, **{name.encode('latin-1'): value.encode('latin-1') for name, value in variables.items()}}
argv = [*start, 'run', 'job', '--', sys.executable, '-c', cmd]
os.execvpe(argv[0], [*map(os.fsencode, argv), *[arg.encode('latin-1') for arg in args]], env)`
  return bench().startBy('python3', '-c', caller, JSON.stringify([start, args, variables, cmd]))
}

async function gotBytes(running: Running): Promise<[readonly string[], Record<string, string>]> {
  const { exitCode, stdout, stderr } = await finished(running)
  expect([exitCode, stderr]).toEqual([0, ''])
  return JSON.parse(stdout)
}

const latin1 = (text: string) => Buffer.from(text).toString('latin1')

onLinux('the bytes of arguments and variables', () => {
  const ARGS = [
    'caf\xe9\n',
    '\xe9',
    '\xf0\x9f\x92',
    latin1('é'),
    latin1('\ufffd'),
    '',
    "it's $HOME `id` \\351 %s\n\n",
    '--',
  ]

  test.each(SHELLS)('reach CMD as they are, with %s as the shell', async shell => {
    const start = [...shell.split(' '), SOLOIST]
    const [args] = await gotBytes(runWithBytes(start, ARGS, {}))
    expect(args).toEqual(ARGS)
    const given = {
      X_LATIN: 'caf\xe9\n',
      X_UTF8: latin1('é \ufffd'),
      'x.name': 'a=b\n',
      'x.latin': '\xff\xfe',
      'x.\xe9': 'y',
      PWD: '/caf\xe9',
      'BASH_FUNC_f%%': '() { :; }',
    }
    for (const words of [ARGS, ['plain']]) {
      const [again, { PWD, ...variables }] = await gotBytes(runWithBytes(start, words, given))
      expect(again).toEqual(words)
      for (const [name, value] of Object.entries(given)) {
        // A shell corrects the working directory, and bash how it writes a function.
        if (name !== 'PWD' && name !== 'BASH_FUNC_f%%') expect(variables[name]).toBe(value)
      }
      expect(variables).toHaveProperty(['BASH_FUNC_f%%'])
      expect(variables).not.toHaveProperty('SOLOIST_INHERITED')
      expect(Object.keys(variables).filter(name => name.includes(latin1('\ufffd')))).toEqual([])
    }
  })

  test('are those of the PATH on which CMD is found, too', async () => {
    const caller = `
      folder=$(printf '%s/caf\\351' '${bench().folder}'); mkdir "$folder"
      printf '#!/bin/sh\\necho found; printenv PATH' >"$folder/cmd"; chmod +x "$folder/cmd"
      PATH=$folder:$PATH exec nohup "$SOLOIST" run job -- cmd`
    const running = bench().startBy('sh', '-c', caller)
    expect(await finished(running)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^found\n/) })
    expect(Buffer.concat(running.out).toString('latin1')).toContain('/caf\xe9:')
  })

  test('name a CMD that is not found, and the lock is free', async () => {
    const caller = 'exec "$SOLOIST" run job --hold-for 1h -- "$(printf "/no/caf\\351")" a=b'
    const { exitCode, stdout, stderr } = await finished(bench().startBy('sh', '-c', caller))
    expect([exitCode, stdout]).toEqual([127, ''])
    expect(lines(stderr)).toEqual([expect.stringMatching(/^soloist: cannot run '\/no\/caf.': it was not found$/)])
    expect(await bench().get('job')).toBeNull()
  })

  test.each([
    ['an argument', 'set -- "$(printf "\\351")"', /the argument '.' of CMD is not valid UTF-8/],
    ['a variable', 'X=$(printf "\\351"); export X', /the variable 'X' is not valid UTF-8/],
  ])('that cannot be read, of %s, are refused, and nothing is locked', async (_, setting, message) => {
    // As where there is no /proc.
    const hidden = join(bench().folder, 'hidden.cjs')
    writeFileSync(
      hidden,
      `const fs = require('node:fs')
      const { readFileSync } = fs
      fs.readFileSync = (file, ...rest) => readFileSync(/^.proc.self/.test(file) ? '/no/such/file' : file, ...rest)
      require('node:module').syncBuiltinESMExports()`,
    )
    const caller = `${setting}; export NODE_OPTIONS="--require ${hidden}"; exec "$SOLOIST" run job -- touch started "$@"`
    const { exitCode, stdout, stderr } = await finished(bench().startBy('sh', '-c', caller))
    expect(lines(stderr)).toEqual([expect.stringMatching(message)])
    expect([exitCode, stdout, existsSync(bench().store.slice('sqlite:'.length))]).toEqual([2, '', false])
  })
})

test('what only looks like a word of the launcher is nothing', async () => {
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
  const caller = `SOLOIST_INHERITED='ignored=x open=y variables=- =' exec node '${main}' run job -- printenv SOLOIST_INHERITED`
  expect(await finished(bench().startBy('sh', '-c', caller))).toEqual({ exitCode: 1, stdout: '', stderr: '' })
})

/** Whether this process ignores this signal. */
function ignores(pid: number, signal: number): boolean {
  const mask = /SigIgn:\s*(\w+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n
}

onLinux('signals', () => {
  test('nohup: CMD and soloist live through the hang-up, and the lock is held to the end of CMD', async () => {
    const running = bench().startBy('nohup', SOLOIST, 'run', 'job', '--', 'sh', '-c', 'echo $$; read line; exit 7')
    await running.printed('\n')
    const cmd = Number(running.stdout)
    expect([1, 2, 15].map(signal => ignores(cmd, signal))).toEqual([true, false, false])
    // As the system does it when the terminal is gone: to both, and more than once.
    for (const pid of [running.pid, cmd, running.pid, cmd]) process.kill(pid, 'SIGHUP')
    const second = await bench().run('run', 'job', '--', 'true')
    expect([second.exitCode, isAlive(cmd), isAlive(running.pid)]).toEqual([75, true, true])
    running.type('go on\n')
    expect((await running.ended).exitCode).toBe(7)
    expect(await bench().get('job')).toBeNull()
  })

  test('a hang-up ends a wait, but not that of who ignores it', async () => {
    const first = await bench().hold('job')
    const waiting = bench().startBy('nohup', SOLOIST, 'run', 'job', '--wait', '1h', '--', 'echo', 'my turn')
    await eventually('it waits', async () => (await bench().get('job'))?.waiting === 1)
    waiting.child.kill('SIGHUP')
    await finished(first)
    expect(await finished(waiting)).toMatchObject({ exitCode: 0, stdout: 'my turn\n' })
  })

  test.each(SHELLS)('are as the caller left them, with %s as the shell', async shell => {
    const caller = `trap "" INT TERM USR1 PIPE; ${shell} "$SOLOIST" run job -- sh -c 'echo $$; read line'`
    const running = bench().startBy('sh', '-c', caller)
    await running.printed('\n')
    const cmd = Number(running.stdout)
    const ignored = Array.from({ length: 31 }, (_, i) => i + 1).filter(signal => ignores(cmd, signal))
    expect(ignored).toEqual([2, 10, 13, 15])
    running.type('\n')
    expect((await running.ended).exitCode).toBe(0)
  })

  test.each(SHELLS)('are all at their default where the caller left them so, with %s as the shell', async shell => {
    const running = bench().startBy(...shell.split(' '), SOLOIST, 'run', 'job', '--', 'sh', '-c', 'echo $$; read line')
    await running.printed('\n')
    const cmd = Number(running.stdout)
    expect(Array.from({ length: 31 }, (_, i) => i + 1).filter(signal => ignores(cmd, signal))).toEqual([])
    running.type('\n')
    await running.ended
  })

  test.each([
    ['no-such-command-here', 127, 'it was not found'],
    ['/etc', 126, 'it may not be executed'],
    ['/etc/passwd', 126, 'it may not be executed'],
  ])('are ignored, and %s still is exit code %d and one line, and the lock is free', async (cmd, code, why) => {
    const running = bench().startBy('nohup', SOLOIST, 'run', 'job', '--hold-for', '1h', '--', cmd)
    const { exitCode, stderr } = await finished(running)
    expect(lines(stderr)).toEqual([`soloist: cannot run '${cmd}': ${why}`])
    expect([exitCode, await bench().get('job')]).toEqual([code, null])
  })

  test('a CMD whose name starts with a dash is no option of a shell', async () => {
    writeFileSync(join(bench().folder, '-cmd'), '#!/bin/sh\necho "ran $*"\n', { mode: 0o755 })
    const caller = `PATH=${bench().folder}:$PATH exec nohup "$SOLOIST" run job -- -cmd -c 'exit 3'`
    expect(await finished(bench().startBy('sh', '-c', caller))).toMatchObject({
      exitCode: 0,
      stdout: 'ran -c exit 3\n',
    })
  })
})

onLinux('open descriptors', () => {
  test.each(SHELLS)(
    'are passed on under their numbers, and none of soloist itself, with %s as the shell',
    async shell => {
      const { folder } = bench()
      const open = `3>'${folder}/three' 9<'${folder}/in' 200>>'${folder}/high'`
      const say = 'echo to-3 >&3; cat <&9; ls /proc/self/fd; exec 3>/proc/self/fd/200; echo to-200 >&3'
      writeFileSync(join(folder, 'in'), 'from 9\n')
      const running = bench().startBy('bash', '-c', `${shell} "$SOLOIST" run job -- sh -c '${say}' ${open}`)
      const { exitCode, stdout, stderr } = await finished(running)
      expect([exitCode, stderr]).toEqual([0, ''])
      expect(['three', 'high'].map(file => readFileSync(join(folder, file), 'utf8'))).toEqual(['to-3\n', 'to-200\n'])
      const [first, ...descriptors] = lines(stdout)
      expect(first).toBe('from 9')
      // The tests may have been started with some themselves. `ls` has one for the folder.
      const bare = lines(execFileSync('bash', ['-c', `exec ls /proc/self/fd ${open}`], { encoding: 'utf8' }))
      expect(descriptors.map(Number).filter(fd => fd < 10 || fd === 200)).toEqual(
        bare.map(Number).filter(fd => fd < 10 || fd === 200),
      )
    },
  )

  test('both ends of a pipe, as make gives its jobs, and with ignored signals', async () => {
    const caller = `
import os, sys
ends = os.pipe()
for end in ends: os.set_inheritable(end, True)
os.execvp('nohup', ['nohup', os.environ['SOLOIST'], 'run', 'job', '--', sys.executable, '-c', '''
import os, sys
read, write = map(int, sys.argv[1:])
os.write(write, b"token")
print(os.read(read, 5).decode())
''', *map(str, ends)])`
    const { exitCode, stdout } = await finished(bench().startBy('python3', '-c', caller))
    expect([exitCode, stdout]).toEqual([0, 'token\n'])
  })

  test('a lock of flock on one is held until CMD has ended, as without soloist', async () => {
    const file = join(bench().folder, 'flocked')
    const cmd = "sh -c 'echo $$; exec sleep 1000'"
    const running = bench().startBy('sh', '-c', `exec 9>'${file}'; flock 9; exec "$SOLOIST" run job -- ${cmd}`)
    await running.printed('\n')
    running.child.kill('SIGKILL')
    await eventually('soloist is dead', () => running.child.signalCode === 'SIGKILL')
    expect(() => execFileSync('flock', ['-n', file, 'true'])).toThrow()
    process.kill(Number(running.stdout))
    execFileSync('flock', ['-w', '10', file, 'true'])
  })
})
