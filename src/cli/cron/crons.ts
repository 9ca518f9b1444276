import type { Command } from 'commander'
import { type CronState, crons } from '../../cron/index.js'
import { jobPrefix } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { momentOf } from '../locks/locks.js'
import { formatDuration } from '../output/duration.js'
import { Notices } from '../output/notices.js'
import { bold, outputWidth, print, printJson } from '../output/output.js'
import { renderTable } from '../output/table.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'

const COLUMNS = [
  { title: 'NAME', least: 12, cut: 'middle' },
  { title: 'PATTERN', least: 9 },
  { title: 'LAST TICK' },
  { title: 'RESULT' },
  { title: 'TOOK', align: 'right' },
  { title: 'BY', least: 14, cut: 'middle' },
  { title: 'NEXT' },
  { title: 'ERROR', least: 8 },
] as const

export function addCrons(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('crons')
    .summary('list the cron jobs')
    .description(
      'Lists the cron jobs that instances run together: the last tick, how it ended, how long it took, who ran it, and ' +
        'when the next is due.',
    )
    .argument('[prefix]', 'only those whose names start so, taken literally', jobPrefix)
  addStoreOptions(command, 'print {"crons":[…]} on one line').action(
    async (prefix: string | undefined, options: StoreOptions) => done(await list(prefix ?? '', options)),
  )
}

async function list(prefix: string, options: StoreOptions): Promise<number> {
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, async ({ solo }) => {
    const states = await crons(solo, prefix)
    if (options.json) await printJson({ crons: states.map(cronJson) })
    else if (states.length > 0) {
      const style = { width: outputWidth(), title: bold }
      await print(`${renderTable(COLUMNS, states.map(rowOf), style).join('\n')}\n`)
    } else notices.info('empty', prefix === '' ? 'no cron job is known' : 'no cron job with such a name is known')
    return EXIT.ok
  })
}

function rowOf({ name, pattern, last, next }: CronState): readonly string[] {
  return [
    name,
    pattern ?? '-',
    last === null ? '-' : momentOf(last.scheduledAt.getTime()),
    last === null ? '-' : (last.result ?? 'running'),
    last === null || last.tookMs === null ? '-' : formatDuration(last.tookMs),
    last?.by ?? '-',
    next === null ? '-' : momentOf(next.getTime()),
    last?.error ?? '',
  ]
}

function cronJson({ name, pattern, timezone, since, last, next }: CronState) {
  return {
    name,
    pattern,
    timezone,
    sinceMs: since.getTime(),
    last:
      last === null
        ? null
        : {
            scheduledAtMs: last.scheduledAt.getTime(),
            by: last.by,
            startedAtMs: last.startedAt.getTime(),
            tookMs: last.tookMs,
            result: last.result,
            error: last.error,
          },
    nextMs: next?.getTime() ?? null,
  }
}
