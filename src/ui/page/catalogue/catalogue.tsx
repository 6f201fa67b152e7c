import { useMemo, useState } from 'preact/hooks'
import { Equivalent } from '../parts/equivalent.tsx'
import { counted, formatBytes, formatCount } from '../parts/format.ts'
import { ErrorMessage, Loading, Message, Notice, PartError } from '../parts/message.tsx'
import { insecure } from '../parts/pull-commands.ts'
import { Rows } from '../parts/rows.tsx'
import { useTitle } from '../parts/title.ts'
import { imageLink, navigate, prefixLink, searchLink, whyLink } from '../route.ts'
import { useSession } from '../session.ts'
import { CatalogueCells } from './catalogue-cells.tsx'
import { Crumbs } from './crumbs.tsx'
import { type Repository, type Row, treeRows } from './tree.ts'
import { useRepositories } from './use-repositories.ts'

type CatalogueProps = { readonly prefix: string; readonly search: string }

/** Opened and closed prefixes, as long as the page is loaded. */
const opened = new Map<string, boolean>()
/** Groups of more repositories are closed at first. */
const maxOpenGroup = 25

export function Catalogue({ prefix, search }: CatalogueProps) {
  const session = useSession()
  useTitle(prefix === '' ? 'Images' : prefix)
  const { repositories, total, isComplete, isLoading, problem, error, reload } = useRepositories(
    prefix,
    search,
  )
  const [changes, setChanges] = useState(0)

  const found = useMemo(
    () => matching(repositories, prefix, search),
    [repositories, prefix, search],
  )
  const rows = useMemo(
    () =>
      treeRows({
        repositories: found,
        prefix,
        isOpen: (path, count) =>
          search !== '' ||
          (opened.get(path) ?? (count <= maxOpenGroup || found.length <= 2 * maxOpenGroup)),
      }),
    [found, prefix, search, changes],
  )
  const setOpen = (path: string, isOpen: boolean) => {
    opened.set(path, isOpen)
    setChanges((before) => before + 1)
  }

  const isEmpty = found.length === 0
  const host = session.pullHost
  const summary = describe(found, search, isComplete ? undefined : total)
  return (
    <>
      <div class="view-head">
        <Crumbs prefix={prefix} />
        <p class="summary" role="status">
          {isEmpty && isLoading ? 'Loading' : summary}
        </p>
      </div>
      {problem !== undefined && <Notice>{problem}</Notice>}
      {isEmpty && isLoading && <Loading label="Loading repositories" />}
      {error !== undefined && repositories.length === 0 ? (
        <ErrorMessage error={error} onRetry={reload} />
      ) : (
        error !== undefined && (
          <PartError what="Some repositories are missing" error={error} onRetry={reload} />
        )
      )}
      {isEmpty && !isLoading && error === undefined && (
        <Nothing search={search} prefix={prefix} host={host} />
      )}
      {rows.length > 0 && (
        <Rows
          role="treegrid"
          name="catalogue"
          label="Repositories"
          count={rows.length}
          heading={heading}
          row={(index) => rowOf(rows[index], setOpen)}
          onOpen={(index) => open(rows[index], setOpen)}
          onKey={(key, index) => fold(key, rows[index], setOpen)}
        />
      )}
      <Equivalent command={`crane catalog${insecure(session)} ${host}`} />
    </>
  )
}

const heading = (
  <>
    <span role="columnheader">Repository</span>
    <span role="columnheader" class="number">
      Tags
    </span>
    <span role="columnheader" class="number">
      Size
    </span>
    <span role="columnheader" class="when">
      Changed
    </span>
    <span role="columnheader" class="when">
      Pulled
    </span>
  </>
)

type SetOpen = (path: string, isOpen: boolean) => void

function rowOf(row: Row | undefined, setOpen: SetOpen) {
  if (row === undefined) return { key: 'none', cells: null }
  const { group } = row
  return {
    key: row.path,
    attributes: {
      'aria-level': row.depth + 1,
      ...(group !== undefined && { 'aria-expanded': group.isOpen }),
      'data-path': row.path,
    },
    cells: <CatalogueCells row={row} onFold={() => setOpen(groupPath(row), !group?.isOpen)} />,
  }
}

function groupPath({ path }: Row): string {
  return path.endsWith('/') ? path : `${path}/`
}

function open(row: Row | undefined, setOpen: SetOpen): void {
  if (row === undefined) return
  if (row.repository !== undefined) navigate(imageLink(row.path))
  else setOpen(groupPath(row), row.group?.isOpen === false)
}

/** As in trees: right opens a group, left closes it. */
function fold(key: string, row: Row | undefined, setOpen: SetOpen): boolean {
  if (row?.group === undefined || (key !== 'ArrowRight' && key !== 'ArrowLeft')) return false
  setOpen(groupPath(row), key === 'ArrowRight')
  return true
}

/** Every word must be in the name, in any order. */
function matching(
  repositories: readonly Repository[],
  prefix: string,
  search: string,
): readonly Repository[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  if (prefix === '' && words.length === 0) return repositories
  return repositories.filter(
    ({ name }) => name.startsWith(prefix) && words.every((word) => name.includes(word)),
  )
}

function describe(
  found: readonly Repository[],
  search: string,
  totalIfIncomplete: number | undefined,
): string {
  const size = found.reduce((sum, repository) => sum + (repository.size ?? 0), 0)
  const tags = found.reduce((sum, repository) => sum + repository.tags, 0)
  const count =
    totalIfIncomplete === undefined
      ? counted(found.length, 'repository', 'repositories')
      : `${formatCount(found.length)} of ${counted(totalIfIncomplete, 'repository', 'repositories')}`
  const what = search === '' ? count : `${count} with “${search}”`
  return `${what} · ${counted(tags, 'tag')} · ${formatBytes(size)}`
}

type NothingProps = CatalogueProps & { readonly host: string }

function Nothing({ search, prefix, host }: NothingProps) {
  if (search !== '')
    return (
      <Message title="No repository has this name" icon="search">
        <p>
          Nothing here contains “{search}”. <a href={searchLink('')}>Show all</a>
        </p>
        <p>
          <a href={whyLink(search)}>What would a pull of {search} get?</a>
        </p>
      </Message>
    )
  if (prefix !== '')
    return (
      <Message title="No repositories here" icon="box">
        <p>
          There is none below <code>{prefix}</code>. <a href={prefixLink('')}>Show all</a>
        </p>
      </Message>
    )
  return (
    <Message title="No images yet" icon="box">
      <p>Images appear here when somebody pushes them, or pulls them through Berth:</p>
      <p>
        <code>docker pull {host}/docker.io/library/busybox</code>
      </p>
    </Message>
  )
}
