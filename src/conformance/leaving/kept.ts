import type { KeptResult } from '../../backend.js'
import { LONG_MS } from '../trial/client.js'

/** A result that is there to the end of its test. */
export function kept(text: string): KeptResult {
  return { text, keepMs: LONG_MS }
}
