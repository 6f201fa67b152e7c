import { useEffect, useRef, useState } from 'preact/hooks'
import { type ApiError, api } from '../api.ts'
import { formatBytes } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import { Notice } from '../parts/message.tsx'
import { asApiError } from '../use-answer.ts'
import { saveFile } from './file-content.ts'
import { baseName } from './names.ts'
import type { Place } from './use-files.ts'

type DownloadProps = { readonly place: Place; readonly size: number }

/** Saves one file, and says how much of it is there. */
export function Download({ place, size }: DownloadProps) {
  const [received, setReceived] = useState<number>()
  const [error, setError] = useState<ApiError>()
  const controller = useRef<AbortController | undefined>(undefined)
  useEffect(() => () => controller.current?.abort(), [])

  const start = async () => {
    controller.current = new AbortController()
    const { signal } = controller.current
    setError(undefined)
    setReceived(0)
    try {
      const response = await api.file(place, signal)
      await saveFile(response, { fileName: baseName(place.path), onProgress: setReceived })
    } catch (cause) {
      if (!signal.aborted) setError(asApiError(cause))
    }
    setReceived(undefined)
  }

  return (
    <div class="download">
      {received === undefined ? (
        <button type="button" onClick={start}>
          <Icon name="download" />
          Download {formatBytes(size)}
        </button>
      ) : (
        <>
          <progress max={size} value={received} aria-label="Downloaded" />
          <span>
            {formatBytes(received)} of {formatBytes(size)}
          </span>
          <button type="button" onClick={() => controller.current?.abort()}>
            Cancel
          </button>
        </>
      )}
      {error !== undefined && <Notice>The file was not downloaded: {error.message}</Notice>}
    </div>
  )
}
