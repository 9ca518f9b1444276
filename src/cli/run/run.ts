import { once } from 'node:events'
import type { Command } from 'commander'
import { type Lease, LockTimeoutError, type Soloist } from '../../index.js'
import { duration, exitCode, lockName, meta, onLost } from '../arguments.js'
import { EXIT, signalExitCode } from '../exit-codes.js'
import { explain, UsageError } from '../failure.js'
import { heldSinceMs, holderPhrase } from '../locks/locks.js'
import { Notices } from '../output/notices.js'
import { quoted, visible } from '../output/text.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'
import { abandon, runGuarded } from './guard.js'
import { Launch } from './launch.js'
import { SignalInbox } from './signals.js'

/** Durations are in milliseconds. */
interface RunOptions extends StoreOptions {
  readonly wait?: number
  readonly ttl?: number
  readonly holdFor?: number
  readonly grace?: number
  readonly busyExitCode?: number
  readonly onLost?: 'end' | 'retake'
  readonly meta?: string
}

const DEFAULT_GRACE_MS = 10_000

const DESCRIPTION =
  'Takes the lock NAME, runs CMD while holding it, and gives it back. Whoever comes meanwhile is turned away (exit code ' +
  '75), or waits its turn with --wait. CMD has the stdin, stdout and stderr of this command, gets its signals, and its ' +
  'exit code is passed on. It finds SOLOIST_LOCK, SOLOIST_OWNER and SOLOIST_FENCE in its environment.'

const MORE_HELP = `
Durations have a unit: 250ms, 1.5s, 5m, 2h, 1d.

Examples:
  One host runs it, the others exit with 75:
    soloist run nightly-report -- ./report.sh
  One after the other:
    soloist run migrate --wait 5m -- npm run migrate
  From cron on ten hosts, once a minute, and no mail from the other nine:
    soloist run tick --hold-for 50s --busy-exit-code 0 --quiet -- ./tick.sh

Exit codes: CMD's own, 128+n when signal n ended it, or
  2 usage, 69 store unavailable, 75 somebody else has the lock, 76 lease lost,
  126 CMD cannot be executed, 127 CMD not found

When the lease is lost, CMD gets SIGTERM, and SIGKILL after --grace. With
--on-lost retake, a lease that ran out, as on a laptop that slept, is taken
again if nobody has the lock: CMD runs on, with the old SOLOIST_FENCE. When this
command itself is killed by SIGKILL, CMD runs on while the lock becomes free
after --ttl: what must not be touched by two has to compare SOLOIST_FENCE.`

/** `argv` is what the command was called with, to tell whether CMD stands behind `--`. */
export function addRun(program: Command, argv: readonly string[], done: (exitCode: number) => void): void {
  const command = program
    .command('run')
    .summary('run CMD while holding a lock: on one machine of many')
    .description(DESCRIPTION)
    .usage('NAME [options] -- CMD ARGS...')
    .argument('<name>', 'the name of the lock', lockName)
    // Its absence is told below, for without NAME the first word of CMD has been taken for it.
    .argument('[command...]', 'CMD and its arguments; run without a shell')
    .option('--wait <duration>', 'wait so long for the lock (default: do not wait)', duration('--wait', 0))
    .option('--ttl <duration>', 'free the lock so long after this command died (default: 30s)', duration('--ttl', 1))
    .option('--hold-for <duration>', 'keep the lock at least so long, however quick CMD is', duration('--hold-for', 0))
    .option('--grace <duration>', 'time for CMD to end once the lease is lost (default: 10s)', duration('--grace', 0))
    .option('--on-lost <what>', 'end CMD, or retake the lock if it is free (default: end)', onLost)
    .option('--busy-exit-code <code>', `exit code when the lock is taken (default: ${EXIT.busy})`, exitCode)
    .option('--meta <text>', 'a note that ls and get show beside the owner', meta)
  addStoreOptions(command, 'write notices to stderr as JSON, one object a line')
    .addHelpText('after', MORE_HELP)
    .action(async (name: string, cmd: string[], options: RunOptions) => {
      checkOperands(argv, name, cmd)
      done(await run(name, new Launch(cmd), options))
    })
}

/** NAME, then `--`, then CMD: without the dashes, options of CMD would be taken for options of this command. */
function checkOperands(argv: readonly string[], name: string, cmd: readonly string[]): void {
  const before = operandsBeforeDashes(argv, [name, ...cmd])
  if (before === 0) throw new UsageError('NAME is missing in front of --, as in soloist run NAME -- CMD ARGS')
  if (cmd.length === 0) throw new UsageError("missing required argument 'command'")
  if (before !== 1) throw new UsageError('put -- in front of the command to run, as in soloist run NAME -- CMD ARGS')
  if (cmd[0] === '') throw new UsageError('the command to run must not be empty')
}

/** How many operands stand in front of the `--` that ends the options, or `null` where there is none. */
function operandsBeforeDashes(argv: readonly string[], operands: readonly string[]): number | null {
  for (let at = argv.indexOf('--'); at >= 0; at = argv.indexOf('--', at + 1)) {
    const behind = argv.slice(at + 1)
    const before = operands.length - behind.length
    // Else this one is the value of an option.
    if (before >= 0 && behind.every((text, i) => text === operands[before + i])) return before
  }
  return null
}

async function run(name: string, launch: Launch, options: RunOptions): Promise<number> {
  const notices = new Notices(options)
  const signals = new SignalInbox(() => {})
  try {
    return await withStore(options, notices, async ({ solo }) => {
      const lease = await takeLock(solo, name, options, signals, notices)
      if (typeof lease === 'number') return lease
      return await runGuarded(solo, lease, launch, { graceMs: options.grace ?? DEFAULT_GRACE_MS, signals, notices })
    })
  } catch (error) {
    const { message, exitCode, code } = explain(error)
    // A mistake in the call is told as by all other verbs.
    if (exitCode === EXIT.usage) throw error
    notices.problem('failed', message, { name, code })
    return exitCode
  } finally {
    signals.close()
  }
}

/** A lease, or the exit code that stands for having none. A signal ends the wait and leaves nothing behind. */
async function takeLock(
  solo: Soloist,
  name: string,
  options: RunOptions,
  signals: SignalInbox,
  notices: Notices,
): Promise<Lease | number> {
  const { ttl: ttlMs, holdFor: holdForMs, wait: waitMs = 0, onLost, meta } = options
  const stop = new AbortController()
  let received: NodeJS.Signals | undefined
  signals.handler = signal => {
    received ??= signal
    stop.abort()
  }
  // Only for who sits before it: the log of a job that waits every night needs no line about it.
  if (process.stderr.isTTY) {
    solo.on('waiting', ({ holder }) => {
      const by = holder === null ? '' : `, held by ${visible(holder)}`
      notices.info('waiting', `waiting for ${quoted(name)}${by}`, { name, holder })
    })
  }
  try {
    // Whether the store is there shows in a question that leaves nothing behind: after a claim without an answer, closing
    // the store would take as long again, to give back what may have been noted of it.
    await Promise.race([solo.inspect(name), once(stop.signal, 'abort')])
    const lease = await solo.lock(name, {
      ttlMs,
      holdForMs,
      waitMs,
      onLost,
      meta,
      outlivesProcess: true,
      signal: stop.signal,
    })
    if (received === undefined) return lease
    await abandon(solo, lease, notices)
  } catch (error) {
    if (received === undefined) {
      if (error instanceof LockTimeoutError) return await busy(solo, error, options, notices)
      throw error
    }
  }
  notices.info('stopped', `${received} ended the wait for ${quoted(name)}; CMD was not started`, {
    name,
    signal: received,
  })
  return signalExitCode(received)
}

/** Says who has the lock, as far as the store still knows. */
async function busy(solo: Soloist, timeout: LockTimeoutError, options: RunOptions, notices: Notices): Promise<number> {
  const { lockName: name, waitedMs } = timeout
  // The refusal stands, whether or not the store still answers.
  const state = await solo.inspect(name).catch(() => null)
  const [holder] = state?.holders ?? []
  const seen = timeout.holder === null ? 'others wait for it' : `it was held by ${visible(timeout.holder)} until now`
  const who = state !== null && holder !== undefined ? `held by ${holderPhrase(holder, state.atMs)}` : seen
  notices.info('busy', `${quoted(name)} is busy, ${who}; CMD was not started`, {
    name,
    owner: holder?.owner ?? timeout.holder,
    acquiredAtMs: holder === undefined ? null : heldSinceMs(holder),
    meta: holder?.meta ?? null,
    waitedMs: Math.round(waitedMs),
  })
  return options.busyExitCode ?? EXIT.busy
}
