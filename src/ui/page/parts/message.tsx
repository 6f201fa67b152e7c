import type { ComponentChildren } from 'preact'
import { useContext, useEffect, useState } from 'preact/hooks'
import type { ApiError } from '../api.ts'
import { LoginContext } from '../session.ts'
import { Icon, type IconName } from './icon.tsx'

type MessageProps = {
  readonly title: string
  readonly icon: IconName
  /** In place of a whole view, which has no other heading. */
  readonly isView?: boolean
  readonly children?: ComponentChildren
}

/** In place of content: there is none, or it cannot be shown. */
export function Message({ title, icon, isView = false, children }: MessageProps) {
  const Heading = isView ? 'h1' : 'h2'
  return (
    <section class="message">
      <Icon name={icon} />
      <Heading>{title}</Heading>
      {children}
    </section>
  )
}

type ErrorProps = {
  readonly error: ApiError
  readonly onRetry: () => void
}

export function ErrorMessage({
  error,
  onRetry,
  isView = false,
}: ErrorProps & Pick<MessageProps, 'isView'>) {
  return (
    <div role="alert">
      <Message title={titleOf(error.status)} icon="alert" isView={isView}>
        <p>{error.message}</p>
        <Retry error={error} onRetry={onRetry} />
      </Message>
    </div>
  )
}

/** Beside what can be shown. `what` says which part failed. */
export function PartError({ what, error, onRetry }: ErrorProps & { readonly what: string }) {
  return (
    <Notice>
      {what}: {error.message} <Retry error={error} onRetry={onRetry} />
    </Notice>
  )
}

function Retry({ error: { status }, onRetry }: ErrorProps) {
  const login = useContext(LoginContext)
  if (isFinal(status)) return null
  const isLogin = status === 401
  return (
    <button type="button" onClick={isLogin ? () => login() : onRetry}>
      {isLogin ? 'Log in' : 'Try again'}
    </button>
  )
}

function titleOf(status: number): string {
  if (status === 0) return 'No connection'
  if (status === 401) return 'Log in to see this'
  if (status === 403) return 'You may not see this'
  if (status === 404) return 'Not found'
  return isFinal(status) ? 'This cannot be shown' : 'This cannot be shown now'
}

/** No valid name, too large, or not what it has to be: it stays so. */
function isFinal(status: number): boolean {
  return status === 400 || status === 413 || status === 422
}

/** A part of an answer that is missing or incomplete. */
export function Notice({ children }: { readonly children: ComponentChildren }) {
  return (
    <p class="notice">
      <Icon name="alert" />
      <span>{children}</span>
    </p>
  )
}

/** Seconds of waiting after which the page says so. */
const slowAfter = 10

export function Loading({ label }: { readonly label: string }) {
  const [isSlow, setSlow] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), slowAfter * 1000)
    return () => clearTimeout(timer)
  }, [])
  return (
    <div role="status">
      <div class="loading">
        <span class="loading-bar" />
        <span class="hidden">{label}</span>
      </div>
      {isSlow && (
        <p class="empty">No answer after {slowAfter} seconds. Reload the page to try again.</p>
      )}
    </div>
  )
}
