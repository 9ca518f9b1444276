import { SoloistError } from '../../errors.js'
import type { Soloist } from '../../index.js'
import { common, getSoloistToken } from './tokens.js'

/** Where the instances of one `Soloist`, by its name, have it. */
interface Place {
  /** A property that Nest sets. It is an accessor of the prototype, so no instance shows it. */
  readonly key: symbol
  readonly solos: WeakMap<object, Soloist>
}

const places = new Map<string | undefined, Place>()

function placeOf(name: string | undefined): Place {
  let place = places.get(name)
  if (place === undefined) {
    // Nest's error about a dependency that is missing shows this text.
    const shown = name === undefined ? '' : `{ name: ${JSON.stringify(name)} }`
    place = { key: Symbol(`the Soloist of SoloistModule.forRoot(${shown})`), solos: new WeakMap() }
    places.set(name, place)
  }
  return place
}

/** Has Nest give a `Soloist` to each instance of a class that it makes, or fail at start where there is none. */
export function injectInto(prototype: object, name: string | undefined): void {
  const { key, solos } = placeOf(name)
  if (Object.hasOwn(prototype, key)) return
  Object.defineProperty(prototype, key, {
    set(this: object, solo: Soloist) {
      solos.set(this, solo)
    },
  })
  common.Inject(getSoloistToken(name))(prototype, key)
}

/** Gives a `Soloist` to an instance that Nest did not make itself, as that of a factory. */
export function bind(instance: object, name: string | undefined, solo: Soloist): void {
  placeOf(name).solos.set(instance, solo)
}

/** @param what the method, as messages name it @throws SoloistError `INVALID_ARGUMENT` */
export function soloOf(instance: unknown, name: string | undefined, what: string): Soloist {
  const solo = typeof instance === 'object' && instance !== null ? placeOf(name).solos.get(instance) : undefined
  if (solo !== undefined) return solo
  const why = 'was called on an instance that Nest has not made, or not yet'
  throw new SoloistError('INVALID_ARGUMENT', `${what} ${why}: make it a provider beside SoloistModule`)
}
