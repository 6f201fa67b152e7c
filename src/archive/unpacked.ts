import { ArchiveError } from './archive-error.ts'
import { compressionOf, decompress, isXz } from './decompress.ts'
import type { Limits } from './limits.ts'
import { type StableFile, stableFile } from './stable-file.ts'
import { openUnnamedFile } from './unnamed-file.ts'

/**
 * The file itself, or its decompressed copy: a compressed archive has no positions to read from. The copy
 * is in `directory`.
 */
export async function unpackOuter(
  file: StableFile,
  {
    directory,
    limits,
    signal,
  }: { directory: string; limits: Limits; signal?: AbortSignal | undefined },
): Promise<StableFile> {
  const first = await file.bytes(0, Math.min(4, file.size))
  if (isXz(first))
    throw new ArchiveError('invalid', 'it is compressed with xz: use gzip, zstd or no compression')
  const compression = compressionOf(first)
  if (compression === undefined) return file
  const copy = await openUnnamedFile(directory)
  try {
    const chunks = file.chunks({ start: 0, end: file.size, signal })
    for await (const chunk of decompress({ chunks, size: file.size, compression }, limits))
      await copy.write(chunk)
    const opened = stableFile(copy, await copy.stat())
    return {
      ...opened,
      assertUnchanged: file.assertUnchanged,
      close: async () => {
        await opened.close()
        await file.close()
      },
    }
  } catch (error) {
    await copy.close()
    throw error
  }
}
