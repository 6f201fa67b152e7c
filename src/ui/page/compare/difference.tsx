import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { Manifest } from '../../../api/answers.ts'
import type { ComparedImage } from '../api.ts'
import { Equivalent } from '../parts/equivalent.tsx'
import { counted, formatBytes, formatChange, formatCount } from '../parts/format.ts'
import { ErrorMessage, Loading, Message } from '../parts/message.tsx'
import { plainHttp } from '../parts/pull-commands.ts'
import { Tabs } from '../parts/tabs.tsx'
import { fullReference, type ImageName } from '../route.ts'
import { useSession } from '../session.ts'
import { configChanges } from './config-changes.ts'
import { ConfigTable } from './config-table.tsx'
import { FileList } from './file-list.tsx'
import { layerChanges, sizeOf } from './layer-changes.ts'
import { LayerTable } from './layer-table.tsx'
import { type FileFilter, useDifferences } from './use-differences.ts'
import { useManifest } from './use-manifest.ts'

type Compared = ImageName & ComparedImage

type DifferenceProps = {
  readonly before: Compared
  readonly after: Compared
  /** Empty: there is no choice. */
  readonly platform: string
  readonly section: string | undefined
  readonly onSection: (section: string) => void
}

/** What differs between two images of one platform. */
export function Difference(props: DifferenceProps) {
  const { before, after } = props
  const left = useManifest({ name: before.name, reference: before.digest })
  const right = useManifest({ name: after.name, reference: after.digest })
  if (before.digest === after.digest)
    return (
      <Message title="Both are the same image" icon="check">
        <p>
          <code>{before.digest}</code>
        </p>
      </Message>
    )
  const failed = [left, right].find((answer) => answer.error !== undefined)
  if (failed?.error !== undefined)
    return <ErrorMessage error={failed.error} onRetry={failed.reload} />
  if (left.value === undefined || right.value === undefined)
    return <Loading label="Loading the images" />
  return <Loaded {...props} manifests={[left.value, right.value]} />
}

type LoadedProps = DifferenceProps & { readonly manifests: readonly [Manifest, Manifest] }

function Loaded({ before, after, platform, section, onSection, manifests }: LoadedProps) {
  const session = useSession()
  const [filter, setFilter] = useState<FileFilter>({ filter: '', change: undefined })
  const files = useDifferences(before, after, filter)
  const totals = files.answer?.totals
  const changed = totals && totals.added.count + totals.removed.count + totals.changed.count
  const layers = layerChanges(...manifests)
  const config = files.answer?.config ?? configChanges(...manifests)
  const own = layers.filter(({ kind }) => kind !== 'shared').length
  const tabs = [
    { id: 'files', label: 'Files', count: changed === undefined ? '' : formatCount(changed) },
    { id: 'layers', label: 'Layers', count: formatCount(own) },
    { id: 'config', label: 'Configuration', count: formatCount(config.length) },
  ]
  const chosen = tabs.find(({ id }) => id === section)?.id ?? 'files'
  const [one, other] = [before, after].map(
    ({ name, reference }) => `${session.pullHost}/${fullReference(name, reference)}`,
  )
  const shared = layers.filter(({ kind }) => kind === 'shared').length
  const [sizeBefore, sizeAfter] = [
    sizeOf(layers, 'shared', 'removed'),
    sizeOf(layers, 'shared', 'added'),
  ]
  return (
    <>
      <dl class="tiles differences-tiles">
        <Tile name="Compressed layers" value={formatChange(sizeAfter - sizeBefore)}>
          {formatBytes(sizeBefore)} → {formatBytes(sizeAfter)}
        </Tile>
        <Tile name="To pull after the other" value={formatBytes(sizeOf(layers, 'added'))}>
          {counted(shared, 'layer')} of {manifests[1].layers.length} shared
        </Tile>
        <Tile
          name="Files"
          value={
            totals === undefined
              ? '–'
              : formatChange(
                  totals.added.size -
                    totals.removed.size +
                    totals.changed.after -
                    totals.changed.before,
                )
          }
        >
          {totals === undefined
            ? files.error === undefined
              ? 'being compared'
              : 'not compared'
            : `${formatCount(totals.added.count)} added, ${formatCount(totals.removed.count)} removed, ${formatCount(totals.changed.count)} changed`}
        </Tile>
        <Tile name="Configuration" value={formatCount(config.length)}>
          {config.length === 1 ? 'field differs' : 'fields differ'}
        </Tile>
      </dl>
      <Tabs
        label="What differs"
        tabs={tabs.map(({ id, label, count }) => ({
          id,
          label: (
            <>
              {label}
              {count !== '' && <span class="count">{count}</span>}
            </>
          ),
        }))}
        chosen={chosen}
        onChoose={onSection}
      >
        {chosen === 'files' && (
          <FileList {...{ before, after, files }} filter={filter} onFilter={setFilter} />
        )}
        {chosen === 'layers' && <LayerTable changes={layers} />}
        {chosen === 'config' && <ConfigTable changes={config} />}
      </Tabs>
      <Equivalent
        command={`berth diff${plainHttp(session)}${platform === '' ? '' : ` --platform ${platform}`} ${one} ${other}`}
      />
    </>
  )
}

type TileProps = {
  readonly name: string
  readonly value: string
  readonly children: ComponentChildren
}

function Tile({ name, value, children }: TileProps) {
  return (
    <div class="tile">
      <dt>{name}</dt>
      <dd>
        <strong>{value}</strong>
        <span>{children}</span>
      </dd>
    </div>
  )
}
