import type { Removal } from '../../../api/answers.ts'

/** What is known about the removal of a tag or a digest: a preview, the removal, or why there is none. */
export type Item = {
  readonly reference: string
  readonly removal?: Removal
  readonly error?: string
}
