import type { z } from 'zod'
import type { Identity } from '../auth/auth.ts'
import type { SiteCall } from '../http/http.ts'
import type { OpenOperation, OperationName, Operations } from './operations.ts'

/** The texts in the places of `{name}` and others in the path of an operation; not parsed yet. */
export type PathTexts = Readonly<Record<'name' | 'tag' | 'reference' | 'digest', string>>

/** A request for one operation, whose query is valid. */
export type Call<Name extends OperationName> = Pick<
  SiteCall,
  'request' | 'identify' | 'authorize'
> & {
  readonly query: z.output<Operations[Name]['query']>
  readonly texts: PathTexts
  /** For operations that need no login, it is not known. */
  readonly identity: Name extends OpenOperation ? undefined : Identity
}

export type Reply<Body> = {
  readonly body: Body
  /** It is named by a digest, and complete: it is the same for ever. */
  readonly isImmutable?: boolean
  /** Sent instead of the body. */
  readonly download?: {
    readonly fileName: string
    readonly size: number
    readonly chunks: AsyncIterable<Uint8Array>
  }
}

export type Handler<Name extends OperationName> = (
  call: Call<Name>,
) => Promise<Reply<z.output<Operations[Name]['answer']>>>

/** One for each operation. */
export type Handlers = { readonly [Name in OperationName]: Handler<Name> }
