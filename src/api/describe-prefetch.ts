import type { Prefetch } from '../registry/registry.ts'
import { timeOf } from './times.ts'

export function describePrefetch({ startedAt, endedAt, ...rest }: Prefetch) {
  return { ...rest, startedAt: timeOf(startedAt) ?? '', endedAt: timeOf(endedAt) }
}
