/** A classic script, because it runs before the first paint and before modules are loaded. */
;(() => {
  // Without a choice, the browser's preference counts.
  try {
    const theme = localStorage.getItem('berth-theme')
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset['theme'] = theme
  } catch {
    // Storage can be blocked.
  }

  // What the first view asks for, while modules are loaded; api.ts takes the responses.
  const paths = ['api/session']
  if (/^(#\/?)?$/.test(location.hash)) paths.push('api/repositories?n=1000')
  const ask = (path: string) => fetch(`../${path}`).catch(() => undefined)
  Object.assign(globalThis, { started: new Map(paths.map((path) => [path, ask(path)])) })
})()
