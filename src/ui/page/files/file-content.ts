/** The beginning of a file: its text, or that it is none. */
export type Beginning =
  | { readonly kind: 'text'; readonly text: string; readonly isCut: boolean }
  | { readonly kind: 'binary' }

/** Bytes of a text that are shown. */
export const maxShown = 256 * 1024

/** Stops reading at the limit, or when it is no text in UTF-8. */
export async function readBeginning({ body }: Response): Promise<Beginning> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let [text, left] = ['', maxShown]
  const reader = body?.getReader()
  try {
    for (;;) {
      const { value } = (await reader?.read()) ?? {}
      if (value === undefined) return { kind: 'text', text: text + decoder.decode(), isCut: false }
      const part = decodeOrNothing(decoder, value.subarray(0, left))
      if (part === undefined || part.includes('\0')) return { kind: 'binary' }
      text += part
      if (value.length > left) return { kind: 'text', text, isCut: true }
      left -= value.length
    }
  } finally {
    await reader?.cancel().catch(() => {})
  }
}

function decodeOrNothing(decoder: TextDecoder, bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes, { stream: true })
  } catch {
    return undefined
  }
}

type Saving = { readonly fileName: string; readonly onProgress: (received: number) => void }

/** Hands a file over to the browser, which keeps it outside the memory of the page until it is saved. */
export async function saveFile(
  { body }: Response,
  { fileName, onProgress }: Saving,
): Promise<void> {
  let received = 0
  const counted = body?.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        received += chunk.length
        onProgress(received)
        controller.enqueue(chunk)
      },
    }),
  )
  // A type that no browser adds an extension for.
  const headers = { 'content-type': 'application/octet-stream' }
  const anchor = document.createElement('a')
  anchor.href = URL.createObjectURL(await new Response(counted ?? null, { headers }).blob())
  anchor.download = fileName
  anchor.click()
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000)
}
