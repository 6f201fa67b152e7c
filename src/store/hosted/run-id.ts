import { randomBytes } from 'node:crypto'
import { RegistryError } from '../../oci/errors.ts'

declare const brand: unique symbol

/**
 * Names what one collection or one request removed, such as `20261129T013000Z-ab12cd34`. Sorts by
 * time.
 */
export type RunId = string & { readonly [brand]: 'RunId' }

const grammar = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[0-9a-f]{4,16}$/

/** `now`: milliseconds since the epoch. */
export function createRunId(now = Date.now()): RunId {
  const time = new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  return parseRunId(`${time}-${randomBytes(4).toString('hex')}`)
}

export function isRunId(text: string): text is RunId {
  return grammar.test(text)
}

/** @throws RegistryError UNSUPPORTED: the text is not the name of a run. */
export function parseRunId(text: string): RunId {
  if (!isRunId(text))
    throw new RegistryError('UNSUPPORTED', {
      message: 'invalid run: expected a name such as 20261129T013000Z-ab12cd34',
    })
  return text
}

/** Milliseconds since the epoch, in whole seconds. */
export function timeOfRun(run: RunId): number {
  return Date.parse(run.replace(grammar, '$1-$2-$3T$4:$5:$6Z'))
}
