// Loads the package both ways. Prints as JSON whether errors and stores of the one are those of the other.
import { createRequire } from 'node:module'
import * as imported from 'soloist'

const required = createRequire(import.meta.url)('soloist')
const { compare } = createRequire(import.meta.url)('./compare.cjs')
console.log(JSON.stringify(await compare(imported, required)))
