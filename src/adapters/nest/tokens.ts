import { SoloistError } from '../../errors.js'
import { Soloist } from '../../index.js'
import { checkText } from '../../internal/check.js'
import { loadNestCommon, type NestCommon } from '../../internal/peers/nest.js'

/** Loaded with this file: decorators need it at once. */
export const common: NestCommon = loadNestCommon()

/**
 * What a `Soloist` is injected by: the class itself, or for one with a name a text that is made of it.
 *
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function getSoloistToken(name?: string): typeof Soloist | string {
  return name === undefined ? Soloist : `Soloist:${checkSoloistName(name)}`
}

/**
 * Injects a `Soloist`, as a parameter of a constructor or as a property. Without a name it is the one that the type
 * `Soloist` stands for by itself.
 *
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function InjectSoloist(name?: string): PropertyDecorator & ParameterDecorator {
  return common.Inject(getSoloistToken(name))
}

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkSoloistName(name: unknown): string {
  if (name === '') throw new SoloistError('INVALID_ARGUMENT', 'the name of a Soloist must not be empty')
  return checkText('the name of a Soloist', name)
}
