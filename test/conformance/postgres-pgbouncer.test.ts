import pg from 'pg'
import { conformance } from 'soloist/conformance'
import { afterAll } from 'vitest'
import { part } from '../support/client-part.js'
import { elapseIn } from '../support/postgres-time.js'

const schema = 'conformance_pgbouncer'
const pool = new pg.Pool({ connectionString: String(process.env.SOLOIST_TEST_POSTGRES), max: 1 })

conformance({
  name: 'Postgres through PgBouncer in transaction mode',
  runner: part,
  store: new URL('../stores/postgres-pgbouncer.js?schema=conformance_pgbouncer', import.meta.url),
  elapse: elapseIn(schema, sql => pool.query(sql)),
})

afterAll(() => pool.end())
