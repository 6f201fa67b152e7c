import type { Usage } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { counted, formatBytes } from '../parts/format.ts'
import { ErrorMessage, Loading, Message, Notice } from '../parts/message.tsx'
import { Rows } from '../parts/rows.tsx'
import { useTitle } from '../parts/title.ts'
import { navigate, usageLink } from '../route.ts'
import { useAnswer } from '../use-answer.ts'
import {
  type Kind,
  Partial,
  Sentence,
  UsageCells,
  UsageCommand,
  UsageHead,
  UsageHeading,
  UsageLegend,
} from './usage-parts.tsx'

type Part = Usage['kinds'][number]['parts'][number] & { readonly kind: Kind }

/** The bytes of all repositories below a prefix, by what is directly below it. */
export function PrefixUsage({ prefix }: { readonly prefix: string }) {
  useTitle(prefix === '' ? 'Usage' : `Usage of ${prefix}`)
  const asked = prefix.replace(/\/$/, '')
  const { value, error, isLoading, reload } = useAnswer(`usage ${prefix}`, (signal) =>
    api.usage(asked, signal),
  )
  const parts = partsOf(value)
  const max = Math.max(...parts.map(({ unique }) => unique), 0)
  return (
    <>
      <UsageHead path={prefix} at={value?.kinds.map(({ at }) => at).toSorted()[0]} />
      {isLoading && <Loading label="Counting bytes" />}
      {error !== undefined && <ErrorMessage error={error} onRetry={reload} />}
      {value?.kinds.map(
        ({ kind, problem }) => problem !== undefined && <Notice key={kind}>{problem}</Notice>,
      )}
      {value?.kinds[0]?.partial && <Partial />}
      {value !== undefined && <Tiles usage={value} />}
      {value?.kinds.map(
        (usage) =>
          prefix !== '' &&
          usage.repositories > 0 && (
            <Sentence
              key={usage.kind}
              {...usage}
              what={counted(
                usage.repositories,
                `${usage.kind} repository`,
                `${usage.kind} repositories`,
              )}
            />
          ),
      )}
      {parts.length > 0 && (
        <Rows
          role="grid"
          name="usage"
          label="What is below this prefix"
          count={parts.length}
          heading={
            <UsageHeading>
              <span role="columnheader">Prefix or repository</span>
            </UsageHeading>
          }
          row={(index) => rowOf(parts[index], max)}
          onOpen={(index) => navigate(usageLink(parts[index]?.name ?? ''))}
        />
      )}
      {parts.length > 0 && <UsageLegend />}
      {value !== undefined && parts.length === 0 && (
        <Message title="No bytes here" icon="box">
          <p>Images appear here when somebody pushes them, or pulls them through Berth.</p>
        </Message>
      )}
      <UsageCommand path={asked === '' ? 'usage' : `usage?prefix=${asked}`} />
    </>
  )
}

/** Of both kinds, what frees the most first. */
function partsOf(usage: Usage | undefined): readonly Part[] {
  const parts = usage?.kinds.flatMap(({ kind, parts }) => parts.map((part) => ({ ...part, kind })))
  return (parts ?? []).toSorted((a, b) => b.own - a.own || b.unique - a.unique)
}

function rowOf(part: Part | undefined, max: number) {
  if (part === undefined) return { key: 'none', cells: null }
  const { kind, name, repositories, own, unique } = part
  const isPrefix = name.endsWith('/')
  return {
    key: `${kind} ${name}`,
    cells: (
      <>
        <span role="gridcell" class="name">
          <a href={usageLink(name)} class={isPrefix ? 'prefix' : 'repository'} tabIndex={-1}>
            {name}
          </a>
          {kind === 'cached' && <span class="badge">cached</span>}
          {isPrefix && (
            <span class="count">{counted(repositories, 'repository', 'repositories')}</span>
          )}
        </span>
        <UsageCells own={own} unique={unique} max={max} />
      </>
    ),
  }
}

type Tile = { readonly name: string; readonly value: number; readonly note: string }

const names = { hosted: 'Hosted', cached: 'Cached' } as const

function Tiles({ usage: { kinds, trash, waiting } }: { readonly usage: Usage }) {
  const tiles = kinds
    .filter(({ repositories }) => repositories > 0)
    .map(({ kind, unique, repositories, parts }): Tile => {
      const shared = unique - parts.reduce((sum, { own }) => sum + own, 0)
      const among = shared > 0 ? ` · ${formatBytes(shared)} shared` : ''
      return {
        name: names[kind],
        value: unique,
        note: `${counted(repositories, 'repository', 'repositories')}${among}`,
      }
    })
  if (trash !== undefined)
    tiles.push({ name: 'Trash', value: trash, note: 'removed, can still be undone' })
  if (waiting !== undefined)
    tiles.push({ name: 'In no image', value: waiting, note: 'waits for the next collections' })
  return (
    <dl class="tiles">
      {tiles.map(({ name, value, note }) => (
        <div key={name} class="tile">
          <dt>{name}</dt>
          <dd>
            <strong>{formatBytes(value)}</strong>
            <span>{note}</span>
          </dd>
        </div>
      ))}
    </dl>
  )
}
