import { join } from 'node:path'
import { blobsDirectory, repositoriesDirectory, temporaryDirectory } from '../paths.ts'
import { exists } from './directories.ts'

/** Berth has written to the volume. */
export async function isBerths(root: string): Promise<boolean> {
  const marks = [temporaryDirectory(root), join(root, '_berth'), join(root, '_trash')]
  return (await Promise.all(marks.map(exists))).includes(true)
}

/** The volume has blobs or repositories, of Berth or of Distribution. */
export async function hasContent(root: string): Promise<boolean> {
  const marks = [blobsDirectory(root), repositoriesDirectory(root)]
  return (await Promise.all(marks.map(exists))).includes(true)
}
