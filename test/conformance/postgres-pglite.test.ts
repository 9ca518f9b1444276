import { PGlite } from '@electric-sql/pglite'
import { conformance } from 'soloist/conformance'
import { postgresBackend } from 'soloist/postgres'
import { afterAll } from 'vitest'
import { sideBySide } from '../support/side-by-side.js'

const db = new PGlite()

conformance({
  name: 'Postgres in this process, with PGlite',
  runner: sideBySide,
  store: async ({ prefix }) => ({ backend: postgresBackend(db, { prefix }) }),
})

afterAll(() => db.close())
