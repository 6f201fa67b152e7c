import { lstat } from 'node:fs/promises'
import { basename, isAbsolute, normalize } from 'node:path'
import { type ArtifactFile, filesAsArtifact, type ImageSource } from '../../archive/archive.ts'
import { UsageError } from '../process/errors.ts'

/** The default of ORAS. */
const unknownArtifact = 'application/vnd.unknown.artifact.v1'
const unknownFile = 'application/octet-stream'
/** RFC 6838, section 4.2. */
const typeGrammar = /^[A-Za-z0-9][\w!#$&^.+-]{0,126}\/[A-Za-z0-9][\w!#$&^.+-]{0,126}$/

type Opening = {
  readonly artifactType?: string | undefined
  /** Texts `key=value`. */
  readonly annotations?: readonly string[] | undefined
  readonly signal: AbortSignal
}

/**
 * Files as an artifact; each is named `FILE` or `FILE:MEDIATYPE`.
 * @throws UsageError
 */
export async function openArtifact(
  names: readonly string[],
  { artifactType = unknownArtifact, annotations = [], signal }: Opening,
): Promise<ImageSource> {
  if (!typeGrammar.test(artifactType))
    throw new UsageError(`--artifact-type ${artifactType}: expected a media type`)
  const files = await Promise.all(names.map(parseFile))
  const titles = new Set(files.map(({ title }) => title))
  if (titles.size < files.length)
    throw new UsageError('two files have the same name: their names are what pulls them back')
  const parsed = Object.fromEntries(annotations.map(parseAnnotation))
  return filesAsArtifact(files, {
    artifactType,
    ...(annotations.length > 0 && { annotations: parsed }),
    signal,
  })
}

async function parseFile(text: string): Promise<ArtifactFile> {
  const [, path = text, type] = /^(.+):([^:]+)$/.exec(text) ?? []
  const hasType = type !== undefined && typeGrammar.test(type) && !(await exists(text))
  const file = hasType ? path : text
  if (await isDirectory(file))
    throw new UsageError(`${file} is a directory: name its files, or push an archive of it`)
  return { path: file, title: titleOf(file), mediaType: hasType ? type : unknownFile }
}

/** The path as it was given, if it stays below the current directory; else the name of the file. */
function titleOf(path: string): string {
  const normal = normalize(path)
  return isAbsolute(normal) || normal.startsWith('../') ? basename(normal) : normal
}

function parseAnnotation(text: string): readonly [string, string] {
  const [, key, value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  if (key === undefined) throw new UsageError(`--annotation ${text}: expected KEY=VALUE`)
  return [key, value]
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined
}

async function isDirectory(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isDirectory() === true
}
