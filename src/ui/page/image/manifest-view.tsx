import type { ComponentChildren } from 'preact'
import type { Details, Manifest } from '../../../api/answers.ts'
import { onDemand } from '../on-demand.tsx'
import { counted, formatBytes } from '../parts/format.ts'
import { Notice } from '../parts/message.tsx'
import { type Tab, Tabs } from '../parts/tabs.tsx'
import type { ImageLink } from '../route.ts'
import { Attached } from './attached.tsx'
import { ChartView } from './chart-view.tsx'
import { Configuration } from './configuration.tsx'
import { Dockerfile } from './dockerfile.tsx'
import { Layers } from './layers.tsx'
import { Pairs } from './pairs.tsx'
import { Uses, usesOf } from './uses.tsx'

type ManifestViewProps = {
  readonly name: string
  readonly manifest: Manifest
  readonly details: Details | undefined
  /** Of the index that the manifest is shown in. */
  readonly indexDetails?: Details | undefined
  /** Children of the index that attest this manifest. */
  readonly attestations?: Manifest['children']
  readonly section: string | undefined
  readonly files: FilesPlace
  readonly onSection: (section: string) => void
}

const FilesView = onDemand(async () => (await import('../files/files-view.tsx')).FilesView)

/** What the section of files shows, and how views of the image are linked. */
export type FilesPlace = {
  readonly path: string
  readonly layer: number | undefined
  readonly link: (to: ImageLink) => string
}

/** A manifest without children: an image of one platform, a chart, or another artifact. */
export function ManifestView(props: ManifestViewProps) {
  const { manifest, details, section, onSection } = props
  const sections = sectionsOf(props)
  const chosen = sections.find(({ id }) => id === section) ?? sections[0]
  if (chosen === undefined) return null
  return (
    <>
      {manifest.truncated && <Notice>The manifest has more entries than are shown.</Notice>}
      {details?.problems.map((problem) => (
        <Notice key={problem}>{problem}</Notice>
      ))}
      <Tabs
        label={`Parts of the ${manifest.kind}`}
        tabs={sections}
        chosen={chosen.id}
        onChoose={onSection}
      >
        {chosen.content()}
      </Tabs>
    </>
  )
}

type Section = Tab & { readonly content: () => ComponentChildren }

function sectionsOf({
  name,
  manifest,
  details,
  indexDetails,
  attestations = [],
  files,
}: ManifestViewProps): readonly Section[] {
  const { chart, config, layers, annotations } = manifest
  const referrers = [...(details?.referrers ?? []), ...(indexDetails?.referrers ?? [])]
  const attached = referrers.length + attestations.length
  const size = layers.reduce((sum, layer) => sum + layer.size, 0)
  const sections: Section[] = []
  if (chart !== undefined)
    sections.push({ id: 'chart', label: 'Chart', content: () => <ChartView chart={chart} /> })
  if (config !== undefined && (manifest.kind === 'image' || manifest.kind === 'index'))
    sections.push({
      id: 'config',
      label: 'Configuration',
      content: () => <Configuration config={config} />,
    })
  if (layers.length > 0)
    sections.push({
      id: 'layers',
      label: (
        <>
          {layers.some(({ title }) => title !== undefined) ? 'Files' : 'Layers'}
          <span class="count">
            {layers.length} · {formatBytes(size)}
          </span>
        </>
      ),
      content: () => (
        <Layers
          {...{ name, manifest, details }}
          insideLink={
            manifest.kind === 'image'
              ? (layer) => files.link({ section: 'files', layer: String(layer) })
              : undefined
          }
        />
      ),
    })
  if (layers.length > 0 && manifest.kind === 'image')
    sections.push({
      id: 'files',
      label: 'Files',
      content: () => <FilesView {...{ name, manifest, details }} {...files} />,
    })
  if (config !== undefined && config.history.length > 0)
    sections.push({
      id: 'dockerfile',
      label: 'Dockerfile',
      content: () => <Dockerfile config={config} layers={layers} />,
    })
  if (attached > 0)
    sections.push({
      id: 'attached',
      label: (
        <>
          Attached<span class="count">{attached}</span>
        </>
      ),
      content: () => (
        <Attached
          {...{ name, referrers, attestations }}
          digest={
            details?.referrers.length ? manifest.digest : (indexDetails?.digest ?? manifest.digest)
          }
          isTruncated={
            details?.referrersTruncated === true || indexDetails?.referrersTruncated === true
          }
        />
      ),
    })
  const uses = usesOf(details, indexDetails)
  if (uses.length > 0)
    sections.push({
      id: 'uses',
      label: (
        <>
          Used by<span class="count">{uses.length}</span>
        </>
      ),
      content: () => (
        <Uses
          name={name}
          digest={indexDetails?.digest ?? manifest.digest}
          uses={uses}
          isTruncated={details?.inUse.truncated === true || indexDetails?.inUse.truncated === true}
        />
      ),
    })
  if (Object.keys(annotations).length > 0 || sections.length === 0)
    sections.push({
      id: 'annotations',
      label: 'Annotations',
      content: () =>
        Object.keys(annotations).length === 0 ? (
          <p class="empty">The manifest has neither layers nor annotations.</p>
        ) : (
          <Pairs
            label={counted(Object.keys(annotations).length, 'annotation')}
            pairs={annotations}
          />
        ),
    })
  return sections
}
