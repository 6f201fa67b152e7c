import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Action, Identity } from '../auth/auth.ts'
import type { CacheResult, Resolved } from '../registry/registry.ts'
import type { Count, Observe } from '../telemetry/telemetry.ts'

/**
 * What the access log and the metrics record about a request. Handlers fill it in; it contains parsed
 * values only.
 */
export type RequestRecord = {
  /** A path of the route table. */
  route: string
  /** Bytes of the response body that were sent. */
  bytes: number
  /** Bytes of the request body that arrived, if a handler read it. */
  received?: number
  repository?: string
  /** The host in `?ns=`. */
  namespace?: string
  reference?: string
  user?: string
  cache?: CacheResult
  error?: unknown
  /**
   * What the access log made of it when the response was closed. A record of equal requests, with equal responses, may
   * be used again.
   */
  prepared?: { readonly members: string; readonly count: Count; readonly observe: Observe }
}

declare module 'fastify' {
  interface FastifyRequest {
    record: RequestRecord
  }
}

/** An authenticated request. */
export type Call = {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly query: URLSearchParams
  readonly identity: Identity
  /** The request may come from a web page of another origin. */
  readonly isAllowedOrigin: boolean
  readonly record: RequestRecord
}

/** A request for a repository, on which the route's action is authorized. */
export type RepositoryCall = Call &
  Pick<Resolved, 'name' | 'repository' | 'writable' | 'readOnly'> & {
    /** The last path segment: a tag or a digest; not parsed yet. */
    readonly reference: string
  }

/**
 * What a method of a route does, and the right that it takes; `authenticated` is for what concerns no
 * repository.
 */
export type Endpoint =
  | { readonly action: 'authenticated'; readonly handle: (call: Call) => unknown }
  | { readonly action: Action; readonly handle: (call: RepositoryCall) => unknown }
