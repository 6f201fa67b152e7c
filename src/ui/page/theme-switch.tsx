import { useState } from 'preact/hooks'
import { Icon } from './parts/icon.tsx'

const themes = ['auto', 'light', 'dark'] as const
type Theme = (typeof themes)[number]

const labels = { auto: 'as the system', light: 'light', dark: 'dark' } as const
const icons = { auto: 'auto', light: 'sun', dark: 'moon' } as const

/** One button for three themes; `start.ts` applies the choice at the next visit. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(readTheme)
  const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'auto'
  const choose = () => {
    applyTheme(next)
    setTheme(next)
  }
  return (
    <button
      type="button"
      class="quiet"
      title={`Colours: ${labels[theme]}. Change to ${labels[next]}`}
      aria-label={`Colours: ${labels[theme]}. Change to ${labels[next]}`}
      onClick={choose}
    >
      <Icon name={icons[theme]} />
    </button>
  )
}

function readTheme(): Theme {
  const { theme } = document.documentElement.dataset
  return theme === 'light' || theme === 'dark' ? theme : 'auto'
}

function applyTheme(theme: Theme): void {
  if (theme === 'auto') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = theme
  try {
    localStorage.setItem('berth-theme', theme)
  } catch {
    // Storage can be blocked; the choice lasts until the page is closed.
  }
}
