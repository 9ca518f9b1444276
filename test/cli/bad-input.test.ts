import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { finished, lines, useBench } from './support.js'

const bench = useBench()

/** Nobody listens there, and nothing is sent. */
const REDIS = 'redis://u:secret@127.0.0.1:1'
const RUN = ['run', 'job', '--', 'touch', 'started']

describe('what cannot be taken gets one line, exit code 2, and nothing happens', () => {
  test.each<[string, readonly string[], RegExp]>([
    ['no verb', [], /name a command/],
    ['an unknown verb', ['lock', 'job'], /unknown command 'lock'/],
    ['an unknown option', ['ls', '--colour'], /unknown option '--colour'/],
    ['a mistyped option, with a hint', ['run', 'job', '--tll', '1s', '--', 'true'], /Did you mean --ttl\?/],
    ['an option without its value', ['ls', '--store'], /argument missing/],
    ['too many arguments', ['get', 'a', 'b'], /too many arguments/],
    [
      'control characters in what is refused',
      ['get', 'a', 'b', '--\x1b[31m\nred'],
      /unknown option '--\\x1b\[31m red'/,
    ],
    ['run without a name', ['run'], /missing required argument 'name'/],
    ['run without a command', ['run', 'job'], /missing required argument 'command'/],
    ['run without a command behind --', ['run', 'job', '--'], /missing required argument 'command'/],
    ['run without --', ['run', 'job', 'touch', 'started'], /put -- in front of the command/],
    ['run without a name before --', ['run', '--json', '--', 'touch', 'started'], /NAME is missing in front of --/],
    ['run without a name, CMD of one word', ['run', '--', 'touch'], /NAME is missing in front of --/],
    ['run without a name, -- as a value', ['run', '--meta', '--', '--', 'touch', 'started'], /NAME is missing/],
    ['run with a word too many before --', ['run', 'job', 'touch', '--', 'started'], /put -- in front of the command/],
    ['run with an empty command', ['run', 'job', '--', ''], /must not be empty/],
    ['run with an empty name', ['run', '', '--', 'touch', 'started'], /the name must not be empty/],
    [
      'a name of 1025 bytes',
      ['run', `${'ä'.repeat(512)}x`, '--', 'true'],
      /not be longer than 1024 bytes; it has 1025/,
    ],
    ['meta of 1025 bytes', ['run', 'job', '--meta', 'x'.repeat(1025), '--', 'true'], /--meta must not be longer/],
    ['a name that is no UTF-8', ['get', '\ufffd'], /not valid UTF-8/],
    ['a bare number as --wait', ['run', 'job', '--wait', '10', '--', 'true'], /--wait: '10' has no unit/],
    ['a negative --wait', ['run', 'job', '--wait', '-1s', '--', 'true'], /--wait: '-1s' is no duration/],
    ['a --ttl of nothing', ['run', 'job', '--ttl', '0s', '--', 'true'], /--ttl: '0s' is out of range/],
    ['a --ttl beyond 24 days', ['run', 'job', '--ttl', '25d', '--', 'true'], /--ttl: '25d' is out of range/],
    ['a --hold-for that is none', ['run', 'job', '--hold-for', 'long', '--', 'true'], /--hold-for: 'long' is no/],
    ['a --grace that is none', ['run', 'job', '--grace', '1', '--', 'true'], /--grace: '1' has no unit/],
    ['an exit code that is none', ['run', 'job', '--busy-exit-code', '256', '--', 'true'], /from 0 to 255/],
    ['an exit code with a sign', ['run', 'job', '--busy-exit-code', '-1', '--', 'true'], /from 0 to 255/],
    ['a store that is no URL', ['ls', '--store', 'localhost'], /must be a URL/],
    ['an empty store', ['ls', '--store', ''], /must be a URL/],
    ['an unknown store', ['ls', '--store', 'mysql://u:secret@h/db'], /must be a URL that starts with/],
    ['a store that ends with the process', ['ls', '--store', 'memory:'], /memory: store/],
    [
      'a key prefix of 1025 bytes',
      ['ls', '--key-prefix', 'x'.repeat(1025)],
      /--key-prefix must not be longer than 1024/,
    ],
    ['a key prefix that is no UTF-8', ['jobs', '--key-prefix', '\ufffd'], /--key-prefix is not valid UTF-8/],
    ['a key prefix with half a character', [...RUN.slice(0, 2), '--key-prefix', '\ud800', ...RUN.slice(2)], /UTF-8/],
    [
      'a key prefix that Redis cannot take',
      ['get', 'a', '--store', REDIS, '--key-prefix', '{}'],
      /must not contain "{}"/,
    ],
    ['an option --key-prefix without its value', ['ls', '--key-prefix'], /argument missing/],
    ['get without a name', ['get'], /missing required argument 'name'/],
    ['unlock without whose', ['unlock', 'job'], /either --owner OWNER or --force/],
    ['unlock with both', ['unlock', 'job', '--owner', 'x', '--force'], /either --owner OWNER or --force/],
    ['clear without a prefix', ['clear', '--yes'], /name a prefix, or say --all/],
    ['clear with an empty prefix', ['clear', '', '--yes'], /name a prefix, or say --all/],
    ['clear with a prefix and --all', ['clear', 'a', '--all', '--yes'], /--all takes no prefix/],
    ['clear with nobody to ask', ['clear', 'a'], /stdin is no terminal/],
    ['a --interval that is too short', ['watch', '--interval', '1ms'], /--interval: '1ms' is out of range/],
    ['a URL with a password as a verb', ['redis://u:secret@h'], /unknown command 'redis:\/\/\*\*\*@h'/],
    ['a URL with a password in an option', ['ls', '--stroe=redis://u:secret@h'], /redis:\/\/\*\*\*@h/],
  ])('%s', async (_, args, message) => {
    const { exitCode, stdout, stderr } = await finished(bench().startIn({}, args))
    expect(lines(stderr)).toEqual([expect.stringMatching(message)])
    expect(stderr).toMatch(/^soloist: .*\(see soloist .*--help\)\n$/)
    expect(stderr).not.toContain('secret')
    expect(stdout).toBe('')
    expect(exitCode).toBe(2)
  })

  test('SOLOIST_URL, which is checked like --store', async () => {
    const { exitCode, stderr } = await finished(bench().startIn({ SOLOIST_URL: 'mysql://u:secret@h' }, RUN))
    expect(lines(stderr)).toEqual([
      expect.stringMatching(/must be a URL that starts with .*\(see soloist run --help\)$/),
    ])
    expect(exitCode).toBe(2)
  })

  test.each<[string, string, RegExp]>([
    ['is too long', 'x'.repeat(1025), /SOLOIST_KEY_PREFIX must not be longer than 1024 bytes; it has 1025 \(see/],
    ['is no UTF-8', '\ufffd', /SOLOIST_KEY_PREFIX is not valid UTF-8 \(see soloist run --help\)$/],
  ])('SOLOIST_KEY_PREFIX that %s; an option goes before it', async (_, prefix, message) => {
    const env = { SOLOIST_URL: bench().store, SOLOIST_KEY_PREFIX: prefix }
    const { exitCode, stdout, stderr } = await finished(bench().startIn(env, RUN))
    expect(lines(stderr)).toEqual([expect.stringMatching(message)])
    expect([exitCode, stdout]).toEqual([2, ''])
    const fits = 'x'.repeat(1024)
    expect((await finished(bench().startIn(env, ['ls', '--key-prefix', fits]))).exitCode).toBe(0)
  })
})

describe('a default store that would depend on the working directory, or that has no place, is refused', () => {
  test.each<[string, NodeJS.ProcessEnv]>([
    ['an empty HOME', { HOME: '', XDG_STATE_HOME: '' }],
    ['a relative HOME', { HOME: 'home', XDG_STATE_HOME: undefined }],
    ['a relative XDG_STATE_HOME, which does not count', { HOME: '', XDG_STATE_HOME: 'state' }],
    ['no home at all', { HOME: undefined, XDG_STATE_HOME: '', ...homeless() }],
  ])('%s', async (_, env) => {
    for (const args of [['ls'], RUN]) {
      const { exitCode, stdout, stderr } = await finished(bench().startIn(env, args))
      expect(lines(stderr)).toEqual([
        expect.stringMatching(/no home folder with an absolute path; name a store, or set/),
      ])
      expect([exitCode, stdout]).toEqual([2, ''])
    }
    expect((await finished(bench().startIn({ ...env, SOLOIST_URL: bench().store }, ['ls']))).exitCode).toBe(0)
  })
})

/** As for a user that the system does not know, in whose name only root could start a process. */
function homeless(): NodeJS.ProcessEnv {
  const module = `
    import os from 'node:os'
    import { syncBuiltinESMExports } from 'node:module'
    os.homedir = () => { throw Object.assign(new Error('uv_os_homedir returned ENOENT'), { code: 'ERR_SYSTEM_ERROR' }) }
    syncBuiltinESMExports()`
  return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(module)}` }
}

describe('a command that cannot be run leaves the lock free', () => {
  test('127 when it is not found, even with --hold-for', async () => {
    const { exitCode, stdout, stderr } = await bench().run(
      'run',
      'job',
      '--hold-for',
      '1h',
      '--',
      'no-such-command-here',
    )
    expect([exitCode, stdout]).toEqual([127, ''])
    expect(lines(stderr)).toEqual(["soloist: cannot run 'no-such-command-here': it was not found"])
    expect(await bench().get('job')).toBeNull()
  })

  test('126 when it may not be executed', async () => {
    const file = join(bench().folder, 'data')
    writeFileSync(file, 'echo no', { mode: 0o644 })
    const { exitCode, stdout, stderr } = await bench().run('run', 'job', '--', file)
    expect([exitCode, stdout]).toEqual([126, ''])
    expect(lines(stderr)).toEqual([expect.stringMatching(/: it may not be executed$/)])
    expect(await bench().get('job')).toBeNull()
  })
})
