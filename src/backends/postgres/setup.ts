import { SoloistError } from '../../errors.js'
import { sql } from '../../internal/generated/postgres.js'
import type { Database } from './database/database.js'
import { identifier } from './text.js'

/** The steps from one version of the tables to the next: the first makes them. Each is additive where that is possible. */
const MIGRATIONS: readonly string[] = [sql.tables]
/** The version of the functions, which is part of their names. It changes with them. */
const FUNCTIONS = 1

/** Text that stands for itself in SQL, whatever is in it but the tag. */
const literal = (text: string) => `$soloist$${text}$soloist$`

/** The SQL of this backend is written for a schema named `soloist`. */
export function inSchema(text: string, schema: string): string {
  return text.replace(/\bsoloist\.(?=[a-z])/g, () => `${identifier(schema)}.`)
}

/**
 * What makes the tables and functions, or brings those of an older version up to date. Safe to run again, and by several at
 * once. Functions of other versions stay, for programs that run side by side.
 */
export function setupSql(schema: string): string {
  const name = identifier(schema)
  const text = `'${schema.replaceAll("'", "''")}'`
  const steps = MIGRATIONS.map((migration, i) => {
    const missing = `coalesce((SELECT max(version) FROM soloist.store), 0) <= ${i}`
    const condition = i === 0 ? `to_regclass(${literal('soloist.store')}) IS NULL` : missing
    return `  IF ${condition} THEN\n    EXECUTE ${literal(migration)};\n  END IF;\n`
  })
  const block = `DO $setup$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('soloist setup', 7000));
  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = ${text}) THEN
    CREATE SCHEMA ${name};
  END IF;
${steps.join('')}  IF (SELECT oldest FROM soloist.store) > ${FUNCTIONS} THEN
    RAISE EXCEPTION 'the tables of soloist in this database are for newer versions of it' USING ERRCODE = 'SL003';
  END IF;
END $setup$;
`
  return inSchema(`${block}\n${sql.functions}`, schema)
}

/** Something is not there: a function, the schema, a table. */
const MISSING: ReadonlySet<unknown> = new Set(['42883', '3F000', '42P01'])
const NOT_ALLOWED = '42501'

export function isMissing(error: unknown): boolean {
  return MISSING.has(codeOf(error))
}

/** The SQLSTATE of an error of the database's. */
export function codeOf(error: unknown): unknown {
  return Object(error).code
}

/** Whether an error of the application's own library tells of this SQLSTATE: some wrap what the database said. */
export function saysCode(error: unknown, code: string): boolean {
  const { cause, meta } = Object(error)
  return [error, cause, meta, Object(meta).driverAdapterError?.cause].some(part => {
    const { code: own, originalCode } = Object(part)
    return own === code || originalCode === code
  })
}

/** @throws SoloistError `BACKEND_UNAVAILABLE` when this user may not create what is missing */
export async function setUp(database: Database, schema: string): Promise<void> {
  try {
    await database.script(setupSql(schema))
  } catch (cause) {
    if (codeOf(cause) !== NOT_ALLOWED) throw cause
    const message =
      'the tables of soloist are not in this database, and this user may not create them: let one who may run what ' +
      '"soloist postgres schema" prints'
    throw new SoloistError('BACKEND_UNAVAILABLE', message, { cause })
  }
}
