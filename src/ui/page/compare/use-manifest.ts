import type { Manifest } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { fullReference, type ImageName } from '../route.ts'
import { type Answer, useAnswer } from '../use-answer.ts'

export function useManifest({ name, reference }: ImageName): Answer<Manifest> {
  return useAnswer(fullReference(name, reference), (signal) =>
    api.manifest(name, reference, signal),
  )
}
