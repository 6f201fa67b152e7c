/** Applies the chosen theme before the first paint; without a choice, the browser's preference counts. */
;(() => {
  try {
    const theme = localStorage.getItem('berth-theme')
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset['theme'] = theme
  } catch {
    // Storage can be blocked.
  }
})()
