import type { Backend } from '../../backend.js'
export function sqliteBackend(_target: unknown, _options: { prefix?: string | undefined } = {}): Backend {
  throw new Error('not yet')
}
