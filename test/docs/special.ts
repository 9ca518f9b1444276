// What is not run like everything else, and where it is run instead.
import type { Block } from './pages.js'

/** Pages whose code has a test file of its own, since it needs more than a Redis and a folder; the file names the page. */
export const runElsewhere: Readonly<Record<string, string>> = {
  // Its blocks are pieces of projects: a route, a configuration, a command of a bundler.
  'docs/bundlers-and-test-runners.md': 'test/consumers/docs.test.ts',
  // Its blocks are the files of an example, which is a project of its own.
  'docs/nest.md': 'test/consumers/nest.test.ts',
}

/** What makes a worker, of BullMQ, pg-boss or graphile-worker, and what ends it. */
const WORKERS = [
  ['new SingletonWorker(', 'worker.close()'],
  ['boss.work', 'boss.stop()'],
  ['await run({', 'runner.stop()'],
] as const

/** A program that makes a worker goes on until somebody ends it. */
export const servesOn = ({ text }: Block): boolean =>
  WORKERS.some(([start, end]) => text.includes(start) && !text.includes(end))

/** Lines of a shell that would change the machine, or start what other tests start; the package's tests install it. */
const NOT_RUN = /^(npm|npx|mkdir|sudo|apt-get|brew|docker|git|cd) /

/** The lines of a shell that are run: all but those that install. What `npx` starts of these is what is there. */
export const runLines = ({ text }: Block): string =>
  text
    .replaceAll('npx soloist ', 'soloist ')
    .replaceAll('npx tsc ', 'node node_modules/typescript/bin/tsc ')
    .split('\n')
    .filter(line => !NOT_RUN.test(line))
    .join('\n')

/** Configuration of other programs, which only they can run: of it the calls of the command are run. */
export const CONFIGURATION: readonly string[] = ['crontab', 'dockerfile', 'ini']

/** The calls of `soloist run` in a configuration, as lines of a shell; what they start is left to `true`. */
export function callsIn({ language, text }: Block): readonly string[] {
  if (!CONFIGURATION.includes(language)) return []
  const lists = [...text.matchAll(/^(?:CMD|ENTRYPOINT) (\[.*\])$/gm)].map(([, list]) => JSON.parse(list as string))
  const lines = [...text.matchAll(/\bsoloist run .*$/gm)].map(([line]) => line)
  const calls = [...lists.filter(([program]) => program === 'soloist').map(list => list.join(' ')), ...lines]
  return calls.map(call => call.replace(/ -- .*$/, ' -- true'))
}
