import type { Command } from 'commander'
import { postgresSchema } from '../../backends/postgres/index.js'
import { SoloistError } from '../../index.js'
import { EXIT } from '../exit-codes.js'
import { UsageError } from '../failure.js'
import { print } from '../output/output.js'

/** The verbs that are about one kind of store. */
export function addPostgres(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('postgres')
    .summary('print the SQL of the Postgres store')
    .description('What concerns the Postgres store alone.')
    .helpCommand(false)
  command
    .command('schema')
    .summary('print what makes its tables')
    .description('Prints the SQL that makes the tables and functions, or brings them up to date. Safe to run again.')
    .option('--schema <name>', 'the schema they are in (default: soloist)')
    .action(async (options: { readonly schema?: string }) => {
      await print(sqlFor(options.schema))
      done(EXIT.ok)
    })
}

function sqlFor(schema: string | undefined): string {
  try {
    return postgresSchema({ schema })
  } catch (error) {
    if (!(error instanceof SoloistError)) throw error
    throw new UsageError(`--schema: ${error.message}`)
  }
}
