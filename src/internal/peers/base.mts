import { lookFrom } from './load.js'

declare const __webpack_require__: unknown

// Not in a bundle of webpack's, where it would be the path of this file when the bundle was made.
if (typeof __webpack_require__ === 'undefined') lookFrom(import.meta.url)
