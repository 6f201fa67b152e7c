import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Action, Identity } from '../auth/auth.ts'
import type { CacheResult, Resolved } from '../registry/registry.ts'

/**
 * What the log line and the metrics of a request tell of it. Filled in as it becomes known; nothing
 * unparsed gets in.
 */
export type RequestRecord = {
  /** A line of the route table. */
  route: string
  /** Bytes of the body that were sent. */
  bytes: number
  repository?: string
  /** `?ns=` as it was sent, cut off. */
  namespace?: string
  reference?: string
  user?: string
  cache?: CacheResult
  error?: unknown
}

declare module 'fastify' {
  interface FastifyRequest {
    record: RequestRecord
  }
}

/** One request that came through the guard. */
export type Call = {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly query: URLSearchParams
  readonly identity: Identity
  readonly record: RequestRecord
}

/** A call that is about a repository, which the caller may use in the way the route says. */
export type RepositoryCall = Call &
  Pick<Resolved, 'name' | 'repository'> & {
    /** The path's last segment: a tag, a digest. */
    readonly reference: string
  }

/**
 * What a method of a route does, and the right that it takes; `acquireSlot` is for what concerns no
 * repository.
 */
export type Endpoint =
  | { readonly action: 'authenticated'; readonly handle: (call: Call) => unknown }
  | { readonly action: Action; readonly handle: (call: RepositoryCall) => unknown }
