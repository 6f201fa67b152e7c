import { Copy } from '../parts/copy.tsx'
import { visibleName } from './visible-text.ts'

type PathCrumbsProps = {
  readonly path: string
  readonly linkTo: (path: string) => string
}

/** The directories above the one on the page. */
export function PathCrumbs({ path, linkTo }: PathCrumbsProps) {
  const parts = path.split('/').filter(Boolean)
  return (
    <nav class="path-crumbs" aria-label="Directories">
      <a href={linkTo('')} aria-label="Root directory">
        /
      </a>
      {parts.map((part, at) => (
        <span key={at}>
          {at > 0 && <i aria-hidden="true">/</i>}
          <a
            href={linkTo(parts.slice(0, at + 1).join('/'))}
            aria-current={at === parts.length - 1 ? 'page' : undefined}
          >
            {visibleName(part)}
          </a>
        </span>
      ))}
      <Copy text={`/${path}`} what="the path" />
    </nav>
  )
}
