import type { ComponentChildren } from 'preact'
import type { ApiError } from '../api.ts'
import { Icon, type IconName } from './icon.tsx'

type MessageProps = {
  readonly title: string
  readonly icon: IconName
  readonly children?: ComponentChildren
}

/** In place of content: there is none, or it cannot be shown. */
export function Message({ title, icon, children }: MessageProps) {
  return (
    <section class="message">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </section>
  )
}

type ErrorProps = { readonly error: ApiError; readonly onRetry: () => void }

export function ErrorMessage({ error, onRetry }: ErrorProps) {
  return (
    <div role="alert">
      <Message title={titleOf(error.status)} icon="alert">
        <p>{error.message}</p>
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      </Message>
    </div>
  )
}

function titleOf(status: number): string {
  if (status === 0) return 'No connection'
  if (status === 401) return 'Log in to see this'
  if (status === 403) return 'You may not see this'
  if (status === 404) return 'Not found'
  return 'This cannot be shown now'
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

export function Loading({ label }: { readonly label: string }) {
  return (
    <div class="loading" role="status">
      <span class="loading-bar" />
      <span class="hidden">{label}</span>
    </div>
  )
}
