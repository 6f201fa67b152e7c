import { join } from 'node:path'
import type { Config } from '../../config/config.ts'

/** The directory of hosted repositories. */
export function hostedRootOf({ storage }: Pick<Config, 'storage'>): string {
  return storage.hosted.directory ?? join(storage.directory, 'hosted')
}
