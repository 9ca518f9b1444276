import { SoloistError } from '../../../index.js'

/** What BullMQ or its Redis failed with. @param sent whether anything was */
export function asSoloistError(error: unknown, sent: boolean): SoloistError {
  if (error instanceof SoloistError) return error
  const refused = !sent || typeof (error as { code?: unknown } | null)?.code === 'number'
  const message = error instanceof Error ? error.message : String(error)
  return new SoloistError(refused ? 'INVALID_ARGUMENT' : 'BACKEND_UNAVAILABLE', message, { cause: error })
}
