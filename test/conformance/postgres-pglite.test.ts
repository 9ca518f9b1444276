import { PGlite } from '@electric-sql/pglite'
import { conformance } from 'soloist/conformance'
import { postgresBackend } from 'soloist/postgres'
import { afterAll, describe, test } from 'vitest'
import { elapseIn } from '../support/postgres-time.js'

const db = new PGlite()

conformance({
  name: 'Postgres in this process, with PGlite',
  runner: { describe, test },
  store: async ({ prefix }) => ({ backend: postgresBackend(db, { prefix }) }),
  elapse: elapseIn('soloist', sql => db.exec(sql)),
})

afterAll(() => db.close())
