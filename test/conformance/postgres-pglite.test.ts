import { PGlite } from '@electric-sql/pglite'
import { conformance } from 'soloist/conformance'
import { postgresBackend } from 'soloist/postgres'
import { afterAll } from 'vitest'
import { part } from '../support/client-part.js'
import { elapseIn } from '../support/postgres-time.js'

const db = new PGlite()

conformance({
  name: 'Postgres in this process, with PGlite',
  runner: part,
  store: async ({ prefix }) => ({ backend: postgresBackend(db, { prefix }) }),
  elapse: elapseIn('soloist', sql => db.exec(sql)),
})

afterAll(() => db.close())
