import { once } from 'node:events'
import { StringDecoder } from 'node:string_decoder'
import { printableText } from '../output/printable.ts'
import { UsageError } from '../process/errors.ts'
import { writeChunks } from '../transfers/write-image.ts'

/**
 * Writes the content of a file of an image: as it is, or to a terminal without what would control it.
 * @throws UsageError for a terminal if the content is no text.
 */
export async function writeContent(
  content: AsyncIterable<Uint8Array>,
  file = '-',
  signal: AbortSignal,
): Promise<void> {
  if (file !== '-' || !process.stdout.isTTY) return writeChunks(buffers(content), file, signal)
  const decoder = new StringDecoder('utf8')
  let isFirst = true
  for await (const chunk of content) {
    if (isFirst && chunk.includes(0))
      throw new UsageError('the file is not text: name a file to save it, or redirect')
    isFirst = false
    await writeText([printableText(decoder.write(Buffer.from(chunk)))])
  }
}

async function* buffers(content: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const { buffer, byteOffset, length } of content)
    yield Buffer.from(buffer, byteOffset, length)
}

const pieceSize = 64 * 1024

/** To standard output, as fast as its reader reads. */
export async function writeText(texts: Iterable<string>): Promise<void> {
  let piece = ''
  for (const text of texts) {
    piece += text
    if (piece.length < pieceSize) continue
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain')
    piece = ''
  }
  if (piece !== '' && !process.stdout.write(piece)) await once(process.stdout, 'drain')
}
