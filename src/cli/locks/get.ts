import type { Command } from 'commander'
import type { LockState } from '../../index.js'
import { lockName } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { noticeJobsNamed } from '../jobs/named.js'
import { formatDuration } from '../output/duration.js'
import { Notices } from '../output/notices.js'
import { dim, outputWidth, print, printJson } from '../output/output.js'
import { renderTable } from '../output/table.js'
import { quoted, visible } from '../output/text.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'
import { ageOf, expiryOf, heldSinceMs, lockJson, modeOf, momentOf } from './locks.js'

export function addGet(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('get')
    .summary('show one lock in full')
    .description('Shows who holds a lock and who waits for it. Exit code 1 when nobody does either.')
    .argument('<name>', 'the name of the lock', lockName)
  addStoreOptions(command, 'print the lock as one JSON object, or null').action(
    async (name: string, options: StoreOptions) => done(await get(name, options)),
  )
}

async function get(name: string, options: StoreOptions): Promise<number> {
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, async ({ solo }) => {
    const state = await solo.inspect(name)
    if (options.json) await printJson(state === null ? null : lockJson(state))
    else await print(state === null ? `${quoted(name)} is free\n` : `${details(state).join('\n')}\n`)
    if (state !== null) return EXIT.ok
    if (!options.quiet) await noticeJobsNamed(solo, name, notices)
    return EXIT.nothing
  })
}

/** The lock in full: nothing is cut but the list of waiters, which the library cuts at 100. */
function details(state: LockState): readonly string[] {
  const lines = [field('name', state.name)]
  for (const holder of state.holders) {
    const sinceMs = heldSinceMs(holder)
    const since = sinceMs === null ? '' : ` (since ${momentOf(sinceMs)})`
    lines.push(
      '',
      field('owner', holder.owner),
      field('mode', modeOf(state, holder)),
      field('fence', String(holder.fence)),
      field('age', `${ageOf(holder, state.atMs)}${since}`),
      field('expires in', expiryOf(holder, state.atMs)),
    )
    if (holder.meta !== null) lines.push(field('meta', holder.meta))
  }
  lines.push('', field('waiting', String(state.waiting)))
  if (state.waiters.length > 0) lines.push('', ...waitersTable(state))
  const more = state.waiting - state.waiters.length
  if (more > 0) lines.push(`… and ${more} more`)
  return lines
}

function waitersTable(state: LockState): readonly string[] {
  const columns = [
    { title: 'NEXT', align: 'right' },
    { title: 'OWNER', least: 14, cut: 'middle' },
    { title: 'MODE' },
    { title: 'WAITS FOR', align: 'right' },
    { title: 'META', least: 8 },
  ] as const
  const rows = state.waiters.map((waiter, i) => [
    String(i + 1),
    waiter.owner,
    waiter.mode,
    formatDuration(state.atMs - waiter.waitingSinceMs),
    waiter.meta ?? '',
  ])
  return renderTable(columns, rows, { width: outputWidth(), title: dim })
}

function field(label: string, value: string): string {
  return `${dim(label.padEnd(10))}  ${visible(value)}`
}
