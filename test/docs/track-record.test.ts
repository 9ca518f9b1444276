// The page tells of every fault that is put into the library on purpose.
import { expect, test } from 'vitest'
import { broken, brokenStores } from '../simulation/broken.js'
import { textOf } from './pages.js'

test.each([...broken, ...brokenStores])('the track record tells that $fault', ({ fault }) => {
  expect(textOf('docs/track-record.md')).toContain(`| ${fault} |`)
})
