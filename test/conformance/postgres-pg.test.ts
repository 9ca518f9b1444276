import pg from 'pg'
import { conformance } from 'soloist/conformance'
import { afterAll, describe, test } from 'vitest'
import { clockIn, elapseIn } from '../support/postgres-time.js'

const schema = 'conformance_pg'
const pool = new pg.Pool({ connectionString: String(process.env.SOLOIST_TEST_POSTGRES), max: 1 })

conformance({
  name: 'Postgres through a pool of pg',
  runner: { describe, test },
  store: new URL('../stores/postgres-pg.js?schema=conformance_pg', import.meta.url),
  elapse: elapseIn(schema, sql => pool.query(sql)),
  stepClock: clockIn(schema, sql => pool.query(sql)),
})

afterAll(() => pool.end())
