import { homedir } from 'node:os'

/**
 * A user without `$HOME` and without an entry in /etc/passwd, as `kubectl exec`, sudo or systemd may start it, gets the
 * home that containers give to one, because `os.homedir()` throws: here, in the AWS SDK, and in the programs we start.
 */
export function ensureHome(environment: Record<string, string | undefined>): void {
  try {
    homedir()
  } catch {
    environment['HOME'] = '/'
  }
}
