import { useEffect, useRef, useState } from 'preact/hooks'
import type { Session } from '../../api/answers.ts'
import { Icon } from './parts/icon.tsx'
import { navigate, overviewLink, type Route, searchLink, usageLink } from './route.ts'
import { ThemeSwitch } from './theme-switch.tsx'

type HeaderProps = {
  readonly route: Route
  readonly session: Session | undefined
  readonly onLogin: (not?: string) => void
}

export function Header({ route, session, onLogin }: HeaderProps) {
  const { kind } = route
  const current = kind === 'overview' || kind === 'usage' ? kind : 'images'
  return (
    <header class="top">
      <div class="top-inner">
        <a class="brand" href="#/" aria-label={`${session?.title ?? 'Berth'}: all images`}>
          <Mark />
          <span class="brand-name">{session?.title ?? 'Berth'}</span>
        </a>
        <nav aria-label="Views">
          <a href="#/" aria-current={current === 'images' ? 'page' : undefined}>
            Images
          </a>
          <a href={usageLink('')} aria-current={current === 'usage' ? 'page' : undefined}>
            Usage
          </a>
          <a href={overviewLink} aria-current={current === 'overview' ? 'page' : undefined}>
            Overview
          </a>
        </nav>
        <Search
          text={route.kind === 'catalogue' ? route.search : ''}
          isHere={route.kind === 'catalogue'}
        />
        <div class="top-end">
          <ThemeSwitch />
          {session !== undefined && <User session={session} onLogin={onLogin} />}
        </div>
      </div>
    </header>
  )
}

/** Finds repositories as one types; `/` leads here from anywhere. */
function Search({ text, isHere }: { readonly text: string; readonly isHere: boolean }) {
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || isTyping(event))
        return
      event.preventDefault()
      input.current?.focus()
      input.current?.select()
    }
    addEventListener('keydown', focus)
    return () => removeEventListener('keydown', focus)
  }, [])

  const search = (value: string) => navigate(searchLink(value), { replace: isHere })
  return (
    <search class="search">
      <Icon name="search" />
      <input
        ref={input}
        type="search"
        value={text}
        placeholder="Search repositories"
        aria-label="Search repositories"
        aria-keyshortcuts="/"
        autocomplete="off"
        spellcheck={false}
        onInput={({ currentTarget }) => search(currentTarget.value)}
        onKeyDown={({ key }) => {
          if (key === 'ArrowDown')
            document.querySelector<HTMLElement>('[data-rows] [tabindex="0"]')?.focus()
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </search>
  )
}

function isTyping({ target }: KeyboardEvent): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName)) &&
    !(target instanceof HTMLInputElement && target.type === 'checkbox')
  )
}

function User({
  session,
  onLogin,
}: {
  readonly session: Session
  readonly onLogin: (not?: string) => void
}) {
  const { user, login } = session
  const [isBusy, setBusy] = useState(false)
  if (login === 'off') return null
  const ask = async () => {
    setBusy(true)
    await onLogin(user)
    setBusy(false)
  }
  return (
    <button
      type="button"
      class="quiet user"
      disabled={isBusy}
      title={user === undefined ? undefined : 'Log in as another user; cancel to log out'}
      onClick={ask}
    >
      <Icon name="user" />
      <span>{user ?? 'Log in'}</span>
    </button>
  )
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M8.5 11.5H15V17H8.5zM17 11.5h6.5V17H17zM12.8 6h6.5v4h-6.5z" />
      <path
        class="water"
        d="M7 20.5c1.5 0 1.5 1.3 3 1.3s1.5-1.3 3-1.3 1.5 1.3 3 1.3 1.5-1.3 3-1.3 1.5 1.3 3 1.3 1.5-1.3 3-1.3"
      />
    </svg>
  )
}
