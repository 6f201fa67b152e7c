import { createDigester } from '../../oci/digest.ts'
import { ArchiveError } from '../archive-error.ts'
import { layerName, meaningOf } from '../layer-names.ts'
import type { Limits } from '../limits.ts'
import { type StreamedEntry, tarEntries } from '../tar-entries.ts'
import type { FileType, LayerFile } from './layer-file.ts'

const types: Readonly<Record<string, FileType>> = {
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
}

/** Receives the content of a file while it is listed. */
export type OnContent = (file: Pick<LayerFile, 'path' | 'size'>, chunk: Buffer) => void

/** The entries of an uncompressed layer, with the digests of their contents. */
export async function* listTar(
  layer: AsyncIterable<Buffer>,
  limits: Limits,
  onContent?: OnContent,
): AsyncGenerator<LayerFile> {
  for await (const entry of tarEntries(layer, limits)) {
    const name = layerName(entry.name, limits)
    const meaning = meaningOf(name)
    if (meaning.kind === 'nothing') continue
    if (meaning.kind === 'whiteout')
      yield { ...attributes(entry, 'whiteout'), path: meaning.hidden }
    else if (meaning.kind === 'opaque')
      yield { ...attributes(entry, 'opaque'), path: meaning.directory }
    else yield await toFile(name, entry, { limits, onContent })
  }
}

type Options = { readonly limits: Limits; readonly onContent: OnContent | undefined }

async function toFile(
  path: string,
  entry: StreamedEntry,
  { limits, onContent }: Options,
): Promise<LayerFile> {
  const type = types[entry.type] ?? 'other'
  const file = { ...attributes(entry, type), path }
  if (type === 'hardlink') return { ...file, link: layerName(entry.linkName, limits) }
  if (type === 'symlink') return { ...file, link: linkTarget(entry.linkName, limits) }
  if (type !== 'file') return file
  const { size, position, content } = entry
  const digester = createDigester('sha256')
  const described = { path, size }
  for await (const chunk of content) {
    digester.update(chunk)
    onContent?.(described, chunk)
  }
  return { ...file, size, position, digest: digester.digest() }
}

function attributes({ mode, uid, gid, modified }: StreamedEntry, type: FileType) {
  return { type, size: 0, mode, uid, gid, modified }
}

/** It may lead anywhere: it is shown, and resolved within the image. */
export function linkTarget(text: string, limits: Limits): string {
  if (text.length <= limits.name) return text
  throw new ArchiveError('too-large', 'the target of a link in a layer is too long')
}
