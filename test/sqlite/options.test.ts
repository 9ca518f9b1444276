import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { sqliteBackend } from 'soloist/sqlite'
import { describe, expect, test } from 'vitest'
import { drivers, newPath, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const dist = fileURLToPath(new URL('../../dist', import.meta.url))

/** Runs a module in a folder where `soloist` is installed and nothing else. */
async function runAlone(source: string): Promise<{ stdout: string; stderr: string }> {
  const installed = join(folder, 'alone', 'node_modules', 'soloist')
  mkdirSync(installed, { recursive: true })
  cpSync(dist, installed, { recursive: true })
  const file = join(folder, 'alone', 'main.mjs')
  writeFileSync(file, source)
  return await promisify(execFile)(process.execPath, [file])
}

test.each(['', 7, undefined, null, 'a\0b'])('%j is no path', target => {
  expect(() => sqliteBackend(target as string)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})

test('a database in memory is refused, and the backend for that is named', () => {
  expect(() => sqliteBackend(':memory:')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  expect(() => sqliteBackend(':memory:')).toThrow('memory:')
})

test.each([{ driver: 'better-sqlite3' }, { prefix: 7 }, { prefix: '\ud800' }])('%j are no options', options => {
  const make = () => sqliteBackend(newPath(folder), options as object)
  expect(make).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})

describe('without a driver', () => {
  test('libsql that is not installed is named, and how to get it', async () => {
    const { stdout } = await runAlone(`
      import { sqliteBackend } from './node_modules/soloist/backends/sqlite/index.js'
      try {
        sqliteBackend('x.db', { driver: 'libsql' })
      } catch (error) {
        console.log(error.code, error.message, error.cause.code)
      }`)
    expect(stdout).toMatch(/^BACKEND_UNAVAILABLE .*npm install libsql.* MODULE_NOT_FOUND\n$/)
  })

  test('the default is what this Node.js has by itself, without a word on stderr', async () => {
    const { stdout, stderr } = await runAlone(`
      import { sqliteBackend } from './node_modules/soloist/backends/sqlite/index.js'
      try {
        await sqliteBackend(${JSON.stringify(newPath(folder))}).inspect('job')
        console.log('works')
      } catch (error) {
        console.log(error.code)
      }`)
    expect({ stdout, stderr }).toEqual({
      stdout: drivers.includes('node:sqlite') ? 'works\n' : 'BACKEND_UNAVAILABLE\n',
      stderr: '',
    })
  })

  const wanted = drivers.includes('node:sqlite') ? 'is used' : 'is refused by a Node.js that has none'
  test(`node:sqlite ${wanted}`, () => {
    const make = () => sqliteBackend(newPath(folder), { driver: 'node:sqlite' })
    if (drivers.includes('node:sqlite')) expect(make().kind).toBe('sqlite')
    else expect(make).toThrow(expect.objectContaining({ code: 'BACKEND_UNAVAILABLE' }))
  })
})
