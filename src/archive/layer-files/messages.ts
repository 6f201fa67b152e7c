import type { ArchiveError } from '../archive-error.ts'
import type { BlobDescription } from './layer-blob.ts'
import type { LayerLimits } from './layer-limits.ts'
import type { KnownPlace } from './layer-reading.ts'

/** What the thread does. Blobs are named by their places in `Work.blobs`. */
export type Task =
  | { readonly kind: 'list'; readonly layer: number }
  | {
      readonly kind: 'read'
      readonly layer: number
      readonly path: string
      readonly place?: KnownPlace | undefined
    }
  | { readonly kind: 'image'; readonly layers: readonly number[] }
  /** `number`: its index in the image. */
  | { readonly kind: 'layer'; readonly layer: number; readonly number: number }
  | { readonly kind: 'compare'; readonly before: TaskImage; readonly after: TaskImage }

export type TaskImage = { readonly config: number; readonly layers: readonly number[] }

/** What the thread is started with. */
export type Work = {
  readonly task: Task
  readonly blobs: readonly BlobDescription[]
  readonly limits: LayerLimits
}

/** From the thread. Each `request` asks for a range of a blob, each `more` for its next chunk. */
export type FromThread<Result = unknown> =
  | {
      readonly kind: 'request'
      readonly request: number
      readonly blob: number
      readonly start: number
      readonly end: number
    }
  | { readonly kind: 'more' | 'cancel'; readonly request: number }
  | { readonly kind: 'result'; readonly result: Result }
  | { readonly kind: 'end' }
  | {
      readonly kind: 'failed'
      readonly fault: ArchiveError['fault'] | undefined
      readonly message: string
    }

/** To the thread. `next`: the reader took a result. */
export type ToThread =
  | { readonly kind: 'chunk'; readonly request: number; readonly bytes: Uint8Array }
  | { readonly kind: 'done' | 'broken'; readonly request: number }
  | { readonly kind: 'next' }

/** Chunks, and results, that are on their way at most. */
export const window = 4
