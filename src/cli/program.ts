import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { addCrons } from './cron/crons.js'
import { EXIT } from './exit-codes.js'
import { explain } from './failure.js'
import { addJobs } from './jobs/jobs.js'
import { addLeader } from './leaders/leader.js'
import { addClear } from './locks/clear.js'
import { addGet } from './locks/get.js'
import { addLs } from './locks/ls.js'
import { addUnlock } from './locks/unlock.js'
import { addWatch } from './locks/watch.js'
import { Notices } from './output/notices.js'
import { guardOutput } from './output/output.js'
import { addPostgres } from './postgres/schema.js'
import { addRun } from './run/run.js'
import { keepIgnoring } from './run/signals.js'

const MORE_HELP = `
Examples:
  soloist run nightly -- ./report.sh    on every host; one of them runs it
  soloist ls                            who holds what
  soloist watch job:                    the same, live, below a prefix
  soloist unlock nightly --force        take it away from whoever holds it
  soloist jobs                          which singleton jobs are live
  soloist leader scheduler              who leads
  soloist crons                         the last tick of each cron job

The store is --store URL, else $SOLOIST_URL, else an SQLite file of this user.
A URL that holds a password belongs into $SOLOIST_URL, since every user of the
machine can read a command's arguments. Locks that an application takes with
connect(url, { prefix }) are seen with --key-prefix, else $SOLOIST_KEY_PREFIX.`

/** Runs the command with these arguments; returns its exit code. Never rejects. */
export async function main(argv: readonly string[]): Promise<number> {
  keepIgnoring()
  const notices = new Notices()
  guardOutput(notices)
  let exitCode: number = EXIT.ok
  const program = programFor(argv, code => {
    exitCode = code
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
    return exitCode
  } catch (error) {
    // Thrown after the help or the version was printed.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok
    const failure = explain(argv.length === 0 ? new CommanderError(1, 'commander.help', 'name a command') : error)
    const hint = ['soloist', ...verbs(program, argv), '--help'].join(' ')
    notices.problem('failed', failure.exitCode === EXIT.usage ? `${failure.message} (see ${hint})` : failure.message)
    return failure.exitCode
  }
}

function programFor(argv: readonly string[], done: (exitCode: number) => void): Command {
  const program = new Command('soloist')
    .description('Run it once: locks that hold across processes and machines.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText('after', MORE_HELP)
    .exitOverride()
    // Errors are told by main, on one line.
    .configureOutput({ writeErr: () => {} })
  addRun(program, argv, done)
  addLs(program, done)
  addGet(program, done)
  addUnlock(program, done)
  addClear(program, done)
  addWatch(program, done)
  addJobs(program, argv, done)
  addLeader(program, done)
  addCrons(program, done)
  addPostgres(program, done)
  return program
}

/** The verb that was called, and below it its own. */
function verbs(command: Command, argv: readonly string[]): readonly string[] {
  const verb = command.commands.find(each => each.name() === argv[0])
  return verb === undefined ? [] : [verb.name(), ...verbs(verb, argv.slice(1))]
}

function version(): string {
  const text = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
