import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pairOfProcess } from './cluster-issuer.ts'
import { answerJson, startFakeServer } from './fake-server.ts'

/** A service account's key, and a server that issues an access token for each request. */
export interface GoogleKey extends ReturnType<typeof pairOfProcess> {
  /** As `gcloud iam service-accounts keys create` writes it. */
  readonly file: string
  readonly account: string
  close(): Promise<void>
}

export async function startGoogleKey(directory: string): Promise<GoogleKey> {
  const account = 'berth@my-project.iam.gserviceaccount.com'
  const pair = pairOfProcess('RS256')
  let issued = 0
  const server = await startFakeServer((_request, response) => {
    issued += 1
    const token = `ya29.c.canary-${issued}`
    answerJson(response, 200, { access_token: token, expires_in: 3600, token_type: 'Bearer' })
  })
  const key = {
    type: 'service_account',
    private_key_id: 'key',
    private_key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    client_email: account,
    token_uri: `${server.url}/token`,
  }
  const file = join(directory, 'google-key.json')
  await writeFile(file, JSON.stringify(key))
  return { ...pair, file, account, close: server.stop }
}
