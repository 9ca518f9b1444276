import type { Command } from 'commander'
import type { LeaderState, LockState } from '../../index.js'
import { leaderName } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { momentOf } from '../locks/locks.js'
import { formatDuration } from '../output/duration.js'
import { Notices } from '../output/notices.js'
import { print, printJson } from '../output/output.js'
import { quoted, visible } from '../output/text.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'

interface LeaderVerbOptions extends StoreOptions {
  readonly resign?: boolean
}

export function addLeader(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('leader')
    .summary('show who leads, or ask it to resign')
    .description(
      'Shows who leads, since when, what it shows of itself, and how many candidates wait. ' +
        'Exit code 1 when nobody leads.',
    )
    .argument('<name>', 'the name of the leadership', leaderName)
    .option('--resign', 'ask the leader to resign; the next candidate leads at once')
  addStoreOptions(command, 'print the leader as one JSON object, or null').action(
    async (name: string, options: LeaderVerbOptions) => done(await leader(name, options)),
  )
}

async function leader(name: string, options: LeaderVerbOptions): Promise<number> {
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, async ({ solo }) => {
    const view = solo.leader(name)
    if (options.resign) return await resign(view.requestResign(), name, options)
    const [state, lock] = await Promise.all([view.current(), solo.inspect(`leader:${name}`)])
    if (options.json) await printJson(state === null ? null : leaderJson(name, state, lock))
    else await print(state === null ? `nobody leads ${quoted(name)}\n` : `${lines(name, state, lock).join('\n')}\n`)
    return state === null ? EXIT.nothing : EXIT.ok
  })
}

async function resign(asked: Promise<boolean>, name: string, { json, quiet }: LeaderVerbOptions): Promise<number> {
  const told = await asked
  if (json) await printJson({ asked: told })
  else if (!quiet)
    await print(told ? `asked the leader of ${quoted(name)} to resign\n` : `nobody leads ${quoted(name)}\n`)
  return told ? EXIT.ok : EXIT.nothing
}

function lines(name: string, state: LeaderState, lock: LockState | null): readonly string[] {
  const { owner, value, fence, electedAt, expiresAt } = state
  const atMs = lock?.atMs ?? electedAt.getTime()
  return [
    field('name', name),
    field('leader', owner),
    ...(value === null ? [] : [field('value', value)]),
    field('fence', String(fence)),
    field('since', `${momentOf(electedAt.getTime())} (${formatDuration(Math.max(atMs - electedAt.getTime(), 0))} ago)`),
    field('expires in', formatDuration(expiresAt.getTime() - atMs)),
    field('candidates', String(lock?.waiting ?? 0)),
  ]
}

function field(title: string, value: string): string {
  return `${title.padEnd(10)}  ${visible(value)}`
}

function leaderJson(name: string, state: LeaderState, lock: LockState | null) {
  const { owner, value, fence, electedAt, expiresAt } = state
  const times = { electedAtMs: electedAt.getTime(), expiresAtMs: expiresAt.getTime(), atMs: lock?.atMs ?? null }
  return { name, owner, value, fence, ...times, candidates: lock?.waiting ?? 0 }
}
