import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Identity } from '../auth/auth.ts'
import type { RequestRecord } from './call.ts'
import type { Guard } from './guard.ts'

/** A request that is not authenticated yet. */
export type SiteCall = {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** Decoded once. */
  readonly path: string
  readonly query: URLSearchParams
  /** The site sets the route, whose names are few. */
  readonly record: RequestRecord
  /** @throws RegistryError as {@link Guard} does. */
  readonly identify: () => Promise<Identity>
  readonly authorize: Guard['authorize']
}

/** Paths beside `/v2/` on the same address. The site decides about access, and has errors of its own. */
export interface Site {
  has(path: string): boolean
  answer(call: SiteCall): Promise<unknown>
}
