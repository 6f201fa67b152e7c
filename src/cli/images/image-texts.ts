import { formatSize } from '../../oci/amounts.ts'
import type { Digest } from '../../oci/digest.ts'
import { type ImageDetails, isAttestation, type PlatformImage } from '../../transfer/transfer.ts'
import { formatTable, printable } from '../output/table.ts'
import type { Referrer } from './image-referrers.ts'
import { formatTime } from './tag-list.ts'

type Described = Omit<ImageDetails, 'bytes'> & {
  readonly image: string
  readonly referrers: readonly Referrer[] | { readonly problem: string }
  /** The image whose config and layers are printed. */
  readonly chosen: PlatformImage
}

/** A report about an image, for people. */
export function describeImage(report: Described): string {
  const { image, digest, mediaType, artifactType, size, created, annotations, chosen } = report
  const isIndex = chosen.digest !== digest
  return [
    ...fields({
      Image: image,
      Digest: digest,
      Type: mediaType,
      'Artifact type': chosen.config === undefined && !isIndex ? artifactType : undefined,
      Size: formatSize(size),
      Created: formatTime(created),
    }),
    ...pairs('Annotations', annotations),
    ...(isIndex ? section('Platforms', platformTable(report)) : []),
    ...section('Referrers', referrerTable(report)),
    ...(isIndex
      ? ['', `Image for ${chosen.platform ?? 'no platform'} (--platform shows another one):`]
      : []),
    ...describePlatform(chosen, isIndex),
  ].join('\n')
}

function describePlatform(image: PlatformImage, isChild: boolean): readonly string[] {
  const { digest, platform, created, config, annotations } = image
  const details = config?.config ?? {}
  return [
    ...fields({
      Digest: isChild ? digest : undefined,
      Platform: platform,
      Created: isChild ? formatTime(created) : undefined,
      Author: config?.author,
      User: details.User,
      Entrypoint: quoted(details.Entrypoint),
      Command: quoted(details.Cmd),
      Directory: details.WorkingDir,
      Ports: Object.keys(details.ExposedPorts ?? {}).join(', '),
      Volumes: Object.keys(details.Volumes ?? {}).join(', '),
      'Stop signal': details.StopSignal,
    }),
    ...section('Environment', (details.Env ?? []).map(printable)),
    ...pairs('Labels', details.Labels ?? {}),
    ...(isChild ? pairs('Annotations', annotations) : []),
    ...section('Layers', layerTable(image)),
  ]
}

/** Those that have a value, aligned. */
function fields(values: Readonly<Record<string, string | null | undefined>>): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    value ? [`${`${name}:`.padEnd(15)}${printable(value)}`] : [],
  )
}

function pairs(title: string, values: Readonly<Record<string, string>>): readonly string[] {
  return section(
    title,
    Object.entries(values).map(([name, value]) => `${printable(name)}: ${printable(value)}`),
  )
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${line}`)]
}

function quoted(words: readonly string[] | null | undefined): string | undefined {
  return words && words.length > 0 ? JSON.stringify(words) : undefined
}

function platformTable({ images, missing }: Described): readonly string[] {
  const rows = images.map((image) => [
    isAttestation(image) ? 'attestation' : (image.platform ?? 'none'),
    image.digest,
    formatSize(image.blobs.reduce((sum, { size }) => sum + size, 0)),
    formatTime(image.created),
  ])
  const absent = missing.map((digest: Digest) => ['not in this registry', digest, '', ''])
  return formatTable(['PLATFORM', 'DIGEST', 'SIZE', 'CREATED'], [...rows, ...absent]).split('\n')
}

function referrerTable({ referrers, digest, images }: Described): readonly string[] {
  if ('problem' in referrers) return [`cannot be listed: ${printable(referrers.problem)}`]
  if (referrers.length === 0) return []
  const subjectOf = (subject: Digest) =>
    subject === digest
      ? 'the image'
      : (images.find((image) => image.digest === subject)?.platform ?? subject)
  const rows = referrers.map(({ artifactType = '', digest: own, size, subject }) => [
    artifactType,
    own,
    size === undefined ? '' : formatSize(size),
    subjectOf(subject),
  ])
  return formatTable(['TYPE', 'DIGEST', 'SIZE', 'OF'], rows).split('\n')
}

/** Layers and, as far as it is known, the commands that made them, or the names of their files. */
function layerTable({ layers, config }: PlatformImage): readonly string[] {
  const steps = (config?.history ?? []).filter((step) => step.empty_layer !== true)
  const commands = steps.length === layers.length ? steps : []
  const rows = layers.map(({ digest, size, mediaType, title = '' }, at) => [
    digest,
    formatSize(size),
    mediaType,
    title || printable(commands[at]?.created_by ?? ''),
  ])
  if (rows.length === 0) return []
  const about = config === undefined ? 'FILE' : 'CREATED BY'
  const hasAbout = rows.some((row) => row[3] !== '')
  const header = ['DIGEST', 'SIZE', 'TYPE', ...(hasAbout ? [about] : [])]
  return formatTable(
    header,
    rows.map((row) => row.slice(0, header.length)),
  ).split('\n')
}
