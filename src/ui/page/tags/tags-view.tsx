import { useCallback, useEffect, useState } from 'preact/hooks'
import type { TagOrder } from '../api.ts'
import type { CacheAction } from '../cached/action.ts'
import { CacheButtons } from '../cached/cache-buttons.tsx'
import { CacheDialog } from '../cached/cache-dialog.tsx'
import { Crumbs } from '../catalogue/crumbs.tsx'
import { onDemand } from '../on-demand.tsx'
import { Commands } from '../parts/commands.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { counted, formatCount } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import { ErrorMessage, Loading, Message, Notice, PartError } from '../parts/message.tsx'
import { insecure, pullCommands } from '../parts/pull-commands.ts'
import { Rows } from '../parts/rows.tsx'
import { SearchField } from '../parts/search-field.tsx'
import { useTitle } from '../parts/title.ts'
import { compareLink, imageLink, navigate, removedLink, usageLink } from '../route.ts'
import { useSession } from '../session.ts'
import { TagCells } from './tag-cells.tsx'
import { TagHeading } from './tag-heading.tsx'
import { type FoundTags, useTags } from './use-tags.ts'

const RemovalDialog = onDemand(
  async () => (await import('../removal/removal-dialog.tsx')).RemovalDialog,
)

const firstOrder: TagOrder = { sort: 'date', order: 'desc', filter: '' }

/** All tags of a repository. */
export function TagsView({ name }: { readonly name: string }) {
  const session = useSession()
  useTitle(name)
  const [order, setOrder] = useState(firstOrder)
  const [filter, setFilter] = useState('')
  useDelayed(filter, (text) => setOrder((before) => ({ ...before, filter: text })))
  const found = useTags(name, order)
  const { answer, error, isLoading, reload, tag } = found
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const [isRemoving, setRemoving] = useState(false)
  const [cacheAction, setCacheAction] = useState<CacheAction>()
  const toggle = (name: string) =>
    setSelected((before) => {
      const after = new Set(before)
      if (!after.delete(name)) after.add(name)
      return after
    })
  const closeRemoval = useCallback(
    (isChanged: boolean) => {
      setRemoving(false)
      if (!isChanged) return
      setSelected(new Set())
      reload()
    },
    [reload],
  )

  if (error !== undefined && answer === undefined)
    return <ErrorMessage error={error} onRetry={reload} isView />
  const end = name.lastIndexOf('/') + 1
  const mayDelete = answer?.may.delete === true
  const mayCache = answer?.may.cache === true
  const example = tag(0)
  return (
    <>
      <div class="view-head">
        <Crumbs prefix={name.slice(0, end)} name={name.slice(end)} />
        {answer !== undefined && (
          <p class="summary">
            {answer.kind === 'hosted'
              ? 'Hosted'
              : `Cached from ${answer.upstream ?? 'an upstream'}`}
            {answer.may.readOnly !== undefined && ` · Read-only: ${answer.may.readOnly}`}
            {' · '}
            <a href={usageLink(name)}>Usage</a>
            {answer.kind === 'hosted' && (
              <>
                {' · '}
                <a href={removedLink(name)}>Deleted tags</a>
              </>
            )}
          </p>
        )}
      </div>
      {example !== undefined && (
        <Commands
          label="Pull commands"
          commands={pullCommands(session, { name, reference: example.tag, kind: example.kind })}
        />
      )}
      {answer?.problem !== undefined && <Notice>{answer.problem}</Notice>}
      {error !== undefined && (
        <PartError what="Some tags cannot be shown" error={error} onRetry={reload} />
      )}
      <div class="toolbar">
        <SearchField label="Filter tags" value={filter} onValue={setFilter} />
        <p class="summary" role="status">
          {answer === undefined ? 'Loading' : describe(answer.total, order.filter)}
        </p>
        {selected.size > 0 && (
          <p class="selection">
            <span>{formatCount(selected.size)} selected</span>
            <button type="button" class="quiet" onClick={() => setSelected(new Set())}>
              Clear
            </button>
            {selected.size <= 2 && (
              <a class="button" href={comparisonOf(name, selected)}>
                <Icon name="compare" />
                {selected.size === 2 ? 'Compare' : 'Compare…'}
              </a>
            )}
            {mayCache && <CacheButtons actions={cacheActions} onAction={setCacheAction} />}
            {mayDelete && (
              <button type="button" class="danger" onClick={() => setRemoving(true)}>
                <Icon name="trash" />
                Delete…
              </button>
            )}
          </p>
        )}
      </div>
      {answer === undefined && <Loading label="Loading tags" />}
      {answer?.total === 0 && !isLoading && (
        <Message title={order.filter === '' ? 'No tags' : 'No tag has this name'} icon="box">
          <p>
            {order.filter === ''
              ? 'Images here can be pulled by their digests only.'
              : `Nothing here contains “${order.filter}”.`}
          </p>
        </Message>
      )}
      {answer !== undefined && answer.total > 0 && (
        <Rows
          role="grid"
          name="tags"
          label={`Tags of ${name}`}
          count={answer.total}
          isMultiselectable
          onVisible={found.show}
          heading={
            <TagHeading order={order} onOrder={setOrder} isCached={answer.kind === 'cached'} />
          }
          row={(index) => rowOf({ name, found, index, selected, toggle })}
          onOpen={(index) => {
            const opened = tag(index)
            if (opened !== undefined) navigate(imageLink(name, opened.tag))
          }}
          onKey={(key, index) => {
            const pressed = tag(index)
            const isKnown = key === ' ' || (key === 'Delete' && mayDelete)
            if (pressed === undefined || !isKnown) return false
            if (key === ' ') toggle(pressed.tag)
            else {
              if (selected.size === 0) toggle(pressed.tag)
              setRemoving(true)
            }
            return true
          }}
        />
      )}
      <Equivalent command={`crane ls${insecure(session)} ${session.pullHost}/${name}`} />
      {cacheAction !== undefined && (
        <CacheDialog
          name={name}
          action={cacheAction}
          references={[...selected]}
          platforms={platformsOf(found, selected)}
          onClose={() => {
            setCacheAction(undefined)
            reload()
          }}
        />
      )}
      {isRemoving && (
        <RemovalDialog name={name} references={[...selected]} onClose={closeRemoval} />
      )}
    </>
  )
}

const cacheActions: readonly CacheAction[] = ['refresh', 'prefetch', 'pin', 'unpin', 'evict']

/** Of the selected tags that are loaded. */
function platformsOf({ answer, tag }: FoundTags, selected: ReadonlySet<string>) {
  const found = new Set<string>()
  for (let index = 0; index < (answer?.total ?? 0); index += 1) {
    const one = tag(index)
    if (one !== undefined && selected.has(one.tag))
      for (const platform of one.platforms) found.add(platform)
  }
  return [...found].toSorted()
}

type RowOptions = {
  readonly name: string
  readonly found: FoundTags
  readonly index: number
  readonly selected: ReadonlySet<string>
  readonly toggle: (tag: string) => void
}

function rowOf({ name, found, index, selected, toggle }: RowOptions) {
  const tag = found.tag(index)
  // A row that has the focus keeps its element, and so the focus, when its tag arrives.
  const key = String(index)
  if (tag === undefined)
    return {
      key,
      attributes: { 'aria-busy': true },
      cells: <span role="gridcell" class="awaited" aria-label="Loading" />,
    }
  const isSelected = selected.has(tag.tag)
  return {
    key,
    attributes: { 'aria-selected': isSelected },
    cells: (
      <TagCells
        name={name}
        tag={tag}
        isCached={found.answer?.kind === 'cached'}
        isSelected={isSelected}
        onToggle={() => toggle(tag.tag)}
      />
    ),
  }
}

/** In the order in which they were selected. */
function comparisonOf(name: string, selected: ReadonlySet<string>): string {
  const [before = '', after] = selected
  return compareLink(
    { name, reference: before },
    after === undefined ? undefined : { name, reference: after },
  )
}

function describe(total: number, filter: string): string {
  return filter === '' ? counted(total, 'tag') : `${counted(total, 'tag')} with “${filter}”`
}

/** Asks the registry when one pauses typing. */
function useDelayed(text: string, onPause: (text: string) => void): void {
  useEffect(() => {
    const timer = setTimeout(() => onPause(text.trim()), text === '' ? 0 : 120)
    return () => clearTimeout(timer)
  }, [text])
}
