import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What users are told of all this. The commands in it are the ones that are run. */
export const page: string = readFileSync(
  join(import.meta.dirname, '../../../docs/bundlers-and-test-runners.md'),
  'utf8',
)

/** The one command of the page that a pattern describes. */
function commandLike(pattern: RegExp): string {
  const found = page.split('\n').filter(line => pattern.test(line))
  if (found.length !== 1) throw new Error(`${found.length} commands of the page are like ${pattern}`)
  return found[0] as string
}

/** All commands of the page. */
export const commands = {
  esbuildCommonJs: commandLike(/^npx esbuild .*\.cjs$/),
  esbuildModule: commandLike(/^npx esbuild .*--format=esm/),
  bun: commandLike(/^bun /),
  deno: commandLike(/^deno /),
} as const
