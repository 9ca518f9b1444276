import { randomBytes } from 'node:crypto'
import { invalidArgument } from '../../errors.js'
import type { Row } from './database/database.js'

// biome-ignore-start lint/suspicious/noExplicitAny: the libraries' own types of what they take and give are all different
/** A transaction of `pg` (a client of its own, or one of a pool, after `BEGIN`) or of PGlite. */
export interface QueryTransaction {
  query(text: string, values?: any[]): PromiseLike<any>
}

/** A transaction of `postgres` (postgres.js): what `sql.begin` gives. */
export interface PostgresJsTransaction {
  unsafe(query: string, parameters?: any[]): PromiseLike<any>
  savepoint(...args: any[]): unknown
}

/** A transaction of Kysely's. */
export interface KyselyTransaction {
  executeQuery(query: any): PromiseLike<any>
  readonly isTransaction: true
}

/** A transaction of Knex'. */
export interface KnexTransaction {
  raw(sql: string, bindings?: any): PromiseLike<any>
  readonly isTransaction?: boolean | undefined
}

/** A transaction of Drizzle's. */
export interface DrizzleTransaction {
  execute(query: string): PromiseLike<any>
  rollback(): never
}

/** What Prisma's `$transaction` gives. */
export interface PrismaTransaction {
  $queryRawUnsafe(query: string, ...values: any[]): PromiseLike<any>
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above

/** A transaction of the application's that a lease can guard. */
export type PostgresTransaction =
  | QueryTransaction
  | PostgresJsTransaction
  | KyselyTransaction
  | KnexTransaction
  | DrizzleTransaction
  | PrismaTransaction

/** A call of a function of the database's, with its arguments and their types. */
interface Call {
  readonly fn: string
  readonly args: readonly (readonly [value: string, type: string])[]
}

/**
 * Calls the guard in a transaction of the application's. A setting that lasts as long as a transaction shows it that there is
 * one: a statement by itself would be guarded until its own end, and say nothing.
 *
 * @param fn the function, in its schema
 * @throws SoloistError `INVALID_ARGUMENT` for what is none of the transactions that are known here
 */
export async function guardIn(
  tx: PostgresTransaction,
  fn: string,
  name: string,
  owner: string,
  fence: number,
): Promise<boolean> {
  const mark = randomBytes(8).toString('hex')
  const setting = ['soloist_guard.mark', 'text'] as const
  await okOf(ask(tx, { fn: 'set_config', args: [setting, [mark, 'text'], ['true', 'bool']] }))
  const args = [
    [name, 'text'],
    [owner, 'text'],
    [String(fence), 'int8'],
    [mark, 'text'],
  ] as const
  return (await okOf(ask(tx, { fn, args }))) === true
}

/** The one value that a call came to. */
async function okOf(asked: PromiseLike<unknown>): Promise<unknown> {
  const answer = await asked
  const rows = (Array.isArray(answer) ? answer : Object(answer).rows) as readonly Row[] | undefined
  const [row] = rows ?? []
  if (row?.ok === undefined) throw unknownTransaction()
  return row.ok
}

/** A call with its arguments as the libraries want them: numbered, as question marks, or written out. */
const numbered = ({ fn, args }: Call) => `SELECT ${fn}(${args.map(([, type], i) => `$${i + 1}::text::${type}`)}) AS ok`
const marked = ({ fn, args }: Call) => `SELECT ${fn}(${args.map(([, type]) => `?::text::${type}`)}) AS ok`
const written = ({ fn, args }: Call) => `SELECT ${fn}(${args.map(([value, type]) => `${hex(value)}::${type}`)}) AS ok`
/** Data that cannot be taken for anything else. */
const hex = (text: string) => `convert_from(decode('${Buffer.from(text).toString('hex')}', 'hex'), 'UTF8')`

function ask(tx: PostgresTransaction, call: Call): PromiseLike<unknown> {
  if ((typeof tx !== 'object' && typeof tx !== 'function') || tx === null) throw unknownTransaction()
  const has = (method: string) => typeof (tx as unknown as Record<string, unknown>)[method] === 'function'
  const values = call.args.map(([value]) => value)
  if (has('$queryRawUnsafe')) return (tx as PrismaTransaction).$queryRawUnsafe(numbered(call), ...values)
  if (has('unsafe')) return (tx as PostgresJsTransaction).unsafe(numbered(call), values)
  if (has('executeQuery')) {
    // A query of Kysely's own making is no more than this.
    const sql = numbered(call)
    const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
    const queryId = { queryId: 'soloist' }
    return (tx as KyselyTransaction).executeQuery({ sql, parameters: values, query, queryId })
  }
  if (has('raw')) return (tx as KnexTransaction).raw(marked(call), values)
  if (has('execute')) return (tx as DrizzleTransaction).execute(written(call))
  if (has('query')) return (tx as QueryTransaction).query(numbered(call), values)
  throw unknownTransaction()
}

function unknownTransaction() {
  return invalidArgument(
    'guard needs an open transaction: a client of pg after BEGIN, or what sql.begin of postgres.js, transaction of PGlite, ' +
      'Kysely, Knex or Drizzle, or $transaction of Prisma gives',
  )
}
