import type { ImageSource } from '../archive/archive.ts'
import type { Progress } from './push-image.ts'

/** The same source, which reports what is read of its blobs. */
export function watchReads(
  source: ImageSource,
  onProgress: (progress: Progress) => void,
): ImageSource {
  return {
    ...source,
    read: async function* (blob, options = {}) {
      const { digest, size } = blob
      let sent = options.start ?? 0
      for await (const chunk of source.read(blob, options)) {
        sent += chunk.length
        onProgress({ digest, size, sent, state: 'sending' })
        yield chunk
      }
      onProgress({ digest, size, sent, state: 'received' })
    },
  }
}
