import { useCallback, useEffect, useState } from 'preact/hooks'
import { api } from './api.ts'
import { Header } from './header.tsx'
import { onDemand } from './on-demand.tsx'
import { ErrorMessage, Loading, Message } from './parts/message.tsx'
import { parseRoute, type Route } from './route.ts'
import { LoginContext, SessionContext } from './session.ts'
import { useAnswer } from './use-answer.ts'

const Catalogue = onDemand(async () => (await import('./catalogue/catalogue.tsx')).Catalogue)
const TagsView = onDemand(async () => (await import('./tags/tags-view.tsx')).TagsView)
const ImageView = onDemand(async () => (await import('./image/image-view.tsx')).ImageView)
const UsageView = onDemand(async () => (await import('./usage/usage-view.tsx')).UsageView)
const WhyView = onDemand(async () => (await import('./why/why-view.tsx')).WhyView)
const CompareView = onDemand(async () => (await import('./compare/compare-view.tsx')).CompareView)
const TagHistoryView = onDemand(
  async () => (await import('./history/tag-history.tsx')).TagHistoryView,
)
const RemovedTagsView = onDemand(
  async () => (await import('./history/removed-tags.tsx')).RemovedTagsView,
)
const Overview = onDemand(async () => (await import('./overview/overview.tsx')).Overview)

/** The frame: who uses the page, which view its address names, and the header above it. */
export function App() {
  const route = useRoute()
  const [round, setRound] = useState(0)
  const session = useAnswer(`session ${round}`, (signal) => api.session(signal))
  const login = useCallback(async (not?: string) => {
    // A login that is refused by now, as after a change of the password, or that the browser has therefore
    // dropped, may be for the same user.
    const user = await api.session().then(
      (current) => current.user,
      () => undefined,
    )
    await api.login(user === not ? not : undefined).catch(() => {})
    setRound((before) => before + 1)
  }, [])

  const { value, error } = session
  return (
    <LoginContext.Provider value={login}>
      <SessionContext.Provider value={value}>
        <button type="button" class="skip" onClick={skipToMain}>
          Skip to the content
        </button>
        <Header route={route} session={value} onLogin={login} />
        <main id="main" tabIndex={-1}>
          {error !== undefined && <ErrorMessage error={error} onRetry={session.reload} isView />}
          {session.isLoading && value === undefined && <Loading label="Loading" />}
          {value?.identity === 'none' && (
            <Message title="Log in to see images" icon="user" isView>
              <p>
                Your browser asks for the user and the password, and keeps them until it is closed.
              </p>
              <button type="button" class="primary" onClick={() => login()}>
                Log in
              </button>
            </Message>
          )}
          {value !== undefined && value.identity !== 'none' && (
            <View key={`${value.identity} ${value.user}`} route={route} />
          )}
        </main>
      </SessionContext.Provider>
    </LoginContext.Provider>
  )
}

function View({ route }: { readonly route: Route }) {
  switch (route.kind) {
    case 'catalogue':
      return <Catalogue prefix={route.prefix} search={route.search} />
    case 'repository':
      return <TagsView key={route.name} name={route.name} />
    case 'image':
      return <ImageView key={`${route.name} ${route.reference}`} {...route} />
    case 'compare':
      return <CompareView {...route} />
    case 'history':
      return <TagHistoryView key={`${route.name} ${route.tag}`} {...route} />
    case 'removed':
      return <RemovedTagsView key={route.name} name={route.name} />
    case 'overview':
      return <Overview />
    case 'usage':
      return <UsageView key={route.path} path={route.path} />
    case 'why':
      return <WhyView image={route.image} />
  }
}

/** No link, because the hash of the address belongs to the views. */
function skipToMain(): void {
  document.getElementById('main')?.focus()
}

function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash))
  useEffect(() => {
    const update = () => setRoute(parseRoute(location.hash))
    addEventListener('hashchange', update)
    return () => removeEventListener('hashchange', update)
  }, [])
  return route
}
