import { conformance } from 'soloist/conformance'
import { describe, test } from 'vitest'
import { memoryStores } from '../stores/memory.js'

const { open, elapse, stepClock } = memoryStores()

conformance({ name: 'memory', runner: { describe, test }, store: open, elapse, stepClock })
