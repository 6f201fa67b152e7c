import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { Session } from '../../api/answers.ts'

export const SessionContext = createContext<Session | undefined>(undefined)

/** Makes the browser ask for a user and a password, another user than `not`. */
export const LoginContext = createContext<(not?: string) => void>(() => {})

/** Who uses the page. Views are rendered when it is known. */
export function useSession(): Session {
  const session = useContext(SessionContext)
  if (session === undefined) throw new Error('no session')
  return session
}
