// The pages that users read, and the blocks of code in them.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url))

export interface Block {
  /** The page's path below the root of the repository. */
  readonly page: string
  /** What stands behind the three backticks: `ts`, `js`, `sh`, `json`, or nothing. */
  readonly language: string
  /** The line of the page on which the block begins. */
  readonly line: number
  readonly text: string
}

/** README.md and every page below docs. */
export const pages: readonly string[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.md'))
    .map(file => `docs/${file}`)
    .sort(),
]

export const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

/** All blocks of a page, in their order. */
export function blocksOf(page: string): readonly Block[] {
  const text = textOf(page)
  return [...text.matchAll(/^ *```(.*)\n([\s\S]*?)^ *```$/gm)].map(found => ({
    page,
    language: found[1] as string,
    line: text.slice(0, found.index).split('\n').length,
    text: found[2] as string,
  }))
}

/** Whether it is TypeScript or JavaScript. */
export const isProgram = ({ language }: Block): boolean => language === 'ts' || language === 'js'

/** The first line of a program may be a comment with the name of its file: other blocks import it by that. */
const NAMED = /^\/\/ ([\w./-]+\.[cm]?[jt]s)\n/

export const nameOf = (block: Block, i: number): string =>
  NAMED.exec(block.text)?.[1] ?? `example-${i + 1}${usesVitest(block) ? '.test' : ''}.${block.language}`

/** Whether it is a file of tests for Vitest. */
export const usesVitest = ({ text }: Block): boolean => /^import .* from 'vitest'$/m.test(text)

/** `console.log(…) // text`: the texts that a program promises to print, in their order. */
export function promisedBy({ text }: Block): readonly string[] {
  return [...text.matchAll(/^ *console\.log\(.*\) \/\/ (.*)$/gm)].map(([, promised]) => promised as string)
}
