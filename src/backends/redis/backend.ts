import type { Backend } from '../../backend.js'
export function redisBackend(_target: unknown, _options: { prefix?: string | undefined } = {}): Backend {
  throw new Error('not yet')
}
