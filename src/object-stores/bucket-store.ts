import type { ObjectStore } from '../store/store.ts'

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

export type BucketStore = ObjectStore & {
  settings(): Promise<BucketSettings>
  /** What `settings` needs. */
  readonly settingsPermission: string
  /** A URL that reads the object, for so many seconds, without a credential. @throws ObjectStoreError */
  sign(key: string, seconds: number): Promise<string>
}
