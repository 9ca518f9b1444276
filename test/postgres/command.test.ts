import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { newSchema, openPool, url } from './support.js'

const run = promisify(execFile)
const program = fileURLToPath(new URL('../../bin/soloist', import.meta.url))
const pool = openPool({ max: 2 })

test('the command works on Postgres', async () => {
  const store = `${url}?schema=${newSchema()}`
  const { stdout: listed } = await run(program, [
    'run',
    'a name',
    '--store',
    store,
    '--',
    program,
    'ls',
    '--json',
    '--store',
    store,
  ])
  assert.deepEqual(
    JSON.parse(listed).locks.map(({ name }: { name: string }) => name),
    ['a name'],
  )
  await expect(run(program, ['get', 'a name', '--store', store])).rejects.toMatchObject({ code: 1 })
})

test('postgres schema prints what makes the tables, for a schema of any name', async () => {
  const schema = newSchema()
  const { stdout } = await run(program, ['postgres', 'schema', '--schema', schema])
  await pool.query(stdout)
  await pool.query(stdout)
  const { rows } = await pool.query(`SELECT version FROM ${schema}.store`)
  assert.deepEqual(rows, [{ version: 1 }])
  await expect(run(program, ['postgres', 'schema', '--schema', 'a b'])).rejects.toMatchObject({ code: 2 })
})
