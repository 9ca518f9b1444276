// Every line of the guarantees leads to the tests that guard it, and each invariant is named by some.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ROOT, textOf } from './pages.js'

const PAGE = 'docs/guarantees.md'
const GUARDS = ['guarded by', 'named by']

/** The rows of the tables that say what guards each, with the cell that says it. */
const rows: readonly { readonly row: string; readonly cells: readonly string[]; readonly guard: string }[] = textOf(
  PAGE,
)
  .split('\n\n')
  .map(block => block.split('\n').filter(line => line.startsWith('|')))
  .filter(([head = '']) => GUARDS.some(word => head.includes(`| ${word} |`)))
  .flatMap(([, , ...lines]) => lines)
  .map(line => {
    const cells = line.split(/(?<!\\)\|/).map(cell => cell.trim())
    return { row: cells[1] as string, cells, guard: cells.at(-2) as string }
  })

const linked = (text: string) => [...text.matchAll(/\]\((\.\.\/test\/[^)]+)\)/g)].map(([, path]) => path as string)

/** What the first line of each test names. */
const named = new Map<string, string[]>()
for (const file of readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })) {
  if (!file.endsWith('.test.ts')) continue
  const [first = ''] = readFileSync(join(ROOT, 'test', file), 'utf8').split('\n', 1)
  const ids = /^\/\/ Guards invariants? (.*) of docs\/guarantees\.md\.$/.exec(first)?.[1]?.match(/[A-Z]\d+/g) ?? []
  for (const id of ids) named.set(id, [...(named.get(id) ?? []), `../test/${file.replaceAll('\\', '/')}`])
}

const invariants = rows.filter(({ row }) => /^[A-Z]\d+$/.test(row))

test('there are many of both', () => {
  expect(rows.length).toBeGreaterThan(60)
  expect(invariants.length).toBeGreaterThan(25)
})

describe.each(rows)('$row', ({ guard }) => {
  test('leads to tests that are there', () => {
    const paths = linked(guard)
    expect(paths).not.toEqual([])
    for (const path of paths) expect(existsSync(join(ROOT, dirname(PAGE), path)), path).toBe(true)
  })
})

test.each(invariants)('invariant $row is named by the tests it leads to, and by no other', ({ row, guard }) => {
  expect(linked(guard).sort()).toEqual(named.get(row)?.sort())
})

test('no test names an invariant that there is not', () => {
  expect([...named.keys()].filter(id => !invariants.some(({ row }) => row === id))).toEqual([])
})
