import { connect } from 'soloist'
import { expect, test } from 'vitest'
import { LONGEST_TEXT_BYTES } from '../../dist/cli/arguments.js'
import { renderTable, Table } from '../../dist/cli/output/table.js'
import { clip, visible, width, withoutLogins } from '../../dist/cli/output/text.js'

test.each([
  ['plain — ünïcode 漢字', 'plain — ünïcode 漢字'],
  ['\x1b[31mred', '\\x1b[31mred'],
  ['a\nb\tc\r', 'a\\x0ab\\x09c\\x0d'],
  ['\x7f\x9b', '\\x7f\\x9b'],
  ['\u202egnp.exe', '\\u202egnp.exe'],
  ['a\u200bb\u2028c', 'a\\u200bb\\u2028c'],
  ['\u{e0041}', '\\u{e0041}'],
])('%j is made visible', (text, shown) => {
  expect(visible(text)).toBe(shown)
})

test.each([
  ['redis://user:secret@host:6379/0', 'redis://***@host:6379/0'],
  ['redis://:p@ss/w:rd@host', 'redis://***@host'],
  ["unknown option '--store=rediss://u:secret@h'", "unknown option '--store=rediss://***@h'"],
  ['redis://host?password=secret&db=1', 'redis://host?password=***&db=1'],
  ['redis+sentinel://:secret@a,b/name?sentinel_password=secret', 'redis+sentinel://***@a,b/name?sentinel_password=***'],
  ['sqlite:/tmp/a.db', 'sqlite:/tmp/a.db'],
  ['me@example.org', 'me@example.org'],
])('%j is shown without its login', (text, shown) => {
  expect(withoutLogins(text)).toBe(shown)
})

test('columns are counted as a terminal shows them', () => {
  expect(['abc', '漢字', 'e\u0301', '🔒'].map(width)).toEqual([3, 4, 1, 2])
})

test.each([
  ['abcdef', 6, 'abcdef'],
  ['abcdef', 5, 'abcd…'],
  ['漢字漢字', 5, '漢字…'],
  ['漢字漢字', 4, '漢…'],
  ['abc', 0, ''],
])('%j in %d columns is %j', (text, columns, clipped) => {
  expect(clip(text, columns)).toBe(clipped)
  expect(width(clip(text, columns))).toBeLessThanOrEqual(columns)
})

test.each([
  ['abcdefghi', 9, 'abcdefghi'],
  ['abcdefghi', 8, 'abcd…ghi'],
  ['abcdefghi', 7, 'abc…ghi'],
  ['漢字漢字', 6, '漢…字'],
  ['漢字漢字', 5, '漢…字'],
  ['abcde\u0301f', 5, 'ab…e\u0301f'],
  ['abcdeef\u0301', 4, 'ab…f\u0301'],
  ['abcd\u0301e', 3, 'a…e'],
  ['abc', 2, 'a…'],
  ['abc', 1, '…'],
  ['abc', 0, ''],
])('%j in %d columns, cut in the middle, is %j', (text, columns, clipped) => {
  expect(clip(text, columns, 'middle')).toBe(clipped)
  expect(width(clip(text, columns, 'middle'))).toBeLessThanOrEqual(columns)
})

test('names and meta may be exactly as long as the library takes them', async () => {
  await using solo = connect('memory:')
  const longest = 'x'.repeat(LONGEST_TEXT_BYTES)
  expect(await solo.tryLock(longest, { meta: longest })).not.toBeNull()
  const refused = { code: 'INVALID_ARGUMENT' }
  await expect(solo.tryLock(`${longest}x`)).rejects.toMatchObject(refused)
  await expect(solo.tryLock('job', { meta: `${longest}x` })).rejects.toMatchObject(refused)
})

const COLUMNS = [
  { title: 'NAME', least: 4 },
  { title: 'AGE', align: 'right' },
  { title: 'META', least: 3 },
] as const
const ROWS = [
  ['nightly', '9.0s', 'x'],
  ['漢字', '3m12s', 'a long remark'],
]

test('a table has aligned columns', () => {
  expect(renderTable(COLUMNS, ROWS, { width: Infinity, title: text => `<${text}>` })).toEqual([
    '<NAME       AGE  META>',
    'nightly   9.0s  x',
    '漢字     3m12s  a long remark',
  ])
})

test('a table that is too wide is cut where it is widest, and never wider than asked', () => {
  expect(renderTable(COLUMNS, ROWS, { width: 20, title: text => text })).toEqual([
    'NAME     AGE  META',
    'nigh…   9.0s  x',
    '漢字   3m12s  a lon…',
  ])
  expect(renderTable(COLUMNS, ROWS, { width: 16, title: text => text })).toEqual([
    'NAME    AGE  ME…',
    'nig…   9.0s  x',
    '漢字  3m12s  a …',
  ])
  for (const columns of [1, 5, 9, 10, 11, 12, 13, 17]) {
    const table = renderTable(COLUMNS, ROWS, { width: columns, title: text => text })
    expect(Math.max(...table.map(width))).toBeLessThanOrEqual(columns)
  }
})

test('later rows make columns wider where there is room, and the titles come once', () => {
  const table = new Table(COLUMNS, { width: 24, title: text => `<${text}>` })
  expect(table.lines([['a', '1s', 'x']])).toEqual(['<NAME  AGE  META>', 'a      1s  x'])
  expect(table.lines([['nightly', '3m12s', 'y']])).toEqual(['nightly  3m12s  y'])
  expect(table.lines([['b', '2s', 'a long remark']])).toEqual(['b           2s  a long …'])
  expect(table.lines([])).toEqual([])
})

test('cells cannot reach the terminal with control characters', () => {
  const table = renderTable(COLUMNS, [['\x1b[2J', '\x07', 'a\nb']], { width: 80, title: text => text })
  expect(table[1]).toBe('\\x1b[2J  \\x07  a\\x0ab')
})
