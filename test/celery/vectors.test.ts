import { readFileSync } from 'node:fs'
import { celeryLockKey, pyFloat, pythonJson } from 'soloist/celery'
import { describe, expect, test } from 'vitest'

interface Vector {
  readonly task: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly uniqueOn?: string | readonly string[]
  readonly parameters?: readonly string[]
  readonly prefix?: string
  readonly texts?: readonly [string, string]
  readonly lock: string
}

/** Made by scripts/celery-vectors.py. */
const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8'), revive) as Vector[]

/** An object with the single member `$float`, `$int` or `$dict` stands for what JSON cannot say, or not safely. */
function revive(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) return value
  const { $dict, $float, $int } = value as { $dict?: [string, unknown][]; $float?: string; $int?: string }
  if ($dict !== undefined) return Object.fromEntries($dict)
  if ($int !== undefined) return BigInt($int)
  if ($float === undefined) return value
  return pyFloat({ inf: Infinity, '-inf': -Infinity, nan: Number.NaN }[$float] ?? Number($float))
}

describe('the lock is the one that Python makes', () => {
  test('of the task in the README of celery-singleton', () => {
    expect(celeryLockKey('tasks.do_stuff', [1, 2, 3], { a: 'b' })).toBe(
      'SINGLETONLOCK_ff869fd74256d2a556ed4d8cd11727aa',
    )
  })

  test(`of ${vectors.length} vectors`, () => {
    expect(vectors.length).toBeGreaterThan(500)
    const wrong = vectors.filter(({ task, args, kwargs, lock, texts: _, ...options }) => {
      return celeryLockKey(task, args, kwargs, options) !== lock
    })
    expect(wrong).toEqual([])
  })

  test('from the same texts', () => {
    const shown = vectors.filter(({ texts, uniqueOn }) => texts !== undefined && uniqueOn === undefined)
    expect(shown.length).toBeGreaterThan(300)
    for (const { args, kwargs, texts } of shown) {
      expect([args, kwargs].map(value => pythonJson(value, { sortKeys: true }))).toEqual(texts)
    }
  })

  test('whatever the order of keys', () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed)
      if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
      const entries = Object.entries(value).map(([key, item]) => [key, reversed(item)])
      return Object.fromEntries(entries.reverse())
    }
    for (const { task, args, kwargs, lock, texts: _, ...options } of vectors) {
      const turned = [reversed(args), reversed(kwargs)] as [unknown[], Record<string, unknown>]
      expect(celeryLockKey(task, ...turned, options)).toBe(lock)
    }
  })
})
