import type { ComponentChildren } from 'preact'
import type { Overview as OverviewAnswer } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { Equivalent } from '../parts/equivalent.tsx'
import { counted, formatBytes, formatCount } from '../parts/format.ts'
import { ErrorMessage, Loading, Notice } from '../parts/message.tsx'
import { useTitle } from '../parts/title.ts'
import { useAnswer } from '../use-answer.ts'
import { Downloads } from './downloads.tsx'
import { Failures } from './failures.tsx'
import { Plot, type Series } from './plot.tsx'
import { Prefetches } from './prefetches.tsx'
import { binned } from './samples.ts'
import { Upstreams } from './upstreams.tsx'

/** In milliseconds. */
const refreshTime = 5000

/** What Berth does now, what it has saved, and what is wrong. */
export function Overview() {
  useTitle('Overview')
  const { value, error, isLoading, reload } = useAnswer('overview', api.overview, refreshTime)
  if (isLoading) return <Loading label="Loading the overview" />
  if (value === undefined) return error && <ErrorMessage error={error} onRetry={reload} isView />
  const { traffic, disk, upstreams, downloads, prefetches, failures, version, parts } = value
  return (
    <>
      <div class="view-head">
        <h1>Overview</h1>
        <p class="summary">Berth {version}</p>
      </div>
      {error !== undefined && <Notice>{error.message}</Notice>}
      <Tiles overview={value} />
      {traffic !== undefined && <Traffic traffic={traffic} />}
      <Panel title="Upstreams" count={upstreams.length}>
        {upstreams.length === 0 ? (
          <p class="empty">No upstream has a repository that you may see.</p>
        ) : (
          <Upstreams upstreams={upstreams} />
        )}
        {upstreams.some(({ state }) => state !== 'ok') && (
          <Equivalent command="kubectl berth doctor" />
        )}
      </Panel>
      <Panel title="Downloads" count={downloads.length}>
        {downloads.length === 0 ? (
          <p class="empty">Nothing is downloaded from an upstream now.</p>
        ) : (
          <Downloads downloads={downloads} />
        )}
      </Panel>
      {prefetches.length > 0 && (
        <Panel title="Prefetches" count={prefetches.length}>
          <Prefetches prefetches={prefetches} />
        </Panel>
      )}
      <Panel title="Recent errors" count={failures.length}>
        {failures.length === 0 ? (
          <p class="empty">None since Berth started.</p>
        ) : (
          <Failures failures={failures} />
        )}
      </Panel>
      {parts !== undefined && (
        <Panel title="Parts">
          <dl class="facts">
            {parts.map(({ part, state }) => (
              <div key={part}>
                <dt>{part}</dt>
                <dd>{state}</dd>
              </div>
            ))}
          </dl>
        </Panel>
      )}
      <Equivalent command="kubectl berth status" />
      {disk?.cache.problem !== undefined && <Notice>{disk.cache.problem}</Notice>}
      {disk?.hosted.problem !== undefined && <Notice>{disk.hosted.problem}</Notice>}
    </>
  )
}

type PanelProps = {
  readonly title: string
  readonly count?: number
  readonly children: ComponentChildren
}

function Panel({ title, count, children }: PanelProps) {
  return (
    <section class="panel">
      <h2>
        {title}
        {count !== undefined && count > 0 && <span class="count">{formatCount(count)}</span>}
      </h2>
      {children}
    </section>
  )
}

function Tiles({ overview }: { readonly overview: OverviewAnswer }) {
  const { traffic, disk } = overview
  if (traffic === undefined || disk === undefined) return null
  const { hits, misses, served, fetched } = traffic.total
  const asked = hits + misses
  const { cache, hosted } = disk
  return (
    <dl class="tiles">
      <Tile
        name="Hit rate"
        value={asked === 0 ? '–' : `${((100 * hits) / asked).toFixed(1)} %`}
        note={asked === 0 ? 'no pulls yet' : `of ${counted(asked, 'request')} since the start`}
      />
      <Tile
        name="Saved"
        value={formatBytes(Math.max(0, served - fetched))}
        note={`${formatBytes(served)} sent, ${formatBytes(fetched)} fetched`}
      />
      <Tile
        name="Cache"
        value={formatBytes(cache.bytes)}
        note={`of ${formatBytes(cache.limit)} · ${counted(cache.blobs, 'blob')}${cache.pinned > 0 ? ` · ${formatBytes(cache.pinned)} pinned` : ''}`}
        share={cache.limit === 0 ? undefined : cache.bytes / cache.limit}
      />
      <Tile
        name="Hosted"
        value={hosted.bytes === undefined ? '–' : formatBytes(hosted.bytes)}
        note={
          hosted.repositories === undefined
            ? 'not known now'
            : `${counted(hosted.repositories, 'repository', 'repositories')} · ${counted(hosted.tags ?? 0, 'tag')}`
        }
      />
    </dl>
  )
}

type TileProps = {
  readonly name: string
  readonly value: string
  readonly note: string
  /** Between 0 and 1: how full it is. */
  readonly share?: number | undefined
}

function Tile({ name, value, note, share }: TileProps) {
  return (
    <div class="tile">
      <dt>{name}</dt>
      <dd>
        <strong>{value}</strong>
        <span>{note}</span>
        {share !== undefined && (
          <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
            <rect width="100" height="4" class="bar-all" />
            <rect width={Math.min(100, share * 100)} height="4" class="bar-part" />
          </svg>
        )}
      </dd>
    </div>
  )
}

function Traffic({ traffic }: { readonly traffic: NonNullable<OverviewAnswer['traffic']> }) {
  const { recent, interval } = traffic
  const bins = binned(recent, maxBars)
  const requests: readonly Series[] = [
    { name: 'from the cache', style: 'first', values: bins.map(({ hits }) => hits) },
    { name: 'from upstreams', style: 'second', values: bins.map(({ misses }) => misses) },
    { name: 'failed', style: 'third', values: bins.map(({ errors }) => errors) },
  ]
  const bytes: readonly Series[] = [
    {
      name: 'saved',
      style: 'first',
      values: bins.map(({ served, fetched }) => Math.max(0, served - fetched)),
    },
    { name: 'fetched', style: 'second', values: bins.map(({ fetched }) => fetched) },
  ]
  const times = bins.map(({ at }) => Date.parse(at))
  return (
    <div class="plots">
      <Plot
        title="Requests"
        times={times}
        interval={interval * 1000}
        series={requests}
        format={formatCount}
      />
      <Plot
        title="Bytes"
        times={times}
        interval={interval * 1000}
        series={bytes}
        format={formatBytes}
      />
    </div>
  )
}

/** More are narrower than a pixel on small screens. */
const maxBars = 96
