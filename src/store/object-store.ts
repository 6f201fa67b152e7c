import type { Readable } from 'node:stream'
import { RegistryError } from '../oci/errors.ts'

/** What a compare-and-swap compares: an ETag or a generation. */
export type ObjectVersion = string

/** `modified`: milliseconds since the epoch, by the clock of the store. */
export type ObjectHead = {
  readonly size: number
  readonly version: ObjectVersion
  readonly modified: number
}

export type ListedObject = ObjectHead & { readonly key: string }

/** `size`: of the whole object, also if a range of it was requested. */
export type OpenObject = ObjectHead & {
  /** From the first requested byte. It fails when the connection breaks; its reader destroys it. */
  readonly body: Readable
}

/** One page of a listing, in the order of the keys. */
type ObjectPage = {
  readonly objects: readonly ListedObject[]
  /** With a delimiter: the different beginnings of keys up to it. */
  readonly prefixes: readonly string[]
}

/** Bytes, or a file that nobody changes meanwhile. */
export type ObjectSource = Buffer | { readonly path: string; readonly size: number }

/** Write only if there is no object with the key (`absent`), or if it is still this one. */
export type WriteCondition = 'absent' | { readonly version: ObjectVersion }

/** `exists`: there is one; `conflict`: it is another one, or gone. Then nothing was written. */
export type PutResult =
  | { readonly kind: 'created'; readonly version: ObjectVersion }
  | { readonly kind: 'exists' | 'conflict' }

/** What a credential may be allowed to do with objects. */
export type ObjectAccess = 'read' | 'write'

/**
 * A bucket. A missing object is a value; all other failures are an {@link ObjectStoreError}, after
 * retries. What is written can be read and is listed at once.
 */
export interface ObjectStore {
  /** For messages, such as `s3://registry`. */
  readonly name: string
  /** `range`: positions of bytes, `to` exclusive. */
  get(
    key: string,
    options?: {
      readonly range?: { readonly from: number; readonly to?: number } | undefined
      readonly signal?: AbortSignal | undefined
    },
  ): Promise<OpenObject | undefined>
  /** An object of a few KB. */
  read(key: string): Promise<{ readonly bytes: Buffer; readonly head: ObjectHead } | undefined>
  head(key: string): Promise<ObjectHead | undefined>
  /**
   * Writes an object in one step: in one request or, if it is large, in parts that appear together. An
   * upload in parts that fails is aborted.
   */
  put(
    key: string,
    source: ObjectSource,
    condition?: WriteCondition,
    signal?: AbortSignal,
  ): Promise<PutResult>
  /** Keys that do not exist count as deleted. */
  delete(keys: readonly string[]): Promise<void>
  /** `after`: only keys that follow it. `delimiter`: see {@link ObjectPage}. */
  list(
    prefix: string,
    options?: { readonly after?: string; readonly delimiter?: '/' },
  ): AsyncIterable<ObjectPage>
  /**
   * Aborts uploads in parts that began before a time, in milliseconds since the epoch: a process that
   * was killed leaves them. Returns how many. Missing: the store forgets them itself.
   */
  abortUploads?(prefix: string, before: number): Promise<number>
  /** Why no request is sent now, or why the bucket denies all; `access`: only those of this kind. */
  problem(access?: ObjectAccess): string | undefined
  close(): Promise<void>
}

/** Settings of a bucket that matter for a registry. */
export type BucketSettings = {
  readonly isVersioned: boolean
  /** Where its bytes are, if the store says so. */
  readonly location?: string | undefined
  /** Days for which what was deleted or replaced can be brought back, without versions. */
  readonly softDeleteDays?: number | undefined
  /** Days before whose end no object can be deleted or replaced. */
  readonly retentionDays?: number | undefined
  /** The store ends unfinished uploads itself. */
  readonly endsUploads?: boolean
  /** Enabled lifecycle rules, and the keys that they are for. */
  readonly rules: readonly {
    readonly prefix: string
    readonly abortsUploads: boolean
    readonly expiresObjects: boolean
  }[]
}

/** A bucket of an object store. */
export type Bucket = ObjectStore & {
  settings(): Promise<BucketSettings>
  /** What `settings` needs. */
  readonly settingsPermission: string
  /** A URL that reads the object, for so many seconds, without a credential. @throws ObjectStoreError */
  sign(key: string, seconds: number): Promise<string>
}

/**
 * `denied`: the credential lacks a permission, or there is none. `gone`: there is no such bucket.
 * `slow-down`: the store asked for fewer requests. `unreachable`: the network, or the breaker. `failed`:
 * anything else.
 */
export type ObjectStoreFailure = 'denied' | 'gone' | 'slow-down' | 'unreachable' | 'failed'

/** The bucket did not do what was attempted. Clients get 503. */
export class ObjectStoreError extends RegistryError {
  readonly failure: ObjectStoreFailure

  constructor(
    failure: ObjectStoreFailure,
    options: {
      readonly message: string
      readonly advice?: string | undefined
      readonly retryAfter?: number
      readonly cause?: unknown
    },
  ) {
    super('UNAVAILABLE', options)
    this.failure = failure
  }
}
